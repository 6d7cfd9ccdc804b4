package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// readyTimeout bounds how long a probe waits for the supervisor.
const readyTimeout = 2 * time.Second

// readiness is since when everything has been ready, as far as probes have seen it.
type readiness struct {
	mu    sync.Mutex
	since time.Time
}

// hold takes what is missing at a moment, and adds that everything has not been ready for long enough.
func (r *readiness) hold(missing []string, now time.Time, least time.Duration) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(missing) > 0:
		r.since = time.Time{}
		return missing
	case r.since.IsZero():
		r.since = now
	}
	if since := now.Sub(r.since); since < least {
		return []string{fmt.Sprintf("everything has been ready for %s; lifecycler.min_ready_duration is %s", since.Round(time.Second), least)}
	}
	return nil
}

// notReady lists what is still missing.
func (d *daemon) notReady() []string {
	return d.ready.hold(d.missing(), time.Now(), d.settings.agent().Metrics.ScrapingService.Lifecycler.MinReadyDuration)
}

func (d *daemon) missing() []string {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	description, err := d.tree.client.Describe(ctx)
	shared := description.Cluster
	switch {
	case err != nil:
		return []string{fmt.Sprintf("the supervisor does not answer: %v", err)}
	case description.Stopping:
		return []string{"the agent is stopping"}
	case !description.Complete:
		return []string{because("the store has not been listed yet", description.StoreProblem)}
	case shared.Node != "" && shared.Session == "":
		return []string{because("the node has not joined the others", shared.Problem)}
	case shared.Node != "" && !shared.Settled:
		return []string{because("the node does not know its place in the ring yet", shared.Problem)}
	case !description.Settled:
		return []string{"instances are on their way to running"}
	default:
		return nil
	}
}

// because adds a reason, if there is one.
func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// linger gives those who scrape this process a last time to do so.
func (d *daemon) linger() {
	pause := d.settings.agent().Metrics.ScrapingService.Lifecycler.FinalSleep
	if pause <= 0 {
		return
	}
	d.Logger.Info("everything has stopped; waiting, as lifecycler.final_sleep says", zap.Duration("duration", pause))
	<-time.After(pause)
}

package clusterview

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// readyTimeout bounds how long a probe waits for the supervisor.
const readyTimeout = 2 * time.Second

// Readiness says whether a node is ready, and has been for long enough. Once it is, it stays so
// until it stops: what is late then concerns single configs, and a load balancer that takes the
// node away would only hide it.
type Readiness struct {
	// Tree is asked.
	Tree Tree
	// Least is for how long everything has to have been ready.
	Least func() time.Duration
	// Store says why the store takes no configs; empty if it does. That makes no node unready: its
	// API is the way to make room. nil: nobody knows.
	Store func() string

	mu    sync.Mutex
	since time.Time // since when everything has been, as far as probes have seen it
	once  bool      // it was ready
}

// hold takes what is missing at a moment, and adds that everything has not been ready for long
// enough.
func (r *Readiness) hold(missing []string, now time.Time, least time.Duration) []string {
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

// Missing lists what is still missing on a node that was never ready, or that is stopping.
func (r *Readiness) Missing() []string {
	late, stopping := r.late()
	return r.latch(late, stopping, time.Now(), r.Least())
}

// Late lists what is late, also on a node that was ready.
func (r *Readiness) Late() []string {
	late, _ := r.late()
	if r.Store != nil {
		if problem := r.Store(); problem != "" {
			late = append(late, problem)
		}
	}
	return late
}

func (r *Readiness) latch(late []string, stopping bool, now time.Time, least time.Duration) []string {
	if stopping {
		return late
	}
	missing := r.hold(late, now, least)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.once = r.once || len(missing) == 0; r.once {
		return nil
	}
	return missing
}

func (r *Readiness) late() (late []string, stopping bool) {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	description, err := r.Tree.DescribeOnly(ctx, messages.DescribeTree{Brief: true})
	shared := description.Cluster
	switch {
	case err != nil:
		return []string{fmt.Sprintf("the supervisor does not answer: %v", err)}, false
	case description.Stopping:
		return []string{"the agent is stopping"}, true
	case !description.Complete:
		return []string{because("the store has not been listed yet", description.StoreProblem)}, false
	case shared.Node != "" && shared.Session == "":
		return []string{because("the node has not joined the others", shared.Problem)}, false
	case shared.Node != "" && !shared.Settled:
		return []string{because("the node does not know its place in the ring yet", shared.Problem)}, false
	case !description.Settled:
		return []string{"instances are on their way to running"}, false
	default:
		return nil, false
	}
}

// because adds a reason, if there is one.
func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// predecessorLook is how often the ring of Grafana Agent is looked at.
	predecessorLook = time.Minute
	// predecessorAlive is how old the last heartbeat of a living member may be, clocks that differ
	// included: it writes every 5 s by default.
	predecessorAlive = 90 * time.Second
	// predecessorTimeout bounds one look.
	predecessorTimeout = 10 * time.Second
)

// predecessors is who of Grafana Agent's scraping service still runs on the store.
type predecessors struct {
	alive   atomic.Pointer[[]cluster.Predecessor]
	list    func(context.Context) ([]cluster.Predecessor, error)
	logger  *zap.Logger
	problem string
}

// watchPredecessors looks for members of Grafana Agent's ring until ctx is over. Where there are
// some, every config runs twice.
func (d *daemon) watchPredecessors(ctx context.Context) {
	if d.oldRing == nil {
		return
	}
	p := &predecessors{list: d.oldRing, logger: d.Logger.Logger}
	d.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "agent_cluster_predecessors", Help: "Members of Grafana Agent's scraping service that run on the same store: each config is scraped twice.",
	}, func() float64 { return float64(len(p.living())) }))
	d.predecessors.Store(p)
	ticker := time.NewTicker(predecessorLook)
	defer ticker.Stop()
	for {
		p.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *predecessors) living() []cluster.Predecessor {
	if p == nil {
		return nil
	}
	if alive := p.alive.Load(); alive != nil {
		return *alive
	}
	return nil
}

// look says what is news. A store that does not answer is news of the store's own.
func (p *predecessors) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, predecessorTimeout)
	defer cancel()
	members, err := p.list(ctx)
	if err != nil {
		p.logger.Debug("ring of Grafana Agent was not read", zap.Error(err))
		return
	}
	var alive []cluster.Predecessor
	for _, m := range members {
		if age := now.Sub(m.Heartbeat); !m.Left && age < predecessorAlive && age > -predecessorAlive {
			alive = append(alive, m)
		}
	}
	p.alive.Store(&alive)
	problem := describePredecessors(alive)
	if problem == p.problem {
		return
	}
	p.problem = problem
	if problem == "" {
		p.logger.Info("no Grafana Agent uses the store any more")
	} else {
		p.logger.Warn("Grafana Agent runs on the same store; every config is scraped twice", zap.String("reason", problem))
	}
}

// describePredecessors is a sentence for people; empty if there are none.
func describePredecessors(alive []cluster.Predecessor) string {
	if len(alive) == 0 {
		return ""
	}
	names := make([]string, len(alive))
	for i, m := range alive {
		names[i] = fmt.Sprintf("%s (%s)", m.Name, m.Address)
	}
	return "Grafana Agent runs on the same store, so every config is scraped twice. Stop it on: " + strings.Join(names, ", ")
}

// warnings are what every page says.
func (d *daemon) warnings() []string {
	if problem := describePredecessors(d.predecessors.Load().living()); problem != "" {
		return []string{problem}
	}
	return nil
}

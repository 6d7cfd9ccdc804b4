package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// guardLook is how often a guard looks at the cluster.
const guardLook = time.Second

// guardTimeout bounds what one look, or the word to the other nodes, may take.
const guardTimeout = 5 * time.Second

func messageKinds() []string { return messages.Kinds() }

// watchOver ends all rules on all nodes when the cluster leaves the bounds of the rule, as long as
// that is in force.
func (s *Server) watchOver(rule fault.Rule, r *http.Request) {
	over, cause := s.opts.Faults.Over(rule.Name), causeOf(r)
	if over == nil {
		return
	}
	g := guard{server: s, bounds: *rule.Guard}
	g.missedBefore, _ = s.sum(ticksSkipped, ticksVetoed)
	go func() {
		ticker := time.NewTicker(guardLook)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case now := <-ticker.C:
				if reason := g.look(now); reason != "" {
					s.endAll(cause, rule.Name, reason)
					return
				}
			}
		}
	}()
}

// endAll ends all rules here, and tells the other nodes to do the same.
func (s *Server) endAll(cause *http.Request, name, reason string) {
	s.log.Error("guard exceeded; ending all injected faults", zap.String("rule", name), zap.String("reason", reason))
	s.opts.Faults.Clear("the guard of " + name + ": " + reason)
	if s.opts.Cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardTimeout)
	defer cancel()
	for _, m := range s.tellOthers(ctx, cause, http.MethodPost, chaosAPI+"/clear", nil, http.StatusNotFound) {
		s.log.Warn("cannot end the faults of a node; they end by themselves", zap.String("node", m.Node), zap.String("reason", m.Error))
	}
}

// guard compares the cluster with its bounds.
type guard struct {
	server       *Server
	bounds       fault.Guard
	missedBefore int
	// since is since when a bound is exceeded.
	since time.Time
}

// The metrics that bounds are about: ticks that were passed over because the scrape before took too
// long, or for lack of permission; and samples that wait.
const (
	ticksSkipped   = "scrape_ticks_skipped_total"
	ticksVetoed    = "scrape_ticks_vetoed_total"
	pendingSamples = "prometheus_remote_storage_samples_pending"
)

// look returns why all must end; empty if nothing must.
func (g *guard) look(now time.Time) string {
	reason := g.exceeded()
	if reason == "" {
		g.since = time.Time{}
		return ""
	}
	if g.since.IsZero() {
		g.since = now
	}
	if now.Sub(g.since) < time.Duration(g.bounds.For) {
		return ""
	}
	return reason
}

// exceeded says which bound is exceeded. What is not known is not exceeded.
func (g *guard) exceeded() string {
	if most := g.bounds.Unowned; most != nil && g.server.opts.Cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), guardTimeout)
		state, err := g.server.opts.Cluster.State(ctx, Scope{})
		cancel()
		if err == nil && state.Unowned > *most {
			return fmt.Sprintf("%d units have no owner, at most %d may", state.Unowned, *most)
		}
	}
	if most := g.bounds.Pending; most != nil {
		if pending, ok := g.server.sum(pendingSamples); ok && pending > *most {
			return fmt.Sprintf("%d samples are pending, at most %d may be", pending, *most)
		}
	}
	if most := g.bounds.Missed; most != nil {
		if missed, ok := g.server.sum(ticksSkipped, ticksVetoed); ok && missed-g.missedBefore > *most {
			return fmt.Sprintf("%d ticks were missed, at most %d may be", missed-g.missedBefore, *most)
		}
	}
	return ""
}

// sum adds up metrics of this node. It is not ok if there is none of them.
func (s *Server) sum(names ...string) (total int, ok bool) {
	if s.opts.Gatherer == nil {
		return 0, false
	}
	families, err := s.opts.Gatherer.Gather()
	if err != nil && len(families) == 0 {
		return 0, false
	}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			total += int(value(m))
		}
		ok = true
	}
	return total, ok
}

func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

package actors

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// probeWithin is how long a probe may take. A disk that does not answer for longer is none to
	// run anything on.
	probeWithin = 30 * time.Second
	// mostDeclined bounds how many configs the member record says are left to others.
	mostDeclined = 500
)

// probing is the looking for faults of the node.
type probing struct {
	*desk
	units *units
	// since is when the probe began that is under way; zero: none is.
	since time.Time
	// number is that of the newest probe. The outcome of an older one, that was given up, counts no
	// more.
	number uint64
}

// Private messages of the supervisor to itself.
type (
	// probeNow comes when the next probe is due.
	probeNow struct{}
	// probed is the outcome of a probe.
	probed struct {
		number uint64
		err    error
	}
)

// probe has the node probed, unless that is under way. It is called when it is due, after each
// failure of an instance, and at every tick. Stopping: the tree is, and has no use for it.
func (p *probing) probe(c actor.Context, stopping bool) {
	if p.Probe == nil || p.Cluster == nil || stopping {
		return
	}
	if !p.since.IsZero() {
		if p.now().Sub(p.since) >= probeWithin {
			p.fold(c, probed{number: p.number, err: context.DeadlineExceeded})
		}
		return
	}
	p.since = p.now()
	p.number++
	out := probed{number: p.number}
	p.begin(c, func() error { return protect(p.Probe) }, func(err error) any { out.err = err; return out })
}

// fold takes in the outcome.
func (p *probing) fold(c actor.Context, m probed) {
	if m.number != p.number || p.since.IsZero() {
		return
	}
	p.since = time.Time{}
	before, problem := p.units.health, ""
	if m.err != nil {
		problem = m.err.Error()
	}
	health := before.Probed(p.now(), problem)
	p.units.health = health
	switch {
	case before.Unfit == "" && health.Unfit != "":
		p.Logger.Error("this node cannot run configs; other nodes take over if they can", zap.String("reason", health.Unfit))
	case before.Unfit != "" && health.Unfit == "":
		p.Logger.Info("this node can run configs again")
	}
	if before.Unfit != health.Unfit {
		p.reconcileSoon(c)
	}
	p.startTimer(c, "probe", health.Next(), probeNow{})
}

// declines is the list for the member record, of the configs that the main file hides and of those
// that are quarantined here.
func declines(hidden map[string]bool, quarantined []string) messages.List[string] {
	if len(hidden)+len(quarantined) == 0 {
		return messages.List[string]{}
	}
	names := slices.AppendSeq(quarantined, maps.Keys(hidden))
	slices.Sort(names)
	names = slices.Compact(names)
	return messages.NewList(names[:min(len(names), mostDeclined)]...)
}

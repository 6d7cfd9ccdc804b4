package sim

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// targetsPerConfig is how many targets each config has. Slices divide them.
const targetsPerConfig = 4

// targets is a set of a config's targets.
type targets uint8

// slice is the targets of one slice of several.
func slice(i, of int) (t targets) {
	for n := range targetsPerConfig {
		if n%max(of, 1) == i {
			t |= 1 << n
		}
	}
	return t
}

// targets is those that the pipeline's unit has when a tick is due.
func (p *pipeline) targets(tick int64) targets {
	at := epoch.Add(p.due(tick))
	for _, d := range p.config.Earlier {
		if at.Before(d.Until) {
			return slice(p.unit.Slice, d.Slices)
		}
	}
	return slice(p.unit.Slice, p.config.Slices)
}

// stored is called for each config that is written.
func (w *World) stored(r *record, e cluster.Entry) {
	r.changed = w.now
	parsed, err := w.system.parse(messages.Document{Name: strings.TrimPrefix(e.Key, configsPrefix), Text: messages.Text(e.Value)})
	if err != nil {
		return // what was valid before goes on
	}
	if !r.valid {
		r.valid, r.created = true, w.now
	}
	if n := max(parsed.Slices, 1); r.slices != n {
		if r.slices != 0 {
			r.divided, r.fewer = w.now, n < r.slices
		}
		r.slices = n
	}
}

// cover is called when a scrape is committed: no other slice may have taken one of its targets in
// this tick. A number of slices that has just changed is not yet known everywhere if nodes are cut
// off, restart, or have another time.
func (w *World) cover(p *pipeline) {
	r := p.ofConfig
	covered := r.covered[p.unit.Replica]
	if covered == nil {
		covered = map[int64]targets{}
		r.covered[p.unit.Replica] = covered
	}
	now := p.targets(p.next)
	if twice := covered[p.next] & now; twice != 0 && !p.excused() && !w.meddled(p.unit) && (w.options.Orderly && w.ahead() == 0 || w.now-r.divided > lateBy) && !w.aloneAt(p) {
		w.fail("%s commits tick %d of %v, and %d of its targets were taken in it by another slice", p.node.name, p.next, p.unit, bits.OnesCount8(uint8(twice)))
	}
	covered[p.next] |= now
}

// ahead is how far the clock of a node is ahead at most. Ticks are taken here by the world's clock, and
// not by the node's, by which an earlier number of slices is over too soon by as much.
func (w *World) ahead() (most time.Duration) {
	for _, n := range w.living() {
		most = max(most, n.host.skew)
	}
	return most
}

// aloneAt reports whether a node that goes on as one that is alone has taken a tick of the
// pipeline's config.
func (w *World) aloneAt(p *pipeline) bool {
	for i := range targetsPerConfig {
		if r := w.ledger.units[(messages.Unit{Config: p.unit.Config, Slice: i, Replica: p.unit.Replica}).Key()]; r != nil && r.taken[p.next].alone {
			return true
		}
	}
	return false
}

// unscraped is for how long a config's unluckiest target was not scraped between two instants, all
// gaps together. Known is false if the config has not been there and valid all the time.
func (w *World) unscraped(name string, replica int, from, to time.Duration) (gap time.Duration, known bool) {
	r := w.ledger.at(name)
	interval := intervalOf(name)
	offset := time.Duration(ring.Key(name)) % interval
	if !r.valid || r.created > from-startWithin {
		return 0, false
	}
	var missed [targetsPerConfig]int
	for tick := int64((from-offset)/interval) + 1; offset+time.Duration(tick)*interval < to-interval; tick++ {
		for n := range missed {
			if r.covered[replica][tick]&(1<<n) == 0 {
				missed[n]++
			}
		}
	}
	return time.Duration(slices.Max(missed[:])) * interval, true
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const (
	// patience is the part of the interval for which a tick is tried again for which there was no
	// permit.
	patience = 0.5
	// askAgain is how often it is tried.
	askAgain = 100 * time.Millisecond
)

// pipeline is one unit's data path: a schedule of ticks. It implements actors.Pipeline.
type pipeline struct {
	node *node
	spec actors.PipelineSpec
	unit messages.Unit
	// record and ofConfig are the ledger's of the unit and of its config, claim is the key of the unit's claim.
	record, ofConfig *record
	claim            string
	opened           time.Duration
	busy             string
	closed           bool
	// broken: it has reported a failure, or a call of it failed.
	broken bool

	scraping bool
	interval time.Duration
	offset   time.Duration
	// config is the one in force.
	config *config.Instance
	// next is the first tick that is not dealt with. taking: its scrape is running; it is cut off
	// by counting attempts up.
	next   int64
	taking bool
	// barred: the last tick was not permitted.
	barred bool
	// sessions is how many sessions the node had lost when it was opened.
	sessions int
	attempt  int
	// stopper waits in StopScraping.
	stopper *routine
}

// open is an actors.NewPipeline.
func (n *node) open(ctx context.Context, spec actors.PipelineSpec) (actors.Pipeline, error) {
	w := n.world
	if err := w.sleep(ctx, w.spell(200*time.Millisecond)); err != nil {
		return nil, err
	}
	if n.full && w.chance(0.5) || n.trouble() {
		return nil, errors.New("no disk")
	}
	p := &pipeline{node: n, spec: spec, unit: spec.Unit, opened: w.now, sessions: n.lost, interval: time.Duration(spec.Config.ScrapeConfigs[0].ScrapeInterval)}
	p.record, p.ofConfig, p.claim = w.ledger.of(p.unit), w.ledger.at(p.unit.Config), claimsPrefix+p.unit.Key()
	p.config = spec.Config
	p.offset = time.Duration(ring.Key(p.unit.Config)) % p.interval // of a target, not of a slice: they take turns
	if other := n.pipelines[p.unit]; other != nil {
		w.fail("%s opens the log of %v while another generation holds it", n.name, p.unit)
	}
	n.pipelines[p.unit] = p
	return p, nil
}

// spell is how long something usual takes; now and then it takes ten times as long.
func (w *World) spell(d time.Duration) time.Duration {
	if w.options.Trouble > 0 && w.chance(0.02) {
		d *= 10
	}
	return w.upTo(d)
}

// trouble draws whether a call fails, which each unit of a node does a few times at most.
func (n *node) trouble() bool {
	if n.world.chance(n.world.options.Trouble) {
		n.world.options.Trouble *= 0.8
		n.unplanned = true
		return true
	}
	return false
}

// call is around each method: they must not overlap.
func (p *pipeline) call(what string) (done func()) {
	if p.busy != "" || p.closed {
		p.node.world.fail("%s: %s of %v while %q is under way, closed: %t", p.node.name, what, p.unit, p.busy, p.closed)
	}
	p.busy = what
	return func() { p.busy = "" }
}

// Start implements actors.Pipeline.
func (p *pipeline) Start(ctx context.Context, resume messages.Handover) error {
	defer p.call("start")()
	w := p.node.world
	next, err := p.resumed(resume)
	if err != nil {
		w.fail("%s: %v", p.node.name, err)
	}
	if err := w.sleep(ctx, w.spell(50*time.Millisecond)); err != nil {
		return err
	}
	if p.node.trouble() {
		p.broken = true
		return errors.New("no targets")
	}
	p.scraping = true
	p.next = int64((w.now-p.offset)/p.interval) + 1
	if resume != "" {
		p.next = max(next, p.next-1)
	}
	w.say(p.node.name, "%v: scrapes from tick %d (handed over: %q)", p.unit, p.next, resume)
	p.wait()
	return nil
}

// handover says which tick is next, and of whom.
func (p *pipeline) handover() messages.Handover {
	return messages.Handover(p.unit.Key() + "#" + strconv.FormatInt(p.next, 10))
}

func (p *pipeline) resumed(h messages.Handover) (int64, error) {
	if h == "" {
		return 0, nil
	}
	whose, next, _ := strings.Cut(string(h), "#")
	tick, err := strconv.ParseInt(next, 10, 64)
	if err != nil || whose != p.unit.Key() {
		return 0, fmt.Errorf("%v was handed over with %q, which is none of its own", p.unit, h)
	}
	return tick, nil
}

func (p *pipeline) due(tick int64) time.Duration { return p.offset + time.Duration(tick)*p.interval }

// wait has the next tick taken when it is due.
func (p *pipeline) wait() {
	if p.node.world.options.Scale {
		return
	}
	p.attempt++
	attempt := p.attempt
	w := p.node.world
	w.after(p.node, p.due(p.next)-w.now, func() {
		if p.attempt == attempt {
			p.begin()
		}
	})
}

// begin begins the scrape of a tick, if it is permitted.
func (p *pipeline) begin() {
	w := p.node.world
	if skipped := int64((w.now - p.offset) / p.interval); skipped > p.next {
		p.next = skipped // it was paused: one scrape makes up for all
	}
	if !p.spec.Permit() {
		p.later()
		return
	}
	w.takes(p, "begins")
	p.taking = true
	attempt := p.attempt
	w.after(p.node, 5*time.Millisecond+w.spell(p.interval/20), func() {
		if p.attempt == attempt {
			p.commit()
		}
	})
}

// later tries the tick again while it is worth it.
func (p *pipeline) later() {
	w := p.node.world
	if w.now+askAgain >= p.due(p.next)+time.Duration(patience*float64(p.interval)) {
		if !p.barred {
			w.say(p.node.name, "%v: tick %d is not permitted", p.unit, p.next)
		}
		p.barred = true
		p.dealtWith()
		return
	}
	p.attempt++
	attempt := p.attempt
	w.after(p.node, askAgain, func() {
		if p.attempt == attempt {
			p.begin()
		}
	})
}

func (p *pipeline) commit() {
	p.taking = false
	if !p.spec.Permit() {
		p.later()
		return
	}
	p.node.world.takes(p, "commits")
	if p.node.full {
		p.dealtWith() // nothing of the scrape is left
		return
	}
	p.node.world.commit(p)
	p.barred = false
	p.dealtWith()
}

func (p *pipeline) dealtWith() {
	p.taking = false
	p.next++
	p.wait()
	if p.stopper != nil {
		p.stopper.wake(0)
	}
}

// Reload implements actors.Pipeline.
func (p *pipeline) Reload(ctx context.Context, c *config.Instance) error {
	defer p.call("reload")()
	if err := p.node.world.sleep(ctx, p.node.world.spell(50*time.Millisecond)); err != nil {
		return err
	}
	if p.node.trouble() {
		return errors.New("the config can't be put in force")
	}
	p.config = c
	return nil
}

// StopScraping implements actors.Pipeline. A move waits for a tick that is near.
func (p *pipeline) StopScraping(ctx context.Context, reason messages.StopReason) (messages.Handover, error) {
	defer p.call("stop scraping")()
	w := p.node.world
	w.stops(p, reason)
	if (reason == messages.Moved || reason == messages.Shutdown) && !w.options.Scale {
		p.stopper = w.current
		for ctx.Err() == nil && (p.taking || p.due(p.next)-w.now < p.interval*3/10) {
			if !w.park(func() bool { return ctx.Err() != nil }) {
				break
			}
		}
		p.stopper = nil
	}
	p.end()
	w.say(p.node.name, "%v: stops scraping before tick %d: %v", p.unit, p.next, reason)
	_ = w.sleep(ctx, w.spell(20*time.Millisecond))
	return p.handover(), nil
}

func (p *pipeline) end() {
	p.scraping, p.taking = false, false
	p.attempt++
}

// Drain implements actors.Pipeline.
func (p *pipeline) Drain(ctx context.Context) (uint64, error) {
	defer p.call("drain")()
	w := p.node.world
	if w.options.Trouble > 0 && w.chance(0.05) {
		_ = w.sleep(ctx, time.Hour)
		p.node.host.unsent[p.unit] = true
		return 7, nil
	}
	_ = w.sleep(ctx, w.spell(300*time.Millisecond))
	if w.now < w.unreceived {
		_ = w.sleep(ctx, w.unreceived-w.now)
		if w.now < w.unreceived {
			p.node.host.unsent[p.unit] = true
			return 7, nil
		}
	}
	delete(p.node.host.unsent, p.unit)
	return 0, nil
}

// Close implements actors.Pipeline.
func (p *pipeline) Close(bool) error {
	w := p.node.world
	afterPanic := p.node.panicked > 0 && w.now-p.node.panicked < 10*time.Second
	if p.scraping && !p.broken && !p.node.stopping && !p.node.dead && !afterPanic {
		w.fail("%s: %v is closed while it scrapes, for no reason", p.node.name, p.unit)
	}
	p.end()
	if !p.node.dead {
		defer p.call("close")()
		_ = w.sleep(context.Background(), w.spell(20*time.Millisecond))
		delete(p.node.pipelines, p.unit)
	}
	p.closed = true
	return nil
}

// Break reports a failure of the data path.
func (p *pipeline) Break() {
	p.broken = true
	p.spec.Failed(errors.New("the disk is full"))
}

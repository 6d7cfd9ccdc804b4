package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// settleWithin is how long after the last fault everything wanted has to run, once, where it
	// should. The longest is a listing that got lost (30 s), its repetition (15 s), a second one if
	// the store was restored (20 s), and a change of slices that it brings (10 s).
	settleWithin = 90 * time.Second
	// quietFor is how long nothing may be ordered or written after that.
	quietFor = 30 * time.Second
)

// Result is what became of one seed.
type Result struct {
	Seed uint64
	// Failure is the first invariant that did not hold, Trace what happened before; empty if all held.
	Failure, Trace string
	// Hash is of everything that happened.
	Hash uint64
	// Ticks is how many scrapes were committed.
	Ticks int
	// Lasted is the virtual time it took.
	Lasted time.Duration
	// Costs are what faults have cost that came one at a time.
	Costs []Cost
}

// Planted are the ways to break the world on purpose, to see that it is noticed.
type Planted func(*Options)

// Play plays one seed: what there is, what happens to it, and for how long are drawn from the seed.
func Play(system System, seed uint64, planted ...Planted) Result {
	rnd := rand.New(rand.NewPCG(seed, 0xa1))
	s := &storm{rnd: rnd, added: rand.New(rand.NewPCG(seed, 0xb2)), sliced: map[string]int{}, style: []style{planned, dense, dense, measured, measured}[rnd.IntN(5)]}
	o := s.draw(seed)
	for _, plant := range planted {
		plant(&o)
	}
	s.served = max(o.Replicas, 1)
	s.World = NewWorld(system, o)
	defer s.Close()
	s.play()
	r := Result{Seed: seed, Failure: s.failure, Hash: s.trace.hash, Lasted: s.now, Costs: s.costs}
	for _, u := range s.ledger.units {
		r.Ticks += len(u.taken)
	}
	switch {
	case o.Everything:
		r.Trace = s.Trace(len(s.trace.lines))
	case s.failure != "":
		r.Trace = s.Trace(60)
	}
	return r
}

// storm is one seed's play.
type storm struct {
	*World
	rnd   *rand.Rand
	style style
	// added draws the faults that were added later.
	added *rand.Rand
	// without are the faults that this seed does without, so that others come in dense succession.
	without uint64
	names   int
	configs []string
	// sliced is in how many slices each config was stored last.
	sliced map[string]int
	costs  []Cost
	// served is how many replicas there were nodes for during the fault under way.
	served int
	// twinned is until when no second process of a name is put on the other side of a cut.
	twinned time.Duration
	// filled: a disk has been full. How long a node's units stay away grows with each time.
	filled bool
	// blinded: a listing has lacked all configs.
	blinded bool
	// allowed is for how long the fault under way may leave a target unscraped, settles when
	// everything is as it should be after it.
	allowed, settles time.Duration
}

// style is how faults follow each other.
type style uint8

const (
	// planned: nothing breaks; nodes come and go in good order.
	planned style = iota
	// dense: whatever can happen happens at once.
	dense
	// measured: one fault at a time; what it costs is compared with its bounds.
	measured
)

func (s *storm) draw(seed uint64) Options {
	o := Options{Seed: seed, Replicas: 1, Pace: time.Millisecond, Lag: 5 * time.Millisecond, Reshard: time.Duration(8+s.rnd.IntN(12)) * time.Second}
	if s.rnd.IntN(8) == 0 {
		o.Replicas = 2
	}
	o.ZoneAware, o.Continue = s.rnd.IntN(4) == 0, s.rnd.IntN(4) == 0
	o.NoGossip, o.NoIdle = s.rnd.IntN(12) == 0, s.rnd.IntN(8) == 0
	o.Orderly = s.style != dense
	if o.Orderly {
		return o
	}
	if s.rnd.IntN(3) == 0 {
		o.Pace, o.Lag = 20*time.Millisecond, 100*time.Millisecond
	}
	o.Garble = s.rnd.IntN(6) == 0
	if s.rnd.IntN(3) == 0 {
		o.Trouble = 0.03
	}
	return o
}

func (s *storm) play() {
	s.without = s.rnd.Uint64()
	for range 3 + s.rnd.IntN(3) {
		s.join()
	}
	for i := range 5 + s.rnd.IntN(12) {
		s.configs = append(s.configs, fmt.Sprintf("app-%d", i))
		s.store.put(configsPrefix+s.configs[i], s.text(s.configs[i]))
	}
	s.store.put(configsPrefix+retired, s.text(retired))
	switch s.style {
	case planned:
		s.playPlanned()
	case dense:
		s.playDense()
	case measured:
		s.playMeasured()
	}
	s.checkQuiet()
}

// playPlanned has people do what people do, one thing after another.
func (s *storm) playPlanned() {
	s.Run(startWithin + time.Duration(s.rnd.IntN(20))*time.Second) // nobody leaves before there is anybody else
	for s.now < 2*time.Minute && s.failure == "" {
		s.plan()
		s.Run(20*time.Second + s.upTo(10*time.Second))
	}
	s.calm()
	s.Run(settleWithin)
	s.checkSettled()
	s.checkUnscraped("what people do", nothing, startWithin)
}

// playDense has one fault follow the other, before the first is over.
func (s *storm) playDense() {
	s.Run(time.Duration(s.rnd.IntN(20)) * time.Second)
	for range 4 + s.rnd.IntN(20) {
		if s.failure != "" || s.now > 2*time.Minute {
			break
		}
		s.disturb()
		s.Run(s.upTo(10 * time.Second))
	}
	s.calm()
	s.Run(settleWithin)
	s.checkSettled()
}

func (s *storm) join() {
	s.names++
	h := s.Host(string(rune('a' + s.names - 1)))
	h.zone = []string{"", "north", "south"}[s.rnd.IntN(3)]
	if s.style == dense && s.rnd.IntN(6) == 0 && !s.store.down {
		h.skew = time.Duration(1-2*s.rnd.IntN(2)) * time.Hour
	}
	h.Start(s.start())
}

func (s *storm) start() NodeOptions {
	return NodeOptions{
		KeepClaims: s.style == dense && s.rnd.IntN(5) == 0, Moved: s.style == dense && s.rnd.IntN(5) == 0,
		JoinAfter: time.Duration(s.rnd.IntN(3)) * time.Second, Remembers: s.rnd.IntN(2) == 0,
	}
}

// retired is a config that is deleted for good when faults are over.
const retired = "retired-0"

// text is a valid config. Its interval depends on its name only, so that its ticks keep their numbers.
func (s *storm) text(name string) string {
	slices := 1
	if s.rnd.IntN(6) == 0 {
		slices = 1 + s.rnd.IntN(targetsPerConfig)
	}
	s.sliced[name] = slices
	return Config(name, 1+s.rnd.IntN(9), slices)
}

// Config is the text of a valid config; versions differ.
func Config(name string, version, slices int) string {
	return fmt.Sprintf("slices: %d\nremote_flush_deadline: 10s\nwal_truncate_frequency: %dh\nscrape_configs: [{job_name: a, scrape_interval: %v, scrape_timeout: 1s}]\n", slices, version, intervalOf(name))
}

// intervalOf is how often a config's targets are scraped.
func intervalOf(name string) time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}[int(name[len(name)-1])%3]
}

// any draws a living node; nil if there is none.
func (s *storm) any() *node {
	if living := s.living(); len(living) > 0 {
		return living[s.rnd.IntN(len(living))]
	}
	return nil
}

// staying are the nodes that were not told to stop.
func (s *storm) staying() []*node {
	return slices.DeleteFunc(s.living(), func(n *node) bool { return n.stopping })
}

// plan does one thing that a person would do.
func (s *storm) plan() {
	staying := s.staying()
	switch name := s.configs[s.rnd.IntN(len(s.configs))]; {
	case s.rnd.IntN(5) < 2 && len(staying) > 2 && len(s.living()) == len(staying):
		staying[s.rnd.IntN(len(staying))].Stop(30 * time.Second)
	case s.rnd.IntN(2) == 0 && len(s.living()) < 6:
		s.join()
	default:
		s.store.put(configsPrefix+name, s.text(name))
	}
}

package reshard_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// model is a few nodes that decide about a few units, with a store, instances and a ring that are
// as simple as can be. One random step follows another, and what a node knows is always late. The
// seed replays it.
type model struct {
	rnd      *rand.Rand
	now      time.Time
	store    *modelStore
	nodes    []*modelNode
	replicas int
	names    int // of nodes there have been
	// spared is the faults that this seed does without, so that others come in dense succession;
	// slow, how rarely nodes hear of anything.
	spared uint
	slow   int
	// calm: nothing breaks, so no instance has a reason to stop before its successor is prepared.
	calm   bool
	decide func(*model, View) Plan
	// decisions counts them.
	decisions int
	wrong     string
}

var modelUnits = func() (units []messages.Unit) {
	for _, name := range []string{"a", "b", "c"} {
		units = append(units, Units(name, 2, 2)...)
	}
	return units
}()

func newModel(seed uint64, decide func(*model, View) Plan) *model {
	m := &model{rnd: rand.New(rand.NewPCG(seed, 1)), now: now, store: newModelStore(), decide: decide}
	m.replicas, m.spared, m.slow = 1+m.rnd.IntN(2), uint(m.rnd.Uint32()), 1+m.rnd.IntN(6)
	for range 1 + m.rnd.IntN(3) {
		m.join()
	}
	for _, name := range []string{"a", "b", "c"} {
		m.store.put(name, func(d *Document) { d.Slices = m.rnd.IntN(3) })
	}
	return m
}

func (m *model) fail(format string, args ...any) {
	if m.wrong == "" {
		m.wrong = fmt.Sprintf(format, args...)
	}
}

func (m *model) join() {
	m.start(fmt.Sprintf("node-%d", m.names))
	m.names++
}

func (m *model) living() []*modelNode {
	return slices.DeleteFunc(slices.Clone(m.nodes), func(n *modelNode) bool { return n.dead })
}

// step lets something happen that happens without a fault.
func (m *model) step() {
	living := m.living()
	if len(living) == 0 {
		m.join()
		return
	}
	n := living[m.rnd.IntN(len(living))]
	m.now = m.now.Add(time.Duration(m.rnd.IntN(200)) * time.Millisecond)
	if n.asleep > 0 {
		n.asleep--
		return
	}
	for range 1 + m.rnd.IntN(8) {
		n.stir()
		m.checkClaims()
	}
}

// stir lets one thing happen on the node.
func (n *modelNode) stir() {
	rnd := n.model.rnd
	switch rnd.IntN(8) {
	case 0:
		if rnd.IntN(n.model.slow) == 0 {
			n.hear(1 + rnd.IntN(12))
		}
	case 1:
		n.hearDocs(1 + rnd.IntN(3))
	case 2:
		n.hearRing(1 + rnd.IntN(2))
	case 3:
		n.renew()
		n.end()
	case 4:
		for range rnd.IntN(1 + 2*len(n.pending)) {
			if at := len(n.pending); at > 0 {
				n.doWrite(rnd.IntN(at), n.model.calm || rnd.IntN(8) > 0)
			}
		}
	case 5:
		for _, unit := range modelUnits {
			if i, ok := n.units[unit]; ok && rnd.IntN(3) > 0 {
				n.advance(i, rnd.IntN(3) > 0)
			}
		}
	default:
		n.decide()
	}
}

// disturb lets a fault happen, or somebody change something.
func (m *model) disturb() {
	living := m.living()
	if len(living) == 0 {
		return
	}
	n := living[m.rnd.IntN(len(living))]
	name := string(rune('a' + m.rnd.IntN(3)))
	fault := m.rnd.IntN(14)
	if m.spared>>fault&1 == 1 {
		return
	}
	switch fault {
	case 0:
		m.store.end(n.session)
	case 1:
		n.asleep = m.rnd.IntN(20)
		m.store.end(n.session)
	case 2:
		n.crash()
	case 3:
		n.leave()
	case 4:
		n.stopping = true
	case 5:
		if len(living) < 4 {
			m.join()
		}
	case 6:
		m.restart()
	case 7:
		m.expire()
	case 8:
		m.store.put(name, func(d *Document) {
			d.Problem, d.Slices, d.Redivided = "", m.rnd.IntN(3), m.now.Add(time.Duration(m.rnd.IntN(10))*time.Second)
		})
	case 9:
		m.store.put(name, func(d *Document) { d.Problem = "no" })
	case 10:
		m.store.remove(name)
	case 11:
		n.blind = !n.blind
	case 12:
		n.disagree()
	default:
		if i, ok := n.units[modelUnits[m.rnd.IntN(len(modelUnits))]]; ok && !i.stopped {
			i.failed, i.scraping = true, false
		}
	}
	m.checkClaims()
}

func (n *modelNode) leave() {
	n.leaving = true
	delete(n.model.store.members, n.name)
	n.model.store.reshape()
}

// disagree makes the node believe in another ring, maybe one of long ago.
func (n *modelNode) disagree() {
	n.stays, n.ring = true, n.model.rnd.IntN(len(n.model.store.rings))
}

// restart starts a dead node's name again, whose last session may still live.
func (m *model) restart() {
	for _, n := range m.nodes {
		again := slices.ContainsFunc(m.living(), func(o *modelNode) bool { return o.name == n.name })
		if n.dead && !again && !n.leaving && m.rnd.IntN(2) == 0 {
			m.start(n.name)
			return
		}
	}
}

// expire ends the sessions that nobody renews.
func (m *model) expire() {
	renewed := map[string]bool{}
	for _, n := range m.living() {
		renewed[n.session] = true
	}
	for _, n := range m.nodes {
		if !renewed[n.session] {
			m.store.end(n.session)
		}
	}
}

// settle lets things happen without faults until nothing does, not even when time passes, and
// reports whether that came about.
func (m *model) settle() bool {
	idle := 0
	for range 200 {
		busy := false
		for _, n := range m.living() {
			for n.renew() {
				busy = true
			}
			busy = n.hear(1000) || busy
			busy = n.hearDocs(1000) || busy
			busy = n.hearRing(1000) || busy
			busy = n.decide() || busy
			for len(n.pending) > 0 {
				n.doWrite(0, true)
			}
			for _, unit := range modelUnits {
				if i, ok := n.units[unit]; ok {
					busy = n.advance(i, true) || busy
				}
			}
			busy = n.end() || busy
			m.checkClaims()
		}
		if idle++; busy {
			idle = 0
			continue
		}
		if idle > 6 {
			return true
		}
		m.now = m.now.Add(time.Second)
	}
	return false
}

func decideAsItIs(_ *model, v View) Plan { return Decide(v) }

// storm plays one seed: faults, then nodes that do not agree about the ring, then peace.
func storm(seed uint64, decide func(*model, View) Plan) string {
	m := newModel(seed, decide)
	peace := 1 + m.rnd.IntN(6)
	for range 20 + m.rnd.IntN(150) {
		if m.step(); m.rnd.IntN(peace) == 0 {
			m.disturb()
		}
	}
	for _, n := range m.nodes {
		if m.rnd.IntN(2) == 0 {
			n.disagree()
		}
	}
	if !m.settle() {
		m.fail("nodes that don't agree about the ring never come to rest")
	}
	for _, n := range m.nodes {
		n.stays, n.blind = false, false
	}
	m.expire()
	if !m.settle() {
		m.fail("nodes that agree about the ring never come to rest")
	}
	m.checkSettled()
	return m.wrong
}

// stroll plays one seed in which nodes join and leave one after the other, and nothing breaks.
func stroll(seed uint64, decide func(*model, View) Plan) string {
	m := newModel(seed, decide)
	m.calm = true
	for range 4 {
		if !m.settle() {
			m.fail("it never comes to rest")
		}
		m.checkSettled()
		if living := m.living(); m.rnd.IntN(2) == 0 && len(living) > 1 {
			living[m.rnd.IntN(len(living))].leave()
		} else {
			m.join()
		}
		for range m.rnd.IntN(80) {
			m.step()
		}
	}
	return m.wrong
}

func TestWhateverHappensEachUnitIsScrapedByOneNodeInTheEnd(t *testing.T) {
	for seed := range uint64(2000) {
		require.Empty(t, storm(seed, decideAsItIs), "seed %d", seed)
	}
}

func TestNodesThatJoinAndLeaveOneAfterTheOtherLeaveNoGap(t *testing.T) {
	for seed := range uint64(500) {
		require.Empty(t, stroll(seed, decideAsItIs), "seed %d", seed)
	}
}

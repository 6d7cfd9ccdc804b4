package presence_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"

	. "github.com/ringmaster-agent/ringmaster/actors/presence"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// inputs is everything that can happen, in every circumstance.
func inputs() []Input {
	var all []Input
	for kind := Looked; kind <= Closed; kind++ {
		for bits := range 1 << 4 {
			on := func(i int) bool { return bits>>i&1 == 1 }
			in := Input{Kind: kind, Now: now, Listed: on(0), Rewrite: on(1), StoreAnswers: on(2), KeepClaims: on(3)}
			if kind != Told {
				all = append(all, in)
				continue
			}
			for in.Place = range messages.PlaceGone + 1 {
				all = append(all, in)
			}
		}
	}
	return all
}

// settle takes the time out of a state, so that states can be told apart.
func settle(s State) State {
	s.NotBefore, s.Failures = time.Time{}, 0
	return s
}

// Whatever happens in whatever order, the phase changes along the table only (Step panics
// otherwise), no effect is asked for that the phase does not allow, and what there is to do is done
// in the end.
func TestWhateverHappensThePhaseChangesAlongTheTable(t *testing.T) {
	seen := map[State]bool{{}: true}
	todo, moves := []State{{}}, map[[2]Phase]bool{}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		for _, in := range inputs() {
			next, effect := Step(s, in)
			moves[[2]Phase{s.Phase, next.Phase}] = true
			want, ok := map[Effect]Phase{Open: Opening, Write: Writing, GiveUp: GivenUp, Close: Closing, Abandon: Gone}[effect]
			require.True(t, !ok || next.Phase == want, "%+v, %+v: %v leads to %v", s, in, effect, next.Phase)
			if next = settle(next); !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	for from := Absent; from <= Gone; from++ {
		for to := Absent; to <= Gone; to++ {
			require.True(t, from == to || from.CanBecome(to) == moves[[2]Phase{from, to}], "%v to %v: the table says %t", from, to, from.CanBecome(to))
		}
	}
}

// From every state a node that is wanted to be gone is gone once the calls of the store have
// returned, whatever they return.
func TestANodeThatIsWantedGoneGoes(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, outcome := range []struct{ open, write Kind }{{Opened, Wrote}, {OpenFailed, WriteFailed}} {
			for phase := Absent; phase <= Gone; phase++ {
				s := State{Phase: phase, Earlier: phase == Adopted}
				s, _ = Step(s, Input{Kind: Told, Place: messages.PlaceGone, Now: now, KeepClaims: keep})
				for range 4 {
					kind := map[Phase]Kind{Opening: outcome.open, Writing: outcome.write, Closing: Closed}[s.Phase]
					s, _ = Step(s, Input{Kind: kind, Now: now, KeepClaims: keep})
				}
				require.Equal(t, Gone, s.Phase, "from %v", phase)
			}
		}
	}
}

func TestWhatANodeDoes(t *testing.T) {
	active := State{Phase: Present, Place: messages.PlaceActive, ActiveFrom: now, Record: messages.Active}
	for name, test := range map[string]struct {
		state  State
		in     Input
		phase  Phase
		effect Effect
	}{
		"it joins once the members are known":             {State{}, Input{Listed: true}, Opening, Open},
		"and not before":                                  {State{}, Input{}, Absent, Nothing},
		"a failure is waited out":                         {State{NotBefore: now.Add(time.Second)}, Input{Listed: true}, Absent, Nothing},
		"a node that is as it should be does nothing":     {active, Input{}, Present, Nothing},
		"a record that was lost is written again":         {active, Input{Rewrite: true}, Writing, Write},
		"a session that has ended is followed by another": {active, Input{Kind: Ended}, Absent, Drop},
		"one that must not be used is given up":           {active, Input{Kind: Fenced}, GivenUp, GiveUp},
		"and ended when the store answers":                {State{Phase: GivenUp}, Input{StoreAnswers: true}, Closing, Close},
		"and not while it doesn't":                        {State{Phase: GivenUp}, Input{}, GivenUp, Nothing},
		"one of the process before is dropped":            {State{Phase: GivenUp, Earlier: true}, Input{}, Absent, Drop},
		"a node that leaves says so":                      {active, Input{Kind: Told, Place: messages.PlaceLeaving}, Writing, Write},
		"and does not come back":                          {State{Phase: Present, Place: messages.PlaceLeaving, Record: messages.Leaving}, Input{Kind: Told, Place: messages.PlaceActive}, Present, Nothing},
		"one that goes ends its session":                  {active, Input{Kind: Told, Place: messages.PlaceGone}, Closing, Close},
		"or leaves it to its next process":                {active, Input{Kind: Told, Place: messages.PlaceGone, KeepClaims: true}, Gone, Abandon},
		"a write that ends late changes nothing":          {State{Phase: Absent}, Input{Kind: Wrote}, Absent, Nothing},
		"it waits before it is active": {
			State{Phase: Present, Record: messages.Joining}, Input{Kind: Told, Place: messages.PlaceActive, JoinAfter: time.Second}, Present, Nothing,
		},
		"and is active then": {
			State{Phase: Present, Record: messages.Joining, Place: messages.PlaceActive, ActiveFrom: now}, Input{}, Writing, Write,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.Now = now
			next, effect := Step(test.state, test.in)
			require.Equal(t, test.phase, next.Phase)
			require.Equal(t, test.effect, effect)
		})
	}
}

func TestFailuresWaitLongerEachTimeUpToABound(t *testing.T) {
	s := State{}
	var waits []time.Duration
	for range 5 {
		s.NotBefore = time.Time{}
		s, _ = Step(s, Input{Now: now, Listed: true})
		s, _ = Step(s, Input{Kind: OpenFailed, Now: now, Jitter: 0.999999})
		waits = append(waits, s.NotBefore.Sub(now).Round(time.Millisecond))
	}
	require.Equal(t, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second}, waits)
}

package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	start   = Input{Kind: StartWanted}
	reload  = Input{Kind: ReloadWanted}
	deleted = Input{Kind: StopWanted, Reason: messages.Deleted}
	moved   = Input{Kind: StopWanted, Reason: messages.Moved}
	down    = Input{Kind: StopWanted, Reason: messages.Shutdown}
	fenced  = Input{Kind: StopWanted, Reason: messages.Fenced}
	held    = Input{Kind: StartWanted, Hold: true}
	run     = Input{Kind: RunWanted}
	done    = Input{Kind: Done}
	drained = Input{Kind: Done, Drained: true}
	errored = Input{Kind: Errored}
	paniced = Input{Kind: Panicked}
	broke   = Input{Kind: Broke}
)

var inputs = []struct {
	name string
	Input
}{
	{"start", start}, {"start on hold", held}, {"run", run}, {"stop fenced", fenced}, {"reload", reload}, {"stop deleted", deleted}, {"stop moved", moved}, {"stop shutdown", down},
	{"done", done}, {"drained", drained}, {"errored", errored}, {"panicked", paniced}, {"broke", broke},
}

// tell renders effects as words.
func tell(effects []Effect) string {
	reports := [...]string{"prepared", "running", "reloaded", "reload failed", "draining", "quiet", "failed", "stopped"}
	var words []string
	for _, e := range effects {
		switch e.Kind {
		case Begin:
			word := e.Op.String()
			if e.Remove {
				word += " and remove"
			}
			words = append(words, word)
		case Cancel:
			words = append(words, "cancel")
		case Hurry:
			words = append(words, "hurry")
		case Report:
			words = append(words, "say "+reports[e.Report])
		case End:
			words = append(words, "end")
		}
	}
	return strings.Join(words, ", ")
}

// A story is a life told as pairs: what happens, what is done about it.
func TestStories(t *testing.T) {
	type beat struct {
		in   Input
		want string
	}
	opened := []beat{{start, "open"}, {done, "say prepared, start"}}
	running := append(opened[:2:2], beat{done, "say running"})
	stories := map[string][]beat{
		"A deleted config is stopped, drained, and its empty log removed": append(running[:3:3],
			beat{deleted, "say draining, stop scraping"}, beat{done, "say quiet, drain"},
			beat{drained, "close and remove"}, beat{done, "say stopped, end"}),
		"A deleted config whose receiver is down keeps its log": append(running[:3:3],
			beat{deleted, "say draining, stop scraping"}, beat{done, "say quiet, drain"},
			beat{done, "close"}, beat{done, "say stopped, end"}),
		"A moved unit leaves no empty log behind": append(running[:3:3],
			beat{moved, "say draining, stop scraping"}, beat{done, "say quiet, drain"},
			beat{drained, "close and remove"}, beat{done, "say stopped, end"}),
		"A shutdown keeps the log even when it is empty": append(running[:3:3],
			beat{down, "say draining, stop scraping"}, beat{done, "say quiet, drain"},
			beat{drained, "close"}, beat{done, "say stopped, end"}),
		"A burst of reloads becomes one, with the newest": append(running[:3:3],
			beat{reload, "reload"}, beat{reload, ""}, beat{reload, ""},
			beat{done, "say reloaded, reload"}, beat{done, "say reloaded"}),
		"A reload that fails leaves the old config running": append(running[:3:3],
			beat{reload, "reload"}, beat{errored, "say reload failed"}, beat{reload, "reload"}, beat{done, "say reloaded"}),
		"A reload that panics ends the generation": append(running[:3:3],
			beat{reload, "reload"}, beat{paniced, "say failed, close"}, beat{done, "say stopped, end"}),
		"A reload while preparing is applied before anything is scraped": {
			{start, "open"}, {reload, ""}, {done, "say prepared, reload"}, {done, "say reloaded, start"}, {done, "say running"}},
		"A reload while starting is applied right after": append(opened[:2:2],
			beat{reload, ""}, beat{done, "say running, reload"}, beat{done, "say reloaded"}),
		"A stop while opening waits for what was opened and drains it": {
			{start, "open"}, {down, "say draining, cancel"}, {done, "drain"}, {done, "close"}, {done, "say stopped, end"}},
		"A stop while opening is over when the opening fails": {
			{start, "open"}, {down, "say draining, cancel"}, {errored, "say stopped, end"}},
		"A stop while starting stops the scraping that may have begun": append(opened[:2:2],
			beat{deleted, "say draining, cancel"}, beat{errored, "stop scraping"}, beat{done, "say quiet, drain"}),
		"A stop while reloading waits for the reload": append(running[:3:3],
			beat{reload, "reload"}, beat{deleted, "say draining, cancel"}, beat{errored, "stop scraping"}),
		"A failed opening has nothing to close":  {{start, "open"}, {errored, "say failed, say stopped, end"}},
		"A failed start closes what was opened":  append(opened[:2:2], beat{errored, "say failed, close"}, beat{done, "say stopped, end"}),
		"A broken pipeline is closed":            append(running[:3:3], beat{broke, "say failed, close"}, beat{broke, ""}, beat{errored, "say stopped, end"}),
		"A pipeline that breaks while reloading": append(running[:3:3], beat{reload, "reload"}, beat{broke, "say failed, cancel"}, beat{done, "close"}),
		"A pipeline that breaks while draining is closed with its log kept": append(running[:3:3],
			beat{deleted, "say draining, stop scraping"}, beat{done, "say quiet, drain"}, beat{broke, "cancel"}, beat{drained, "close"}, beat{done, "say stopped, end"}),
		"Staleness markers that could not be written keep the log": append(running[:3:3],
			beat{deleted, "say draining, stop scraping"}, beat{errored, "close"}, beat{done, "say stopped, end"}),
		"A second stop only hurries": append(running[:3:3],
			beat{deleted, "say draining, stop scraping"}, beat{down, "hurry"}, beat{done, "say quiet, drain"}, beat{drained, "close and remove"}),
		"One on hold is prepared and waits": {
			{held, "open"}, {done, "say prepared"}, {reload, "reload"}, {done, "say reloaded"}, {run, "start"}, {run, ""}, {done, "say running"}},
		"One on hold that may run before it is prepared does not wait": {{held, "open"}, {run, ""}, {done, "say prepared, start"}},
		"One on hold that is not needed any more has scraped nothing": {
			{held, "open"}, {done, "say prepared"}, {moved, "say draining, drain"}, {drained, "close and remove"}, {done, "say stopped, end"}},
		"One that was fenced off leaves no empty log behind": append(running[:3:3],
			beat{fenced, "say draining, stop scraping"}, beat{done, "say quiet, drain"}, beat{drained, "close and remove"}),
		"A stop before the start has nothing to do": {{down, "say stopped, end"}, {start, ""}},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			var s State
			for i, b := range story {
				var effects []Effect
				s, effects = s.Step(b.in)
				require.Equal(t, b.want, tell(effects), "beat %d, now %+v", i, s)
			}
		})
	}
}

// reachable is every state that any sequence of inputs leads to. The result of an operation can
// only come while one is under way.
func reachable() map[State]bool {
	seen := map[State]bool{{}: true}
	todo := []State{{}}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		for _, in := range inputs {
			if possible(s, in.Input) {
				if next, _ := s.Step(in.Input); !seen[next] {
					seen[next] = true
					todo = append(todo, next)
				}
			}
		}
	}
	return seen
}

func possible(s State, in Input) bool {
	result := in.Kind == Done || in.Kind == Errored || in.Kind == Panicked
	return !result || s.Busy != NoOp
}

func TestEveryInputInEveryReachableStateIsALegalMoveOrIgnored(t *testing.T) {
	states := reachable()
	require.Greater(t, len(states), 50, "the walk must reach more than the happy path")
	for s := range states {
		for _, in := range inputs {
			if !possible(s, in.Input) {
				continue
			}
			next, effects := s.Step(in.Input)
			about := fmt.Sprintf("%+v, then %s: %s", s, in.name, tell(effects))
			if next.Phase != s.Phase {
				// A generation that fails with nothing to release is stopped in the same step.
				throughFailed := Legal(s.Phase, messages.PhaseFailed) && Legal(messages.PhaseFailed, next.Phase)
				require.True(t, Legal(s.Phase, next.Phase) || throughFailed, about)
			}
			begun := NoOp
			for _, e := range effects {
				if e.Kind != Begin {
					continue
				}
				require.Equal(t, NoOp, begun, "two operations at once: "+about)
				begun = e.Op
				require.False(t, e.Remove && (next.Broken || !next.Drained || next.Reason == messages.Shutdown), about)
			}
			if begun != NoOp {
				require.Equal(t, begun, next.Busy, about)
				free := s.Busy == NoOp || in.Kind == Done || in.Kind == Errored || in.Kind == Panicked
				require.True(t, free, "began while another operation was under way: "+about)
			}
			scrapes := begun == Start || begun == Reload
			require.False(t, scrapes && next.Phase != messages.PhasePreparing && next.Phase != messages.PhaseRunning, about)
			require.Equal(t, next.Phase == messages.PhaseStopped && s.Phase != messages.PhaseStopped,
				strings.HasSuffix(tell(effects), "say stopped, end"), about)
		}
	}
}

func TestWhatAPhaseIgnoresChangesNothing(t *testing.T) {
	ignored := map[messages.Phase][]Input{
		messages.PhaseNew:       {reload, broke, run},
		messages.PhasePreparing: {start, held},
		messages.PhaseRunning:   {start, held, run},
		messages.PhaseDraining:  {start, held, run, reload},
		messages.PhaseFailed:    {start, held, run, reload, deleted, moved, fenced, down, broke},
		messages.PhaseStopped:   {start, held, run, reload, deleted, moved, fenced, down, broke},
	}
	for s := range reachable() {
		for _, in := range ignored[s.Phase] {
			next, effects := s.Step(in)
			require.Equal(t, s, next, "%+v on %+v", s, in)
			require.Empty(t, effects)
		}
	}
}

func TestEveryStateEndsOnceItIsToldToStopWhateverItsOperationsReturn(t *testing.T) {
	for s := range reachable() {
		for _, result := range []Input{done, drained, errored, paniced} {
			at, _ := s.Step(down)
			for range 10 {
				if at.Busy != NoOp {
					at, _ = at.Step(result)
				}
			}
			require.Equal(t, messages.PhaseStopped, at.Phase, "from %+v with %+v", s, result)
			require.Equal(t, NoOp, at.Busy)
		}
	}
}

func TestTheTableOfLegalMoves(t *testing.T) {
	var moves []string
	for from := messages.PhaseNew; from <= messages.PhaseQuarantined; from++ {
		for to := messages.PhaseNew; to <= messages.PhaseQuarantined; to++ {
			if Legal(from, to) {
				moves = append(moves, fmt.Sprintf("%v → %v", from, to))
			}
		}
	}
	require.Equal(t, []string{
		"new → preparing", "new → stopped",
		"preparing → running", "preparing → draining", "preparing → failed",
		"running → draining", "running → failed",
		"draining → stopped",
		"failed → stopped",
	}, moves)
}

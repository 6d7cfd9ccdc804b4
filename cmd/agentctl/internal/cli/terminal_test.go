package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func withEnv(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, set := env[name]
		return value, set
	}
}

func TestStatesAreColouredForPeopleWhoWantIt(t *testing.T) {
	rows := [][]string{{"a", "down"}, {"bb", "up"}, {"down", "idle"}}
	var plain, coloured bytes.Buffer
	require.NoError(t, writeTable(&plain, false, []string{"NAME", "STATE"}, rows))
	require.Equal(t, "NAME  STATE\na     down\nbb    up\ndown  idle\n", plain.String())
	require.NoError(t, writeTable(&coloured, true, []string{"NAME", "STATE"}, rows))
	require.Contains(t, coloured.String(), "a     \x1b[31mdown\x1b[0m")
	require.Contains(t, coloured.String(), "bb    \x1b[32mup\x1b[0m")
	require.Contains(t, coloured.String(), "\ndown  idle", "a name is no state")
	coloured.Reset()
	require.NoError(t, writeTable(&coloured, true, []string{"NAME", "STATE"}, [][]string{{"a\x1b[2J\r\nb", "up"}}))
	require.Equal(t, "NAME      STATE\na\uFFFD[2J\uFFFD b  \x1b[32mup\x1b[0m\n", coloured.String(), "only we colour")

	for _, tc := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{false, nil, false},
		{true, nil, true},
		{true, map[string]string{"NO_COLOR": ""}, true},
		{true, map[string]string{"NO_COLOR": "1"}, false},
		{true, map[string]string{"TERM": "dumb"}, false},
	} {
		require.Equal(t, tc.want, Process{OutTerminal: tc.terminal, LookupEnv: withEnv(tc.env)}.colours(), "%+v", tc)
	}
}

func TestWatchingShowsItAgainUntilItIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		p := Process{Out: &out, Err: &errs}
		n := 0
		show := func(_ context.Context, p Process) error {
			n++
			fmt.Fprintf(p.Out, "look %d\n", n)
			if n == 2 {
				return errors.New("away")
			}
			return nil
		}
		require.NoError(t, watching(ctx, p, 2*time.Second, show), "Ctrl-C is no failure")
		require.Equal(t, "look 1\n\nlook 2\nerror: away\n\nlook 3\n", out.String())

		out.Reset()
		p.OutTerminal = true
		again, cancelAgain := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelAgain()
		require.NoError(t, watching(again, p, 2*time.Second, show))
		require.Equal(t, clearScreen+"look 4\n"+clearScreen+"look 5\n", out.String())

		require.ErrorContains(t, watching(t.Context(), p, time.Second, func(context.Context, Process) error { return errors.New("no agent") }), "no agent",
			"what fails at once is said at once")

		out.Reset()
		p.OutTerminal = false
		partial, cancelPartial := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelPartial()
		silent := func(_ context.Context, p Process) error {
			fmt.Fprintln(p.Out, "the others")
			fmt.Fprintln(p.Err, "error: \x1b node-2 is silent")
			return errPartial
		}
		require.NoError(t, watching(partial, p, 2*time.Second, silent), "one silent node ends no watch")
		require.Equal(t, "the others\nerror: \uFFFD node-2 is silent\n\nthe others\nerror: \uFFFD node-2 is silent\n", out.String())
		require.ErrorIs(t, watching(t.Context(), p, 0, silent), errPartial)
	})
}

func TestABarIsDrawnForLongWorkOnATerminalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		require.Nil(t, newBar(Process{Err: &errs}))
		require.Nil(t, newBar(Process{Err: &errs, ErrTerminal: true, LookupEnv: withEnv(map[string]string{"TERM": "dumb"})}))
		var none *bar
		none.show(1, 2)
		none.clear()

		b := newBar(Process{Err: &errs, ErrTerminal: true})
		lines := b.around(&out)
		b.show(1, 100)
		require.Empty(t, errs.String(), "it may be over at once")
		<-time.After(2 * time.Second) // virtual time
		b.show(50, 100)
		require.Equal(t, clearLine+"["+strings.Repeat("=", 15)+strings.Repeat(" ", 15)+"] 50 of 100, 2s left", errs.String())
		errs.Reset()
		fmt.Fprintln(lines, "created a")
		require.Equal(t, clearLine, errs.String(), "a line is not written over the bar")
		fmt.Fprintln(lines, "created b")
		require.Equal(t, clearLine, errs.String())
		b.show(51, 100)
		require.Equal(t, clearLine, errs.String(), "not so often")
	})
}

func TestTyposAreCounted(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"down", "down", 0}, {"dwon", "down", 1}, {"dow", "down", 1}, {"downn", "down", 1}, {"doxn", "down", 1}, {"", "abc", 3}, {"state", "sttae", 1}, {"abc", "xyz", 3}} {
		require.Equal(t, tc.want, typos(tc.a, tc.b), "%s, %s", tc.a, tc.b)
	}
}

func TestWhatHappensBetweenTwoLooksIsToldOnce(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	look := func(state string, up int, history ...event) configState {
		s := configState{Revision: 7, History: history}
		s.Nodes = append(s.Nodes, struct {
			Node      string
			Instances []struct {
				Unit, State, Hold string
				LastError         string `json:"last_error"`
			}
			Targets   struct{ Up, Down, Unknown int }
			Endpoints []struct{ Name, URL, State string }
		}{Node: "a"})
		s.Nodes[0].Instances = append(s.Nodes[0].Instances, struct {
			Unit, State, Hold string
			LastError         string `json:"last_error"`
		}{State: state})
		s.Nodes[0].Targets.Up = up
		return s
	}
	moved := event{at, "run by a, first claimed"}
	before, known := look("running", 2, moved), toldEvents{}
	known.add(before.History, at)
	require.Empty(t, eventsBetween(known, before, look("running", 2, event{at.UTC(), moved.Text}), at))
	after := look("down", 1, event{at.Add(time.Second), "moved"}, moved)
	require.Equal(t, []event{
		{at.Add(time.Second), "moved"},
		{at, "on a: running -> down"},
		{at, "targets on a: 2 up, 0 down, 0 unknown -> 1 up, 0 down, 0 unknown"},
	}, eventsBetween(known, before, after, at))
	gone := eventsBetween(known, after, configState{Revision: 8}, at)
	require.Equal(t, event{at, "stored revision: 7 -> 8"}, gone[1], gone)
	require.Equal(t, event{at, "on a: gone (was down)"}, gone[0])
}

func TestTailTellsAnEventOnceThoughANodeMissesALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Unix(1_700_000_000, 0)
		old, fresh := event{at, "started on b"}, event{at.Add(time.Second), "stopped on b"}
		looks := []configState{{History: []event{old}}, {History: []event{fresh, old}}, {}, {History: []event{fresh, old}}, {}, {History: []event{fresh, old}}}
		var out bytes.Buffer
		n := 0
		require.NoError(t, follow(t.Context(), Process{Out: &out}, asTable, time.Second, 10*time.Second, func(context.Context) (configState, error) {
			n++
			return looks[min(n, len(looks))-1], nil
		}))
		require.Greater(t, n, len(looks))
		require.Equal(t, 1, strings.Count(out.String(), old.Text), out.String())
		require.Equal(t, 1, strings.Count(out.String(), fresh.Text), out.String())
	})
}

func TestWhatTailKnowsIsBounded(t *testing.T) {
	at, known := time.Unix(1_700_000_000, 0), toldEvents{}
	for i := range 1000 {
		now := at.Add(time.Duration(i) * time.Minute)
		require.Len(t, known.add([]event{{now, "again"}}, now), 1)
	}
	require.LessOrEqual(t, len(known), 61)
}

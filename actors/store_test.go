package actors_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/actorstest"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAStoreThatCanNotBeListedStopsNothingAndIsTriedForEver(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.OnList(actorstest.Fail(errors.New("connection refused")))
		w.pass(time.Hour)
		w.is("a", messages.PhaseRunning)
		require.Contains(w, w.describe().StoreProblem, "connection refused")
		require.Greater(w, w.source.Listings(), 100, "it never gives up")
		w.source.OnList(nil)
		w.pass(time.Minute)
		require.Empty(w, w.describe().StoreProblem)
		require.Empty(w, w.pipelines.Calls("a"))
	})
}

// fromTheStart makes even the first listing play the script.
func fromTheStart(script actorstest.Script) func(*actors.Options) {
	return func(o *actors.Options) { o.Configs.(*actorstest.Source).OnList(script) }
}

func TestAnUnreachableStoreIsSaidWithinSecondsAndTheTreeComesUpWhenItAnswers(t *testing.T) {
	for name, script := range map[string]actorstest.Script{"refused": actorstest.Fail(errors.New("refused")), "hangs": actorstest.Hang} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, fromTheStart(script), func(w *world) {
				w.source.Put("a", valid(1))
				w.pass(3 * time.Second)
				require.NotEmpty(w, w.logs.FilterMessage("cannot read the store; running configs keep running").All())
				tree := w.describe()
				require.False(w, tree.Complete)
				require.False(w, tree.Settled)
				require.NotEmpty(w, tree.StoreProblem)
				w.source.OnList(nil)
				w.pass(time.Minute)
				w.is("a", messages.PhaseRunning)
				require.True(w, w.describe().Settled)
			})
		})
	}
}

func TestAPanicInTheStoreIsAFailureToListAndNotTheEnd(t *testing.T) {
	inWorld(t, fromTheStart(actorstest.Panic("client bug")), func(w *world) {
		w.source.Put("a", valid(1))
		w.pass(5 * time.Second)
		require.Contains(w, w.describe().StoreProblem, "client bug")
		w.source.OnList(nil)
		w.pass(time.Minute)
		w.is("a", messages.PhaseRunning)
	})
}

func TestLostEventsAreMadeGoodByARelist(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a", "b", "c")
		w.source.Deaf(true)
		w.source.Put("a", valid(2))
		w.source.Delete("b")
		w.source.Put("d", valid(1))
		w.source.Deaf(false)
		w.settle()
		require.Empty(w, w.pipelines.Calls("a"))
		w.source.Relist()
		w.settle()
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
		require.Equal(w, []string{"a", "c", "d"}, w.directory.Names())
	})
}

func TestLostEventsAreMadeGoodByTheReshardIntervalAtTheLatest(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.Deaf(true)
		w.source.Put("a", valid(2))
		w.source.Deaf(false)
		w.pass(time.Minute)
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
	})
}

func TestAStreamThatEndsIsOpenedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.BreakStreams()
		w.source.Put("a", valid(2))
		w.pass(time.Second)
		w.source.Put("b", valid(1))
		w.settle()
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
		w.is("b", messages.PhaseRunning)
	})
}

func TestAMassDisappearanceIsHeldAndShownUntilASecondListing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var names []string
		for i := range 6 {
			names = append(names, fmt.Sprintf("app-%d", i))
		}
		w.run(names...)
		w.source.Deaf(true)
		for _, name := range names[:5] {
			w.source.Delete(name)
		}
		w.source.Deaf(false)
		w.source.Relist()
		w.settle()
		require.Equal(w, names, w.directory.Names())
		require.Contains(w, w.describe().Doubt, "5 of 6")
		require.Contains(w, w.unit("app-0").Hold, "second listing")
		w.pass(time.Minute)
		require.Equal(w, names[5:], w.directory.Names())
		require.Empty(w, w.describe().Doubt)
	})
}

func TestDeletionsThatWereSeenAreBelievedHoweverMany(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		names := []string{"a", "b", "c", "d"}
		w.run(names...)
		for _, name := range names {
			w.source.Delete(name)
		}
		w.settle()
		require.Empty(w, w.directory.Names())
	})
}

func TestAStoreThatLostItsDataRightAfterUploadsStopsNothingForGood(t *testing.T) {
	for _, revision := range []int64{1, 4, 30, 59, 500} { // of how many of the configs it seems to know; the last, of more than there ever were
		t.Run(fmt.Sprint(revision), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				var names []string
				for i := range 60 {
					names = append(names, fmt.Sprintf("app-%02d", i))
				}
				w.run(names...) // after the first listing, so that only events told of them
				w.source.Empty(revision)
				w.pass(time.Hour)
				require.Equal(w, names, w.directory.Names())
				require.Contains(w, w.describe().Doubt, "60 of 60")
				require.Contains(w, w.unit("app-00").Hold, "emptied, replaced or restored")

				w.source.Put("app-00", valid(2))
				w.source.Put("app-01", valid(2))
				w.pass(time.Second)
				w.source.Delete("app-01")
				w.pass(time.Minute)
				require.Empty(w, w.unit("app-00").Hold)
				require.Equal(w, append(names[:1:1], names[2:]...), w.directory.Names())
			})
		})
	}
}

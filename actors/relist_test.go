package actors_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAListingWhoseAnswerIsLostDoesNotHoldUpANewerOne(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.OnList(hangTimes(1))
		w.source.Relist()
		w.settle()
		w.source.Deaf(true)
		w.source.Put("a", valid(2))
		w.source.Deaf(false)
		w.source.Relist()
		w.pass(2 * time.Second)
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
		w.pass(time.Minute)
		w.is("a", messages.PhaseRunning)
	})
}

func TestAListingThatIsOldGivesWayAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.OnList(hangTimes(1))
		w.source.Relist()
		w.pass(20 * time.Second)
		w.source.Deaf(true)
		w.source.Put("a", valid(2))
		w.source.Deaf(false)
		w.source.Relist()
		w.settle()
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
	})
}

func TestAStoreThatTakesLongIsListedHoweverOftenThatIsAskedFor(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.run("a")
		w.source.OnList(func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(15 * time.Second):
				return nil
			}
		})
		w.source.Deaf(true)
		w.source.Put("a", valid(2))
		w.source.Deaf(false)
		before := w.source.Listings()
		for range 60 {
			w.source.Relist()
			w.pass(time.Second)
		}
		require.Equal(w, []string{"reload " + valid(2)}, w.pipelines.Calls("a"))
		require.Less(w, w.source.Listings()-before, 8, "each waits for twice as long as the one before")
	})
}

// hangTimes makes so many listings go without an answer.
func hangTimes(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if n--; n >= 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

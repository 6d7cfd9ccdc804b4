package lifecycle_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/lifecycle"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one   = messages.Digest{1}
	two   = messages.Digest{2}
)

func TestTheWaitDoublesUpToItsCapAndThenTheUnitIsQuarantined(t *testing.T) {
	policy := DefaultPolicy(5 * time.Second)
	now := epoch
	var f Failures
	var waits []time.Duration
	for !f.Quarantined {
		f = f.Add(policy, one, now, 1)
		if !f.Quarantined {
			waits = append(waits, f.NotBefore.Sub(now))
			now = f.NotBefore
		}
	}
	require.Equal(t, []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
		5 * time.Minute, 5 * time.Minute, 5 * time.Minute,
	}, waits)
	require.Equal(t, 10, f.Count)
	require.Equal(t, now.Add(time.Hour), f.NotBefore, "then there is an attempt an hour")
}

func TestJitterSpreadsTheNextAttemptOverTheSecondHalfOfTheWait(t *testing.T) {
	policy := DefaultPolicy(10 * time.Second)
	for jitter, want := range map[float64]time.Duration{0: 5 * time.Second, 0.5: 7500 * time.Millisecond, 1: 10 * time.Second} {
		require.Equal(t, epoch.Add(want), Failures{}.Add(policy, one, epoch, jitter).NotBefore)
	}
}

func TestTheCountStartsAgain(t *testing.T) {
	policy := DefaultPolicy(time.Second)
	failed := Failures{}
	for range 9 {
		failed = failed.Add(policy, one, epoch, 0)
	}
	require.Equal(t, 9, failed.Count)
	t.Run("for another config", func(t *testing.T) {
		require.Equal(t, 1, failed.Add(policy, two, epoch, 0).Count)
	})
	t.Run("after a quiet time", func(t *testing.T) {
		require.Equal(t, 1, failed.Add(policy, one, epoch.Add(policy.Reset+1), 0).Count)
	})
	t.Run("but not within it", func(t *testing.T) {
		require.True(t, failed.Add(policy, one, epoch.Add(policy.Reset), 0).Quarantined)
	})
}

func TestAUnitThatFailsAtOnceNeverOutlivesItsBudget(t *testing.T) {
	for _, first := range []time.Duration{time.Millisecond, time.Second, time.Hour, math.MaxInt64 / 4} {
		policy := DefaultPolicy(first)
		f, now := Failures{}, epoch
		for range policy.Budget {
			f = f.Add(policy, one, now, 1)
			if !f.Quarantined {
				require.LessOrEqual(t, f.NotBefore.Sub(now), policy.Longest)
				now = f.NotBefore
			}
		}
		require.True(t, f.Quarantined, "first wait %v", first)
	}
}

func TestAnAttemptInQuarantineThatFailsAtOnceIsFollowedByAnotherAnHourLater(t *testing.T) {
	policy := DefaultPolicy(5 * time.Second)
	f, now := Failures{}, epoch
	for range policy.Budget {
		f = f.Add(policy, one, now, 1)
		now = f.NotBefore
	}
	for range 5 {
		now = f.NotBefore.Add(time.Second)
		f = f.Add(policy, one, now, 1)
		require.True(t, f.Quarantined)
		require.Equal(t, now.Add(policy.Lift), f.NotBefore)
	}
	recovered := f.NotBefore.Add(policy.Reset + 1)
	require.Equal(t, 1, f.Add(policy, one, recovered, 1).Count, "an attempt that ran for long enough ends the quarantine")
}

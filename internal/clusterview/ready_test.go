package clusterview

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestReadinessHoldsOnlyAfterItsTime(t *testing.T) {
	var r Readiness
	start := time.Now()
	require.Equal(t, []string{"not yet"}, r.hold([]string{"not yet"}, start, time.Minute))
	require.Contains(t, r.hold(nil, start, time.Minute)[0], "min_ready_duration is 1m0s")
	require.Len(t, r.hold(nil, start.Add(59*time.Second), time.Minute), 1)
	require.Empty(t, r.hold(nil, start.Add(time.Minute), time.Minute))
	require.Equal(t, []string{"a store"}, r.hold([]string{"a store"}, start.Add(2*time.Minute), time.Minute))
	require.Len(t, r.hold(nil, start.Add(3*time.Minute), time.Minute), 1, "it begins anew")
	require.Empty(t, (&Readiness{}).hold(nil, start, 0))
}

func TestANodeThatWasReadyStaysReadyUntilItStops(t *testing.T) {
	var r Readiness
	now := time.Now()
	late := []string{"instances are on their way to running"}
	require.Equal(t, late, r.latch(late, false, now, 0), "not ready yet")
	require.Empty(t, r.latch(nil, false, now, 0))
	require.Empty(t, r.latch(late, false, now.Add(time.Second), time.Minute), "an upload does not take it from a load balancer")
	require.Equal(t, []string{"the agent is stopping"}, r.latch([]string{"the agent is stopping"}, true, now.Add(2*time.Second), 0))
}

// mute is a tree that does not answer.
type mute struct{ Tree }

func (mute) DescribeOnly(context.Context, messages.DescribeTree) (d messages.TreeDescription, err error) {
	return d, errors.New("busy")
}

func TestAFullStoreIsLateAndMakesNoNodeUnready(t *testing.T) {
	r := Readiness{Tree: mute{}, Least: func() time.Duration { return 0 }, Store: func() string { return "the store is full" }}
	require.Contains(t, r.Late(), "the store is full")
	require.NotContains(t, r.Missing(), "the store is full")
}

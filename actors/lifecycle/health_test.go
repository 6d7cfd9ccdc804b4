package lifecycle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/ringmaster-agent/ringmaster/actors/lifecycle"
)

// probed plays probes, each as soon as it is due, for so long.
func probed(h Health, at *time.Time, problem string, d time.Duration) Health {
	for end := at.Add(d); at.Before(end); *at = at.Add(h.Next()) {
		h = h.Probed(*at, problem)
	}
	return h
}

func TestANodeIsUnfitOnceItsFaultLastsAndWellAfterItHasCooled(t *testing.T) {
	at := time.Unix(0, 0)
	var h Health
	h = h.Probed(at, "disk full")
	require.Empty(t, h.Unfit, "a moment says nothing")
	h = h.Probed(at.Add(time.Second), "")
	require.Empty(t, h.Problem)
	h = probed(h, &at, "disk full", 15*time.Second)
	require.Equal(t, "disk full", h.Unfit)
	h = probed(h, &at, "", 29*time.Second)
	require.Equal(t, "disk full", h.Unfit, "it has to stay well")
	h = probed(h, &at, "", 10*time.Second)
	require.Empty(t, h.Unfit)
}

func TestANodeThatFallsIllAgainAndAgainCoolsForLonger(t *testing.T) {
	at := time.Unix(0, 0)
	var h Health
	var waits []time.Duration
	for range 9 {
		h = probed(h, &at, "disk full", time.Minute)
		require.NotEmpty(t, h.Unfit)
		well := at
		for h.Unfit != "" {
			h = h.Probed(at, "")
			at = at.Add(h.Next())
		}
		waits = append(waits, at.Sub(well).Truncate(30*time.Second))
	}
	require.Equal(t, []time.Duration{
		30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute, 30 * time.Minute,
	}, waits)
	h = probed(h, &at, "", 2*time.Hour)
	h = probed(h, &at, "disk full", time.Minute)
	h = probed(h, &at, "", time.Minute)
	require.Empty(t, h.Unfit, "long ago is forgotten")
}

func TestAFaultOfTheNodeIsNoFaultOfTheConfig(t *testing.T) {
	p, now := DefaultPolicy(time.Second), time.Unix(0, 0)
	var f Failures
	for range 50 {
		f = f.Excuse(p, [32]byte{1}, now, 0)
		require.Equal(t, now.Add(500*time.Millisecond), f.NotBefore)
	}
	require.Zero(t, f.Count)
	require.False(t, f.Quarantined)
}

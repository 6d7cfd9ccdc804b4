package scrape

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneSliceMoreMovesOnlyWhatItGets(t *testing.T) {
	const keys = 100_000
	for n := 1; n < 20; n++ {
		moved, sizes := 0, make([]int, n)
		for i := range uint64(keys) {
			key := mix(i)
			before, after := jump(key, n), jump(key, n+1)
			sizes[before]++
			if before != after {
				moved++
				require.Equal(t, n, after, "it goes to the new one")
			}
		}
		require.InEpsilon(t, keys/(n+1), moved, 0.05)
		for _, size := range sizes {
			require.InEpsilon(t, keys/n, size, 0.08)
		}
	}
}

func TestAllVersionsAgreeWhichSliceAKeyBelongsTo(t *testing.T) {
	// Vectors that other implementations have.
	require.Equal(t, 0, jump(0xdead10cc, 1))
	require.Equal(t, 55, jump(1, 128))
	require.Equal(t, 43, jump(42, 57))
	require.Equal(t, 361, jump(0xdead10cc, 666))
	require.Equal(t, 520, jump(256, 1024))
}

// sliced is a config of thirty targets, as one slice of several has it.
func sliced(t *testing.T, slice, slices int, more string) *Config {
	t.Helper()
	var targets []string
	for i := range 30 {
		targets = append(targets, fmt.Sprintf(`"t%d:80"`, i))
	}
	config := configure(t, fmt.Sprintf(`[{job_name: a, scrape_interval: 10s%s, static_configs: [{targets: [%s]}]}]`, more, strings.Join(targets, ", ")))
	config.Slice, config.Slices = slice, slices
	return config
}

func addresses(s *Scraper) map[string]bool {
	found := map[string]bool{}
	for _, target := range s.Targets() {
		found[target.Labels.Get("instance")] = true
	}
	return found
}

func TestSlicesShareTheTargets(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		owners, future := map[string]int{}, map[string]int{}
		for slice := range 3 {
			s := newScraper(t, m, dial)
			require.NoError(t, s.Apply(t.Context(), sliced(t, slice, 3, "")))
			for address := range addresses(s) {
				future[address] = slice + 1
			}
			require.NoError(t, s.Start())
			for address := range addresses(s) {
				require.Zero(t, owners[address])
				owners[address] = slice + 1
			}
			require.NoError(t, s.Apply(t.Context(), sliced(t, slice, 3, ", scrape_timeout: 3s")))
			for address := range addresses(s) {
				require.Equal(t, slice+1, owners[address], "whatever its interval and timeout")
			}
		}
		require.Len(t, owners, 30)
		require.Equal(t, owners, future)
		<-time.After(11 * time.Second)
		synctest.Wait()
		require.Len(t, m.open(), 30*6)
	})
}

func TestWhatGoesToAnotherSliceLeavesNoStalenessMarkers(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		metrics, err := NewMetrics()
		require.NoError(t, err)
		m := newMemory()
		s := newScraper(t, m, dial, func(o *Options) { o.Metrics = metrics })
		run(t, s, sliced(t, 0, 1, ""))
		<-time.After(25 * time.Second)
		require.Len(t, m.open(), 30*6)
		require.NoError(t, s.Apply(t.Context(), sliced(t, 0, 2, ", scrape_timeout: 3s")))
		kept := len(s.Targets())
		require.Less(t, kept, 30)
		require.Equal(t, float64(kept), exposed(t, metrics)["prometheus_target_scrape_pool_targets"].Metric[0].GetGauge().GetValue())
		<-time.After(time.Minute)
		synctest.Wait()
		require.Len(t, m.open(), 30*6)

		for _, slices := range []int{0, 1, 2} {
			require.NoError(t, s.Apply(t.Context(), sliced(t, 5, slices, "")))
			require.Empty(t, s.Targets(), "there is no such slice")
		}
		<-time.After(time.Minute)
		require.Len(t, m.open(), 30*6)
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

func TestATargetLimitIsThatOfAllSlices(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		s := newScraper(t, newMemory(), dial)
		run(t, s, sliced(t, 0, 3, ", target_limit: 29"))
		<-time.After(11 * time.Second)
		synctest.Wait()
		require.Contains(t, lastError(s, 0), "number of targets: 30, limit: 29")
		require.NoError(t, s.Apply(t.Context(), sliced(t, 0, 3, ", target_limit: 30")))
		<-time.After(11 * time.Second)
		synctest.Wait()
		require.Empty(t, lastError(s, 0))
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

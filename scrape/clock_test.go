package scrape

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// wallClock is one that can be set, beside the bubble's, which goes on.
type wallClock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *wallClock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += by
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.offset)
}

// scrapeTimes are when each target was asked, by the bubble's clock.
type scrapeTimes struct {
	mu    sync.Mutex
	asked map[string][]time.Time
	slow  time.Duration
}

func (s *scrapeTimes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked[r.Host] = append(s.asked[r.Host], time.Now())
	s.mu.Unlock()
	<-time.After(s.slow)
	oneMetric(w, r)
}

func TestAStepOfTheWallClockNeitherSkipsNorDoublesTicks(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Hour + 1234*time.Millisecond, -time.Hour - 1234*time.Millisecond, 40 * time.Second, -40 * time.Second} {
		for _, interval := range []time.Duration{10 * time.Second, 15 * time.Second, 7 * time.Second} {
			for _, slow := range []time.Duration{0, 3 * time.Second} {
				t.Run(fmt.Sprint(step, " ", interval, " ", slow), func(t *testing.T) { stepClock(t, step, interval, slow) })
			}
		}
	}
}

func stepClock(t *testing.T, step, interval, slow time.Duration) {
	random := rand.New(rand.NewPCG(uint64(step), uint64(interval+slow)))
	times := &scrapeTimes{asked: map[string][]time.Time{}, slow: slow}
	inBubble(t, times.ServeHTTP, func(t *testing.T, dial func(*Options)) {
		clock := &wallClock{}
		s := newScraper(t, newMemory(), dial)
		s.options.Shared.clock = clock.now
		defer func() {
			require.NoError(t, s.Stop(over(), KeepSeries))
			<-time.After(slow + time.Second) // the targets answer nobody
		}()
		run(t, s, configure(t, fmt.Sprintf(`[{job_name: a, scrape_interval: %s, scrape_timeout: 5s, static_configs: [{targets: ["a:80", "b:80", "c:80", "d:80"]}]}]`, interval)))
		<-time.After(3*interval + time.Duration(random.Int64N(int64(interval))))
		for range 4 {
			clock.set(step)
			<-time.After(6*interval + time.Duration(random.Int64N(int64(interval))))
		}
		synctest.Wait()
		aligned := step%interval == 0
		times.mu.Lock()
		defer times.mu.Unlock()
		require.Len(t, times.asked, 4)
		for host, asked := range times.asked {
			odd := 0
			for i := 1; i < len(asked); i++ {
				gap := asked[i].Sub(asked[i-1])
				require.Less(t, gap, 2*interval+slow, "%s, scrape %d", host, i)
				if gap < interval-10*time.Millisecond || gap > interval+10*time.Millisecond {
					odd++
				}
			}
			if aligned {
				require.Zero(t, odd, "%s: the clock shows the same place of the interval", host)
			}
			require.LessOrEqual(t, odd, 8, "%s: one gap is shorter and one is longer for each of four steps", host)
			passed := float64(asked[len(asked)-1].Sub(asked[0])) / float64(interval)
			require.InDelta(t, passed, len(asked)-1, 4, "%s: at most one scrape more or less for each of four steps", host)
		}
		require.Less(t, testutil.ToFloat64(s.options.Metrics.loops.skipped), 5.0*4, "ticks that never were do not count as skipped")
	})
}

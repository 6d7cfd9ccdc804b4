package scrape

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
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
		metrics, err := NewMetrics(FullMetrics)
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

func TestTheFirstAndTheNewestTickOfASliceAreThoseThatATwinFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		s := newSchedule(random.Uint64(), random.Uint64(), time.Duration(1+random.IntN(20))*time.Second)
		d := division{kin: random.Uint64(), slicing: &slicing{slice: random.IntN(3), slices: random.IntN(4)}}
		until := time.Unix(1_800_000_000, random.Int64N(1e9))
		for range 1 + random.IntN(3) {
			d.earlier = append(d.earlier, Division{Slices: random.IntN(4), Until: until})
			until = until.Add(time.Duration(random.Int64N(30e9)))
			if random.IntN(3) == 0 {
				until = s.at(s.latest(until) + 1) // a tick is due at that very instant
			}
		}
		from := s.latest(time.Unix(1_800_000_000-20, 0))
		ours := map[int64]bool{}
		for tick := from; tick < from+150; tick++ {
			ours[tick] = d.has(d.kin, s.at(tick))
		}
		wanted, wantMore := from, false
		for tick := from; tick < from+150 && !wantMore; tick++ {
			if ours[tick] {
				wanted, wantMore = tick, true
			}
		}
		tick, more := d.first(s, from)
		require.Equal(t, wantMore, more)
		require.Equal(t, wanted, tick)
		to := from + random.Int64N(100)
		wanted, wantOurs := to, false
		for tick := to; tick >= from && !wantOurs; tick-- {
			if ours[tick] {
				wanted, wantOurs = tick, true
			}
		}
		tick, newest := d.newest(s, from, to)
		require.Equal(t, wantOurs, newest)
		require.Equal(t, wanted, tick)
	}
}

// resharding is a config in slices whose number changes. Each slice has a scraper, which hears of a
// change when it likes.
type resharding struct {
	t       *testing.T
	config  func(slice int, earlier []Division, slices int) *Config
	dial    func(*Options)
	random  *rand.Rand
	slices  int
	earlier []Division
	running map[int]*Scraper
}

// lead is how long after a change it is in force.
const lead = 10 * time.Second

// change makes it k slices.
func (r *resharding) change(k int) {
	r.earlier = append(r.earlier, Division{Slices: r.slices, Until: time.Now().Add(lead)})
	before := r.slices
	r.slices = k
	for slice := range max(before, k) {
		earlier, delay := r.earlier, time.Duration(r.random.Int64N(int64(3*time.Second)))
		<-time.After(delay)
		s := r.running[slice]
		if s == nil {
			s = newScraper(r.t, newMemory(), r.dial)
			r.running[slice] = s
			run(r.t, s, r.config(slice, earlier, k))
			continue
		}
		require.NoError(r.t, s.Apply(r.t.Context(), r.config(slice, earlier, k)))
	}
}

// move passes a slice on to a scraper that has not heard of what was before.
func (r *resharding) move(slice int) {
	require.NoError(r.t, r.running[slice].Stop(context.Background(), HandOver))
	s := newScraper(r.t, newMemory(), r.dial)
	require.NoError(r.t, s.Apply(r.t.Context(), r.config(slice, nil, r.slices)))
	require.NoError(r.t, s.Resume(r.running[slice].Handover()))
	require.NoError(r.t, s.Start())
	r.running[slice] = s
}

// settle ends the slices that there are no more, at the moment from which on they have no ticks.
func (r *resharding) settle() {
	<-time.After(time.Until(r.earlier[len(r.earlier)-1].Until))
	for slice, s := range r.running {
		if slice >= r.slices {
			require.NoError(r.t, s.Stop(context.Background(), HandOver))
			delete(r.running, slice)
		}
	}
}

func TestWhenTheNumberOfSlicesChangesEachTickIsTakenOnce(t *testing.T) {
	for what, quick := range map[string]bool{"and scrapes are quick": true, "and scrapes are slow": false} {
		t.Run(what, func(t *testing.T) {
			var mu sync.Mutex
			scraped := map[string][]time.Time{}
			serve := func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				scraped[r.Host] = append(scraped[r.Host], time.Now())
				mu.Unlock()
				if !quick {
					<-time.After(950 * time.Millisecond)
				}
				oneMetric(w, r)
			}
			inBubble(t, serve, func(t *testing.T, dial func(*Options)) {
				var fast, slow []string
				for i := range 40 {
					fast, slow = append(fast, fmt.Sprintf(`"f%d:80"`, i)), append(slow, fmt.Sprintf(`"s%d:80"`, i))
				}
				jobs := configure(t, fmt.Sprintf(`[{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%s]}]},
					{job_name: b, scrape_interval: 15s, scrape_timeout: 2s, static_configs: [{targets: [%s]}]}]`,
					strings.Join(fast, ", "), strings.Join(slow, ", "))).Jobs
				r := &resharding{t: t, dial: dial, random: rand.New(rand.NewPCG(5, 6)), slices: 1, running: map[int]*Scraper{},
					config: func(slice int, earlier []Division, slices int) *Config {
						return &Config{Jobs: jobs, Slice: slice, Slices: slices, Earlier: earlier}
					}}
				r.running[0] = newScraper(t, newMemory(), dial)
				run(t, r.running[0], r.config(0, nil, 1))
				<-time.After(20 * time.Second)
				for _, k := range []int{3, 2, 1, 4, 1} {
					r.change(k)
					if quick {
						r.move(0)
					}
					r.settle()
					<-time.After(10 * time.Second)
					targets := 0
					for _, s := range r.running {
						targets += len(s.Targets())
					}
					require.Equal(t, 80, targets)
				}
				r.change(3) // and before that is so:
				r.change(1)
				r.settle()
				<-time.After(20 * time.Second)
				for _, s := range r.running {
					require.NoError(t, s.Stop(t.Context(), HandOver))
				}
				<-time.After(time.Second) // what was cut off
				mu.Lock()
				defer mu.Unlock()
				require.Len(t, scraped, 80)
				for host, times := range scraped {
					interval := map[byte]float64{'f': 1, 's': 15}[host[0]]
					require.Greater(t, time.Since(times[0]).Seconds()/interval, 8.0)
					require.Less(t, time.Since(times[len(times)-1]).Seconds(), interval+2)
					for i := 1; i < len(times); i++ {
						require.InDelta(t, interval, times[i].Sub(times[i-1]).Seconds(), 0.002, "%s, scrapes %d and %d of %d", host, i-1, i, len(times))
					}
				}
			})
		})
	}
}

func TestASuccessorWithMoreSlicesLeavesToThemWhatWasCarried(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := onNode(t, m, dial)
		run(t, s, sliced(t, 0, 1, ""))
		<-time.After(25 * time.Second)
		require.Len(t, m.open(), 30*6)
		s = succeed(t, m, s, HandOver, sliced(t, 0, 2, ""), dial)
		require.Less(t, len(s.Targets()), 30)
		<-time.After(2 * inheritanceTime)
		synctest.Wait()
		require.Len(t, m.open(), 30*6, "the other slice scrapes them")
		require.Empty(t, s.left)
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

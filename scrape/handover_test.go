package scrape

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHandoverSurvivesItsText(t *testing.T) {
	h := newHandover(time.Unix(1_800_000_000, 123_456_789))
	s := newSchedule(7, 1, 15*time.Second)
	usual := s.latest(h.at) + 1
	h.add(1, s, usual)
	h.add(2, newSchedule(7, 2, 15*time.Second), 5)
	h.add(3, s, usual+1)
	h.slices, h.earlier = 3, []Division{{Slices: 1, Until: time.Unix(1_800_000_001, 0)}}
	text, lost := h.encode()
	require.Zero(t, lost)
	require.Less(t, len(text), 75)
	again, err := decodeHandover(text)
	require.NoError(t, err)
	require.True(t, again.at.Equal(h.at))
	require.Equal(t, map[uint64]struct{}{2: {}}, again.behind)
	require.Equal(t, map[uint64]struct{}{3: {}}, again.ahead)
	require.Equal(t, 3, again.slices)
	require.Equal(t, h.earlier, again.earlier)
}

func TestATargetBeginsWhereTheScraperBeforeHasEnded(t *testing.T) {
	s := schedule{interval: 10 * time.Second}
	h := newHandover(time.Unix(1_800_000_055, 0)) // five seconds after tick 180000005
	h.add(2, s, 180_000_005)
	h.add(3, s, 180_000_007)
	h.forget(4)
	for _, test := range []struct {
		target         uint64
		after          time.Duration
		first, unaware int64
	}{
		{1, 0, 180_000_006, 180_000_006},
		{1, 6 * time.Second, 180_000_006, 180_000_007}, // became due in the move
		{2, 0, 180_000_005, 180_000_006},               // was left
		{2, 6 * time.Second, 180_000_006, 180_000_007},
		{3, 0, 180_000_007, 180_000_006}, // was taken a little early
		{3, 6 * time.Second, 180_000_007, 180_000_007},
		{4, 6 * time.Second, 180_000_007, 180_000_007}, // has gone since
	} {
		now := h.at.Add(test.after)
		require.Equal(t, test.first, h.first(test.target, s, now), test)
		require.Equal(t, test.unaware, (*handover)(nil).first(test.target, s, now), test)
	}
}

func TestAHandoverHasABoundHoweverManyTargetsThereAre(t *testing.T) {
	h := newHandover(time.Unix(1_800_000_000, 0))
	for target := range uint64(10_000) {
		h.behind[target*0x9e3779b97f4a7c15] = struct{}{}
	}
	h.ahead[1] = struct{}{}
	text, lost := h.encode()
	require.Equal(t, 10_001-maxExceptions, lost)
	require.Less(t, len(text), 3<<10)
	again, err := decodeHandover(text)
	require.NoError(t, err)
	require.Len(t, again.behind, maxExceptions-1)
	require.Len(t, again.ahead, 1, "to take a tick twice would be worse")
}

func TestAHandoverThatIsNotUnderstoodTellsNothing(t *testing.T) {
	text, _ := newHandover(time.Unix(1_800_000_000, 0)).encode()
	garbled := []byte(text)
	garbled[len(garbled)/2] ^= 1
	for what, given := range map[string]string{
		"a newer version":  "2" + text[1:],
		"no version":       "none",
		"cut off":          text[:len(text)-2],
		"garbled":          string(garbled),
		"nothing but a 1":  handoverVersion,
		"not base64":       handoverVersion + "{}",
		"far too much":     handoverVersion + strings.Repeat("A", 1<<20),
		"more after it":    text + "AAAA",
		"a count too high": handoverVersion + base64.RawURLEncoding.EncodeToString([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f}),
	} {
		s, err := New(Options{Appendable: newMemory()})
		require.NoError(t, err)
		require.ErrorContains(t, s.Resume(given), "read handover", what)
		require.Nil(t, s.resume, what)
		require.Empty(t, s.Handover(), what)
		require.NoError(t, s.Stop(over(), KeepSeries))
	}
}

func FuzzDecodeHandover(f *testing.F) {
	h := newHandover(time.Unix(1_800_000_000, 5))
	h.ahead[7], h.behind[8], h.behind[9] = struct{}{}, struct{}{}, struct{}{}
	h.slices, h.earlier = 3, []Division{{Slices: 1, Until: time.Unix(1_800_000_001, 0)}}
	text, _ := h.encode()
	f.Add(text)
	f.Add("")
	f.Add(handoverVersion)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := decodeHandover(text)
		if err != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		for target := range uint64(10) {
			s := newSchedule(1, target, 15*time.Second)
			first := h.first(target, s, now)
			require.GreaterOrEqual(t, first, s.latest(now))
			require.LessOrEqual(t, first, s.latest(now)+2, "at most one interval more")
		}
		again, lost := h.encode()
		if lost > 0 {
			return
		}
		same, err := decodeHandover(again)
		require.NoError(t, err)
		require.Equal(t, h, same)
	})
}

func TestAScraperThatWasNotStartedPassesOnWhatItWasGiven(t *testing.T) {
	text, _ := newHandover(time.Now()).encode()
	s, err := New(Options{Appendable: newMemory()})
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, static_configs: [{targets: ["one:80"]}]}]`)))
	require.NoError(t, s.Resume(text))
	require.NoError(t, s.Stop(over(), KeepSeries))
	require.Equal(t, text, s.Handover())
}

func TestAClockThatIsWrongNeitherHaltsNorHurriesASuccessor(t *testing.T) {
	for _, wrong := range []time.Duration{-time.Hour, -time.Minute, time.Minute, time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
				var targets []string
				for i := range 100 {
					targets = append(targets, fmt.Sprintf(`"t%d:80"`, i))
				}
				m := newMemory()
				s := newScraper(t, m, dial)
				require.NoError(t, s.Apply(t.Context(), configure(t,
					`[{job_name: a, scrape_interval: 10s, static_configs: [{targets: [`+strings.Join(targets, ", ")+`]}]}]`)))
				text, _ := newHandover(time.Now().Add(wrong)).encode()
				require.NoError(t, s.Resume(text))
				require.NoError(t, s.Start())
				<-time.After(time.Millisecond)
				synctest.Wait()
				require.Less(t, len(m.find("up")), 10, "none is made up for")
				<-time.After(10 * time.Second)
				synctest.Wait()
				require.GreaterOrEqual(t, len(m.find("up")), 100, "none waits")
				require.NoError(t, s.Stop(over(), KeepSeries))
			})
		})
	}
}

func TestATargetThatComesBackDoesNotTakeATickAgain(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		one := configure(t, `[{job_name: a, scrape_interval: 1m, static_configs: [{targets: ["one:80"]}]}]`)
		other := configure(t, `[{job_name: a, scrape_interval: 1m, static_configs: [{targets: ["two:80"]}]}]`)
		m := newMemory()
		s := newScraper(t, m, dial)
		require.NoError(t, s.Apply(t.Context(), one))
		text, _ := newHandover(time.Now()).encode()
		require.NoError(t, s.Resume(text))
		require.NoError(t, s.Start())
		<-time.After(time.Until(s.NextTick()) + time.Second)
		require.Len(t, m.find("metric", "instance", "one:80"), 1)
		require.NoError(t, s.Apply(t.Context(), other))
		require.NoError(t, s.Apply(t.Context(), one))
		<-time.After(time.Second)
		require.Len(t, m.find("metric", "instance", "one:80"), 1)
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

// relay is a config that two nodes run in turns.
type relay struct {
	t      *testing.T
	random *rand.Rand
	m      *memory // that of the receiver
	dial   func(*Options)
	config *Config
	ids    map[string]schedule // by instance label
}

// run lets nodes take turns, with a pause in between that is shorter than an interval.
func (r *relay) run(turns int) {
	handover := ""
	for range turns {
		s := newScraper(r.t, r.m, r.dial, func(o *Options) { o.Seed = 42 })
		require.NoError(r.t, s.Apply(r.t.Context(), r.config))
		require.NoError(r.t, s.Resume(handover))
		require.NoError(r.t, s.Start())
		<-time.After(time.Duration(r.random.Int64N(int64(25 * time.Second))))
		for _, p := range s.pools {
			for _, l := range p.loops {
				r.ids[l.target.labels.Get("instance")] = l.schedule
			}
		}
		how, within := HandOver, time.Second
		if r.random.IntN(3) == 0 {
			how, within = KeepSeries, 250*time.Millisecond // it does not mind other targets' ticks
		}
		ctx, done := context.WithTimeout(context.Background(), time.Duration(r.random.Int64N(int64(within))))
		require.NoError(r.t, s.Stop(ctx, how))
		done()
		if next := s.NextTick(); r.random.IntN(2) == 0 {
			// The next node begins in the nick of time.
			<-time.After(time.Until(next) + time.Duration(r.random.Int64N(int64(4*time.Millisecond))) - 2*time.Millisecond)
		} else {
			<-time.After(time.Duration(r.random.Int64N(int64(700 * time.Millisecond))))
		}
		handover = s.Handover()
		require.NotEmpty(r.t, handover)
	}
}

// numbers are the ticks that reached the receiver, in order.
func (r *relay) numbers(instance string) []int64 {
	var numbers []int64
	for _, found := range r.m.find("up", "instance", instance) {
		require.False(r.t, found.stale())
		// A scrape begins after its tick and before the next one; of a little early one the samples
		// have the tick's time.
		numbers = append(numbers, r.ids[instance].latest(time.UnixMilli(found.t).Add(time.Millisecond-1)))
	}
	return numbers
}

func TestEachTickIsTakenOnceHoweverOftenAConfigMoves(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			target := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasPrefix(r.Host, "slow"):
					<-time.After(900 * time.Millisecond)
				case strings.HasPrefix(r.Host, "hanging"):
					<-r.Context().Done()
				default:
					<-time.After(20 * time.Millisecond)
				}
				oneMetric(w, r)
			}
			inBubble(t, target, func(t *testing.T, dial func(*Options)) {
				defer func() { <-time.After(time.Second) }() // the slow target answers nobody
				quick := []string{"a:80", "b:80", "c:80", "d:80", "e:80"}[:1+random.IntN(5)]
				all := quick
				if random.IntN(2) == 0 {
					all = append(all[:len(all):len(all)], "slow:80", "hanging:80")
				}
				r := &relay{t: t, random: random, m: newMemory(), dial: dial, ids: map[string]schedule{}, config: configure(t, fmt.Sprintf(
					`[{job_name: j, scrape_interval: %s, scrape_timeout: 1s, static_configs: [{targets: ["%s"]}]}]`,
					[]string{"1s", "1500ms", "15s"}[random.IntN(3)], strings.Join(all, `", "`)))}
				r.run(12)
				for _, instance := range all {
					numbers := r.numbers(instance)
					require.LessOrEqual(t, numbers[len(numbers)-1]-numbers[0]-int64(len(numbers)-1), int64(12), "a slow target misses one tick per move")
					for i := 1; i < len(numbers); i++ {
						step := numbers[i] - numbers[i-1]
						if instance == "slow:80" || instance == "hanging:80" {
							require.Positive(t, step, "%s takes no tick twice: %v", instance, numbers)
							continue
						}
						require.Equal(t, int64(1), step, "%s, after %d: %v", instance, i, numbers)
					}
				}
			})
		})
	}
}

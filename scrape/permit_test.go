package scrape

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAVetoedTickIsTakenWhenThePermitIsBack(t *testing.T) {
	for what, test := range map[string]struct {
		takes, from, to time.Duration // the scrape; when the permit is gone, after the tick
		late            time.Duration // tick; below zero: lost
	}{
		"gone for a moment":            {0, -10 * time.Millisecond, 90 * time.Millisecond, 100 * time.Millisecond},
		"back before anybody asks":     {0, -10 * time.Millisecond, -time.Millisecond, 0},
		"gone for a while":             {0, -time.Second, 1500 * time.Millisecond, 1600 * time.Millisecond},
		"gone for too long":            {0, -time.Second, 6 * time.Second, -1},
		"gone at the commit":           {30 * time.Millisecond, 20 * time.Millisecond, 70 * time.Millisecond, 80 * time.Millisecond},
		"gone at the commit, too late": {3 * time.Second, 2 * time.Second, 3100 * time.Millisecond, -1},
	} {
		t.Run(what, func(t *testing.T) {
			var takes atomic.Int64
			target := func(w http.ResponseWriter, r *http.Request) {
				<-time.After(time.Duration(takes.Load()))
				oneMetric(w, r)
			}
			inBubble(t, target, func(t *testing.T, dial func(*Options)) {
				var permitted atomic.Bool
				permitted.Store(true)
				metrics, err := NewMetrics(FullMetrics)
				require.NoError(t, err)
				m := newMemory()
				s := newScraper(t, m, dial, func(o *Options) { o.Permit, o.Metrics = permitted.Load, metrics })
				run(t, s, configure(t, `[{job_name: a, scrape_interval: 10s, scrape_timeout: 9s, static_configs: [{targets: ["one:80"]}]}]`))
				<-time.After(15 * time.Second)
				before, tick := len(m.find("up")), s.NextTick()
				takes.Store(int64(test.takes))
				<-time.After(time.Until(tick.Add(test.from)))
				permitted.Store(false)
				<-time.After(test.to - test.from)
				permitted.Store(true)
				<-time.After(time.Until(tick.Add(9 * time.Second)))
				synctest.Wait()
				taken := m.find("up")[before:]
				lost := exposed(t, metrics)["scrape_ticks_vetoed_total"].Metric[0].GetCounter().GetValue()
				if test.late < 0 {
					require.Empty(t, taken)
					require.Equal(t, 1.0, lost)
				} else {
					require.Len(t, taken, 1, "once")
					require.Equal(t, tick.Add(test.late).UnixMilli(), taken[0].t)
					require.Zero(t, lost)
				}
				require.Equal(t, tick.Add(10*time.Second), s.NextTick())
				<-time.After(7 * time.Second)
				require.Len(t, m.find("up"), before+len(taken)+1, "the next tick is as if nothing had been")
				require.NoError(t, s.Stop(over(), KeepSeries))
			})
		})
	}
}

func TestWhoHasNoPermitForLongIsRarelyAsked(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		var asked atomic.Int64
		s := newScraper(t, newMemory(), dial, func(o *Options) { o.Permit = func() bool { asked.Add(1); return false } })
		run(t, s, configure(t, `[{job_name: a, scrape_interval: 15s, static_configs: [{targets: ["one:80"]}]}]`))
		<-time.After(150 * time.Second)
		require.LessOrEqual(t, asked.Load(), int64(90))
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

func TestAVetoedTickIsLeftToTheSuccessor(t *testing.T) {
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		config := configure(t, `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: ["one:80"]}]}]`)
		var vetoed atomic.Bool
		m := newMemory()
		a := newScraper(t, m, dial, func(o *Options) { o.Permit = func() bool { return !vetoed.Load() } })
		run(t, a, config)
		<-time.After(25 * time.Second)
		vetoed.Store(true)
		before, tick := len(m.find("up")), a.NextTick()
		<-time.After(time.Until(tick.Add(time.Second)))
		require.NoError(t, a.Stop(t.Context(), Fence))
		require.Equal(t, tick, a.NextTick())

		b := newScraper(t, m, dial)
		require.NoError(t, b.Resume(a.Handover()))
		run(t, b, config)
		<-time.After(time.Second)
		require.Len(t, m.find("up"), before+1)
		require.NoError(t, b.Stop(t.Context(), KeepSeries))
	})
}

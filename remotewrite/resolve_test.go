package remotewrite

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// seriesNamed is a series of resolve_test.go.
func seriesNamed(name string, n int) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, fmt.Sprint(name, n))
}

// target commits a scrape of a target: count series with one sample each.
func (f *fleet) target(i int, name string, count int, at int64) {
	entries := make([]memsample, 0, count)
	for n := range count {
		ref := uint64(name[0])<<16 + uint64(n)
		entries = append(entries, memsample{ref: ref, labels: seriesNamed(name, n), t: epoch + at, v: float64(at)})
	}
	f.logs[i].commit(entries...)
	f.queues[i].Notify()
}

// loseOne makes the receiver lose one answer: that of a request that it stores, or of one that it
// does not.
func (f *fleet) loseOne(stored bool) {
	var lost atomic.Bool
	lose := func(*receivertest.Request) int {
		if lost.CompareAndSwap(false, true) {
			return http.StatusInternalServerError
		}
		return 0
	}
	f.r.Set(func(r *receivertest.Receiver) {
		if stored {
			r.After = lose
		} else {
			r.Before = lose
		}
	})
}

// requireSettled waits, and checks that each sample is settled; rejected is how many were lost.
func (f *fleet) requireSettled(rejected int) {
	f.t.Helper()
	f.after(10 * time.Minute)
	sent, dropped, pending := f.requireBalance()
	require.Zero(f.t, pending)
	require.EqualValues(f.t, rejected, dropped)
	require.EqualValues(f.t, f.r.Samples(), sent, "what is booked as sent is there, and nothing else")
}

// inBothProtocols is virtually with each version.
func inBothProtocols(t *testing.T, test func(t *testing.T, speak func(*promconfig.RemoteWriteConfig))) {
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		virtually(t, func(t *testing.T) { test(t, speak) })
	})
}

func TestAReceiverThatTakesTheNewestSampleAgainHasWhatItHad(t *testing.T) {
	inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 1, speak, perSend(1000))
		f.r.Forgives = true
		f.loseOne(true)
		for at := range int64(4) { // a target is scraped four times as often as the other
			f.target(0, "often", 10, at)
		}
		f.target(0, "seldom", 10, 0)
		f.requireSettled(0)
		require.Equal(t, 50, f.r.Samples())
		f.close()
	})
}

func TestAKillBetweenTargetsWithDifferentIntervalsCostsNothingWhereARepetitionIsForgiven(t *testing.T) {
	for _, forgives := range []bool{true, false} {
		t.Run(fmt.Sprint("forgives ", forgives), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				first := newFleet(t, 2, perSend(1000))
				first.r.Forgives = forgives
				first.scrape(0, 2)
				first.after(10 * time.Second)
				hang := make(chan struct{})
				first.r.Set(func(r *receivertest.Receiver) {
					r.After = func(*receivertest.Request) int { <-hang; return 500 }
				})
				first.target(0, "seldom", 30, 0)
				for at := range int64(3) {
					first.target(0, "often", 30, at)
				}
				first.scrape(1, 2)
				first.after(6 * time.Second)
				require.Equal(t, 20+120+10, first.r.Samples(), "stored, and nobody was told")
				second := first.killed()
				close(hang)
				first.close()
				first.r.Set(func(r *receivertest.Receiver) { r.After = nil })
				second.startAll()
				second.target(0, "often", 30, 3)
				second.target(0, "seldom", 30, 1)
				second.after(10 * time.Minute)
				_, dropped, pending := second.requireBalance()
				require.Zero(t, pending)
				require.Zero(t, dropped)
				require.Equal(t, 20+120+10+60, first.r.Samples())
				second.close()
			})
		})
	}
}

func TestABatchInDoubtWithManyPoisonSeriesLosesNoGoodSample(t *testing.T) {
	const poison, good = 11, 5
	require.Less(t, poison, hopelessInDoubt)
	for range 20 {
		inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
			f := newFleet(t, 1, speak, perSend(1000))
			f.r.Poison = func(ls labels.Labels) bool { return strings.HasPrefix(ls.Get(model.MetricNameLabel), "poison") }
			f.loseOne(false)
			for at := range int64(2) {
				f.target(0, "poison", poison, at)
				f.target(0, "good", good, at)
			}
			f.requireSettled(2 * poison)
			require.Equal(t, 2*good, f.r.Samples())
			f.close()
		})
	}
}

func TestWhatAReceiverWroteOfABatchInDoubtSaysWhetherItHadIt(t *testing.T) {
	for _, c := range []struct {
		stored  bool
		scrapes int64
	}{{false, 1}, {false, 3}, {true, 1}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newFleet(t, 1, version2, perSend(1000))
				f.r.Partial, f.r.Forgives = true, true
				f.r.Poison = func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "poison0" }
				f.loseOne(c.stored)
				for at := range c.scrapes {
					f.target(0, "good", 10, at)
					f.target(0, "poison", 1, at)
				}
				f.requireSettled(int(c.scrapes))
				f.close()
			})
		})
	}
}

func TestABatchThatTheReceiverNeverHadArrivesWhateverOneTargetDoes(t *testing.T) {
	late := func(f *fleet, width int) int {
		for n := range width {
			f.r.Newest(seriesNamed("bad", n), epoch) // another node has sent the first sample
		}
		return 0
	}
	poison := func(f *fleet, width int) int {
		f.r.Poison = func(ls labels.Labels) bool { return strings.HasPrefix(ls.Get(model.MetricNameLabel), "bad") }
		return 2 * width
	}
	for _, c := range []struct {
		name        string
		fault       func(f *fleet, width int) (rejected int)
		width, good int
	}{
		{"a few are late", late, 5, 30},
		{"many are late", late, 30, 30},
		{"all are late", late, 30, 0},
		{"many are poison", poison, 30, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
				f := newFleet(t, 1, speak, perSend(1000))
				rejected := c.fault(f, c.width)
				f.loseOne(false)
				f.target(0, "bad", c.width, 0)
				f.target(0, "bad", c.width, 1)
				f.target(0, "good", c.good, 1)
				f.requireSettled(rejected)
				require.Equal(t, 2*c.width+c.good-rejected, f.r.Samples())
				f.close()
			})
		})
	}
}

func TestALostAnswerCostsFewRequestsHoweverManySeriesTheBatchHas(t *testing.T) {
	for _, forgives := range []bool{true, false} {
		t.Run(fmt.Sprint("forgives ", forgives), func(t *testing.T) {
			inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
				f := newFleet(t, 1, speak, perSend(1000))
				f.r.Forgives = forgives
				f.loseOne(true)
				for at := range int64(2) {
					f.target(0, "often", 300, at)
				}
				f.target(0, "seldom", 100, 0)
				f.requireSettled(0)
				require.Equal(t, 700, f.r.Samples())
				require.LessOrEqual(t, f.r.Requests(), 2+hopelessInDoubt+1+3*hopelessInDoubt+1)
				f.close()
			})
		})
	}
}

func TestABatchInDoubtWhoseFirstSamplesAreTooLateLosesNoLaterOnes(t *testing.T) {
	inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 1, speak, perSend(1000))
		f.loseOne(false)
		const late, scrapes = 4, 16
		for n := range 10 {
			f.r.Newest(seriesNamed("late", n), epoch+late-1)
		}
		before := f.r.Samples()
		for at := range int64(scrapes) {
			f.target(0, "late", 10, at)
			f.target(0, "other", 10, at)
		}
		f.after(10 * time.Minute)
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 10*late, dropped)
		require.Equal(t, 20*scrapes-10*late, f.r.Samples()-before)
		f.close()
	})
}

func TestHoweverManySamplesAreTooLateMostOfTheLaterOnesArrive(t *testing.T) {
	for _, late := range []int{1, 2, 3, 5, 10, 13, 19} {
		t.Run(fmt.Sprint(late, " of 20"), func(t *testing.T) {
			inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
				f := newFleet(t, 1, speak, perSend(1000))
				for n := range 5 {
					f.r.Newest(seriesNamed("late", n), epoch+int64(late)-1)
				}
				for at := range int64(20) {
					f.target(0, "late", 10, at)
				}
				f.after(10 * time.Minute)
				_, dropped, pending := f.requireBalance()
				require.Zero(t, pending)
				require.LessOrEqual(t, dropped, uint64(5*min(2*late, 20)))
				require.GreaterOrEqual(t, dropped, uint64(5*late))
				f.close()
			})
		})
	}
}

func TestSeriesThatWereTooLateAreTakenAgainBesideOneThatIsPoison(t *testing.T) {
	inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 1, speak, perSend(1000))
		f.r.Poison = func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "late0" }
		const late, width = 6, 12
		for n := 1; n < width; n++ {
			f.r.Newest(seriesNamed("late", n), epoch+late)
		}
		for at := range int64(30) {
			f.target(0, "late", width, at)
			f.target(0, "good", 4, at)
			f.after(10 * time.Second)
		}
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.LessOrEqual(t, dropped, uint64(30+(width-1)*(late+1+3)), "one by one, they would be found in as many scrapes as there are")
		f.close()
	})
}

func TestExemplarsThatComeAloneAreSent(t *testing.T) {
	for name, finish := range map[string]func(f *fleet){
		"within the deadline": func(f *fleet) { f.after(6 * time.Second) },
		"by a drain": func(f *fleet) {
			_, err := f.queues[0].Drain(f.t.Context())
			require.NoError(f.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
				f := newFleet(t, 1, speak)
				f.target(0, "a", 1, 0)
				f.after(10 * time.Second)
				requests := f.r.Requests()
				f.logs[0].commit(memsample{ref: uint64('a') << 16, labels: seriesNamed("a", 0), e: &exemplar.Exemplar{Value: 1, Ts: epoch, HasTs: true}})
				f.queues[0].Notify()
				finish(f)
				require.Equal(t, requests+1, f.r.Requests())
				require.Len(t, f.r.Stored()[seriesNamed("a", 0).String()].Exemplars, 1)
				f.after(time.Hour)
				require.Equal(t, requests+1, f.r.Requests())
				require.Equal(t, Place{Position: f.logs[0].end()}, f.logs[0].cursors["a"])
				f.close()
			})
		})
	}
}

func TestACommonRequestHoldsNoMoreItemsThanOneOfItsContributorsMaySend(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 10)
		var most atomic.Int64
		f.r.Before = func(r *receivertest.Request) int {
			most.Store(max(most.Load(), int64(len(r.Series))))
			return 0
		}
		for i := range f.logs {
			entries := []memsample{{ref: 1, labels: seriesOf(i, 0), t: epoch, v: 1}}
			for n := range 40 {
				entries = append(entries, memsample{ref: 1, labels: seriesOf(i, 0), e: &exemplar.Exemplar{Value: float64(n), Ts: epoch, HasTs: true}})
			}
			f.logs[i].commit(entries...)
			f.queues[i].Notify()
		}
		f.after(10 * time.Second)
		require.Equal(t, 10, f.r.Samples())
		require.EqualValues(t, 2*41, most.Load(), "two have room in a batch of 100 items")
		f.close()
	})
}

func TestWhatSamplesWeighIsLearnedForTheBoundOnMemory(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 1, perSend(1000))
		h := tsdbutil.GenerateTestHistogram(1)
		for n := range 200 {
			h.PositiveSpans = append(h.PositiveSpans, h.PositiveSpans[1])
			h.PositiveBuckets = append(h.PositiveBuckets, int64(n)*1e15, int64(-n)*1e15)
		}
		for n := range 10 {
			f.logs[0].commit(memsample{ref: uint64(1 + n), labels: seriesNamed("h", n), t: epoch, h: h})
		}
		e := (*f.queues[0].live.Load())[0]
		require.EqualValues(t, 10*floatBytes, e.weight.of(10))
		f.queues[0].Notify()
		f.after(10 * time.Second)
		require.Equal(t, 10, f.r.Samples())
		require.Greater(t, e.weight.of(10), int64(3*10*floatBytes))
		for range 100 {
			e.weight.note(10, 10)
		}
		require.EqualValues(t, 10*floatBytes, e.weight.of(10), "it is forgotten")
		f.close()
	})
}

func TestExemplarsThatComeAloneSayNothingOfWhatSamplesWeigh(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.target(0, "a", 1, 0)
		f.after(10 * time.Second)
		e := (*f.queues[0].live.Load())[0]
		before := e.weight.of(10)
		var alone []memsample
		for n := range 50 {
			alone = append(alone, memsample{ref: uint64('a') << 16, labels: seriesNamed("a", 0), e: &exemplar.Exemplar{Value: float64(n), Ts: epoch, HasTs: true}})
		}
		f.logs[0].commit(alone...)
		f.queues[0].Notify()
		f.after(10 * time.Second)
		require.Len(t, f.r.Stored()[seriesNamed("a", 0).String()].Exemplars, 50)
		require.Equal(t, before, e.weight.of(10))
		f.close()
	})
}

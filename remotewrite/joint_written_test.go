package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// requireBooked checks that each endpoint's account says of its samples what is true of them.
func (f *fleet) requireBooked() {
	f.t.Helper()
	f.requireBalance()
	stored := f.r.Stored()
	for i, q := range f.queues {
		var arrived uint64
		for n := range fleetSeries {
			arrived += uint64(len(stored[seriesOf(i, n).String()].Samples))
		}
		s := q.Endpoints()[0]
		require.Equal(f.t, arrived, s.Sent, "instance %d: %+v", i, s)
		require.Equal(f.t, s.Committed-arrived, s.Dropped[Rejected], "instance %d: %+v", i, s)
	}
}

// poisonedUnits makes series 4 of some instances, or all series of them, unacceptable.
func poisonedUnits(all bool, units ...string) func(labels.Labels) bool {
	return func(ls labels.Labels) bool {
		return slices.Contains(units, ls.Get("unit")) && (all || ls.Get(model.MetricNameLabel) == "s4")
	}
}

func TestAPartialWriteOfACommonRequestIsBookedAtThoseWhoseSamplesWereRefused(t *testing.T) {
	for name, poison := range map[string]func(labels.Labels) bool{
		"one series of one":       poisonedUnits(false, "3"),
		"one series of three":     poisonedUnits(false, "0", "3", "9"),
		"all of one":              poisonedUnits(true, "3"),
		"all of two":              poisonedUnits(true, "3", "4"),
		"one series of everybody": func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "s9" },
	} {
		for _, success := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", as a success ", success), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					f := newFleet2(t, 0, true)
					f.connect(audited{t, partial{served{f.r}, success}})
					f.add(10)
					f.r.Partial, f.r.Forgives, f.r.Poison = true, true, poison
					for range 6 {
						f.scrape(0, 10)
						f.after(10 * time.Second)
						f.requireBooked()
					}
					f.close()
				})
			})
		}
	}
}

// partial answers a request that was written in part as a success, or as it comes.
type partial struct {
	to      http.RoundTripper
	success bool
}

func (p partial) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.to.RoundTrip(r)
	if err == nil && p.success && resp.Header.Get(samplesWritten) != "" && resp.Header.Get(samplesWritten) != "0" {
		resp.StatusCode = http.StatusOK
	}
	return resp, err
}

func TestAPartialWriteCostsTwoRequestsForEachHalvingOnce(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 40, true, perSend(400))
		f.r.Partial, f.r.Forgives, f.r.Poison = true, true, poisonedUnits(false, "33")
		f.scrape(0, 40)
		f.after(10 * time.Second)
		require.LessOrEqual(t, f.r.Requests(), 1+2*6)
		asked := f.r.Requests()
		for range 20 {
			f.scrape(0, 40)
			f.after(10 * time.Second)
		}
		f.requireBooked()
		require.LessOrEqual(t, f.r.Requests()-asked, 20*2, "the one at fault is apart")
		f.close()
	})
}

func TestAPartialWriteBySeveralSamplesOfASeriesIsBookedAtTheOneThatIsAtFault(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 10, true, perSend(1000))
		f.r.Partial, f.r.Forgives, f.r.Poison = true, true, poisonedUnits(false, "3")
		for range 3 {
			f.scrape(0, 10)
		}
		f.after(10 * time.Second)
		f.requireBooked()
		f.close()
	})
}

// A twin whose instances send for themselves has the same samples arrive and the same accounts.
func TestPartialWritesOfCommonRequestsAreBookedAsThoseOfOwnRequests(t *testing.T) {
	for seed := range uint64(40) {
		virtually(t, func(t *testing.T) {
			arrived := map[bool]map[string]string{}
			accounts := map[bool][]map[Reason]uint64{}
			for _, together := range []bool{true, false} {
				rnd := rand.New(rand.NewPCG(seed, 9))
				f := newFleet2(t, 12, together, perSend(400))
				f.r.Partial, f.r.Forgives = true, true
				one := 5 + rnd.IntN(60)
				f.r.Poison = func(ls labels.Labels) bool { return int(seriesKey(appendLabels(nil, ls))>>8)%one == 0 }
				for range 6 {
					for range 1 + rnd.IntN(3) {
						f.scrape(0, len(f.queues))
					}
					f.after(time.Duration(1+rnd.IntN(8)) * time.Minute)
					f.requireBooked()
				}
				arrived[together] = textOf(f.r.Stored())
				for _, q := range f.queues {
					accounts[together] = append(accounts[together], q.Endpoints()[0].Dropped)
				}
				f.close()
			}
			require.Equal(t, arrived[false], arrived[true], "seed %d", seed)
			require.Equal(t, accounts[false], accounts[true], "seed %d", seed)
		})
	}
}

// Samples that are too late are refused before later ones of the same series are taken. What is asked
// about such a series is answered as if all of it was taken.
func TestARefusalThatLeavesNoTraceIsSaidAndCountedOnce(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 0, true, perSend(300))
		core, logs := observer.New(zapcore.WarnLevel)
		f.logger = zap.New(core)
		f.add(10)
		f.r.Partial, f.r.Forgives = true, true
		f.r.Newest(seriesOf(3, 4), epoch+2)
		for range 3 {
			f.scrape(0, 10)
		}
		f.after(10 * time.Second)
		sent, dropped, pending := f.requireBalance()
		require.EqualValues(t, 298, sent)
		require.EqualValues(t, 2, dropped)
		require.Zero(t, pending)
		open := logs.FilterMessageSnippet("does not say whose").All()
		require.Len(t, open, 1)
		require.EqualValues(t, 2, open[0].ContextMap()["samples"])
		f.close()
	})
}

// A receiver that refuses each repetition does not say whose samples it refused: only how many.
func TestAReceiverThatTakesNoRepetitionIsSentNoCommonRequestAfterAPartialWrite(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 0, true)
		core, logs := observer.New(zapcore.WarnLevel)
		f.logger = zap.New(core)
		f.add(10)
		f.r.Partial, f.r.Poison = true, poisonedUnits(false, "3", "5")
		f.scrape(0, 10)
		f.after(10 * time.Second)
		sent, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 98, sent)
		require.EqualValues(t, 2, dropped, "at somebody")
		require.LessOrEqual(t, f.r.Requests(), 1+2, "nothing is learned by more requests")
		open := logs.FilterMessageSnippet("does not say whose").All()
		require.Len(t, open, 1)
		require.EqualValues(t, 2, open[0].ContextMap()["samples"])
		for range 5 {
			f.scrape(0, 10)
			f.after(10 * time.Minute)
		}
		f.requireBalance()
		for i, q := range f.queues {
			want := uint64(0)
			switch i {
			case 0:
				want = 2 // of the others
			case 3, 5:
				want = 5
			}
			require.Equal(t, want, q.Endpoints()[0].Dropped[Rejected], "instance %d sends by itself from now on", i)
		}
		f.close()
	})
}

// Histograms are counted apart: one that takes none says whose were refused.
func TestAReceiverThatTakesNoHistogramsIsAskedNothing(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 0, true)
		f.connect(withoutHistograms{served{f.r}})
		f.add(10)
		f.r.Partial = true
		rnd := rand.New(rand.NewPCG(3, 8))
		f.scrapes++
		var floats, all uint64
		for i := range f.queues {
			f.commitRandom(rnd, i)
			for _, s := range f.logs[i].records[0].entries {
				if s.e == nil {
					all++
				}
				if s.e == nil && s.h == nil && s.fh == nil {
					floats++
				}
			}
		}
		f.after(10 * time.Second)
		sent, dropped, _ := f.requireBalance()
		require.Equal(t, floats, sent)
		require.Equal(t, all-floats, dropped)
		require.LessOrEqual(t, f.r.Requests(), 2)
		f.close()
	})
}

// withoutHistograms says of each request that no histogram was written.
type withoutHistograms struct{ to http.RoundTripper }

func (w withoutHistograms) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.to.RoundTrip(r)
	if err == nil {
		resp.Header.Set(histogramsWritten, "0")
		resp.StatusCode = http.StatusBadRequest
	}
	return resp, err
}

func TestAnAnswerThatIsLostWhileAPartialWriteIsLookedIntoLosesNothing(t *testing.T) {
	for lost := 2; lost < 10; lost++ {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprint(lost, stored), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					f := newFleet2(t, 10, true)
					f.r.Partial, f.r.Forgives, f.r.Poison = true, true, poisonedUnits(false, "3")
					fail := func(*receivertest.Request) int {
						if f.r.Requests() == lost {
							return http.StatusServiceUnavailable
						}
						return 0
					}
					if stored {
						f.r.After = fail
					} else {
						f.r.Before = fail
					}
					f.scrape(0, 10)
					f.after(time.Minute)
					f.requireBooked()
					f.close()
				})
			})
		}
	}
}

func TestACloseWhileAPartialWriteIsLookedIntoLosesNothing(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 10, true, func(c *promconfig.RemoteWriteConfig) { c.RemoteTimeout = model.Duration(30 * time.Second) })
		hang := make(chan struct{})
		var once atomic.Bool
		f.r.Partial, f.r.Forgives, f.r.Poison = true, true, poisonedUnits(false, "3", "4")
		f.r.Before = func(*receivertest.Request) int {
			if f.r.Requests() > 1 && once.CompareAndSwap(false, true) {
				<-hang
			}
			return 0
		}
		f.scrape(0, 10)
		synctest.Wait()
		f.queues[1].Close()
		f.queues[3].Close()
		f.start(1)
		f.start(3)
		close(hang)
		f.after(time.Minute)
		f.requireBooked()
		f.close()
	})
}

func TestARefusalIsCountedThoughAQuestionFails(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 10, true)
		f.r.Partial, f.r.Poison = true, poisonedUnits(false, "3") // takes no repetition
		f.r.Before = func(*receivertest.Request) int {
			if f.r.Requests() == 3 {
				return http.StatusServiceUnavailable
			}
			return 0
		}
		f.scrape(0, 10)
		f.after(time.Minute)
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.Equal(t, 99, f.r.Samples())
		require.EqualValues(t, 1, dropped)
		f.close()
	})
}

// One has two scrapes, and all of another is refused: together as many samples were written as
// there are series.
func TestAsManySamplesAsSeriesAreNotTheNewestOfEachSeries(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 4, true, perSend(1000))
		f.r.Partial, f.r.OutOfOrder, f.r.Poison = true, true, poisonedUnits(true, "1")
		for range 3 {
			f.scrape(0, 1)
			for i := range 4 {
				f.scrapes++
				f.commit(i)
				f.after(100 * time.Millisecond)
			}
			f.after(10 * time.Second)
		}
		f.requireBooked()
		f.close()
	})
}

func TestWhoWaitsWhenAReceiverIsFoundToTakeNoRepetitionSharesNoMore(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 0, true)
		core, logs := observer.New(zapcore.WarnLevel)
		f.logger = zap.New(core)
		f.add(18)
		f.r.Partial = true
		f.r.Poison = func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "s4" }
		f.scrape(0, 10)
		for i := 10; i < 18; i++ {
			f.commit(i)
		}
		f.after(10 * time.Second)
		require.Len(t, logs.FilterMessageSnippet("does not say whose").All(), 1)
		f.close()
	})
}

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
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// commitWide commits a scrape of an instance that is about so many bytes long.
func (f *fleet) commitWide(i, bytes int) {
	var entries []memsample
	for n := range fleetSeries {
		ls := labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("s%d", n), "unit", fmt.Sprint(i), "wide", fmt.Sprintf("%d of %d %s", n, i, strings.Repeat("x", bytes/fleetSeries)))
		entries = append(entries, memsample{ref: uint64(n + 1), labels: ls, t: epoch + int64(f.scrapes), v: 1})
	}
	f.logs[i].commit(entries...)
	f.queues[i].Notify()
}

func TestSharingComesBackAfterA413(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 10, speak, perSend(1000))
		scrape := func() (requests int) {
			before := f.r.Requests()
			f.scrapes++
			for i := range f.queues {
				f.commitWide(i, 10<<10)
			}
			f.after(10 * time.Second)
			return f.r.Requests() - before
		}
		require.Equal(t, 1, scrape())
		f.r.Set(func(r *receivertest.Receiver) {
			r.Before = func(r *receivertest.Request) int {
				if len(r.Series) > fleetSeries {
					return http.StatusRequestEntityTooLarge
				}
				return 0
			}
		})
		scrape()
		f.r.Set(func(r *receivertest.Receiver) { r.Before = nil })
		require.Equal(t, 10, scrape(), "no two of them fit the limit that it learned")
		for range 500 {
			scrape()
		}
		require.Equal(t, 1, scrape())
		f.close()
	})
}

// A receiver that asks for a pause gets nothing but one attempt now and then, though more common
// requests are ready.
func TestAPauseEndsTheOtherRequestsOfARun(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
			f := newFleet(t, 0, speak, perSend(1000))
			var asked atomic.Int32
			f.connect(served{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Retry-After", "240")
				w.WriteHeader(status)
			})})
			f.add(40)
			f.joiner().size.learn(50 << 10)
			for i := range f.queues {
				f.commitWide(i, 10<<10)
			}
			f.after(100 * time.Second)
			require.LessOrEqual(t, asked.Load(), int32(2), status)
			f.close()
		})
	}
}

func TestAPauseEndsTheHalvesOfARefusedRequest(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 0)
		var asked atomic.Int32
		f.connect(served{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 1 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Retry-After", "240")
			w.WriteHeader(http.StatusTooManyRequests)
		})})
		f.add(10)
		f.scrape(0, 10)
		f.after(6 * time.Second)
		require.EqualValues(t, 2, asked.Load())
		f.close()
	})
}

func (f *fleet) joiner() *joiner { return &(*f.queues[0].live.Load())[0].sender.destination.joiner }

// limited answers 429 to the first request, which was written, as the answer says.
type limited struct {
	to   http.RoundTripper
	once *atomic.Bool
}

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.to.RoundTrip(r)
	if err == nil && l.once.CompareAndSwap(false, true) {
		answer.StatusCode = http.StatusTooManyRequests
	}
	return answer, err
}

func TestWhatARefusalSaysWasWrittenIsNotDropped(t *testing.T) {
	for _, together := range []bool{true, false} {
		for _, retried := range []bool{true, false} {
			t.Run(fmt.Sprintf("together %v, retried %v", together, retried), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					f := newFleet2(t, 0, true, perSend(1000), func(c *promconfig.RemoteWriteConfig) { c.QueueConfig.RetryOnRateLimit = retried })
					way := limited{served{f.r}, &atomic.Bool{}}
					f.connect(way)
					for range 10 {
						if !together {
							f.connect(way)
						}
						f.add(1)
					}
					f.r.Partial, f.r.Forgives = true, true
					f.scrape(0, 10)
					f.scrape(0, 10)
					f.after(time.Minute)
					_, dropped, pending := f.requireBalance()
					require.Zero(t, pending)
					require.Equal(t, 200, f.r.Samples())
					require.Zero(t, dropped)
					f.close()
				})
			})
		}
	}
}

// Whatever a receiver says that it wrote, nothing panics, and all is accounted for.
func TestNoHeaderOfAReceiverBreaksTheAccount(t *testing.T) {
	for _, status := range []int{200, 204, 400, 413, 429, 500} {
		for _, samples := range []string{"-1", "18446744073709551615", "9223372036854775808", "garbage", "", "0", "1", "55"} {
			for _, others := range []string{samples, "0", ""} {
				virtually(t, func(t *testing.T) {
					f := newFleet2(t, 0, true)
					f.connect(served{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set(samplesWritten, samples)
						w.Header().Set(histogramsWritten, others)
						w.Header().Set(exemplarsWritten, others)
						w.WriteHeader(status)
					})})
					f.add(10)
					f.scrape(0, 10)
					f.after(20 * time.Second)
					f.requireBalance()
					f.close()
				})
			}
		}
	}
}

package remotewrite

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// audited checks the table of strings of each request of protocol 2.0.
type audited struct {
	t  *testing.T
	to http.RoundTripper
}

func (a audited) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	require.NoError(a.t, err)
	if strings.Contains(r.Header.Get("Content-Type"), "v2") {
		decoded(a.t, body)
	}
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	defer func() { _ = r.Body.Close() }()
	return a.to.RoundTrip(copied)
}

// newFleet2 is a fleet that speaks 2.0, whose tables are checked. Without together each instance has
// connections of its own, and joins nobody.
func newFleet2(t *testing.T, instances int, together bool, change ...func(*promconfig.RemoteWriteConfig)) *fleet {
	f := newFleet(t, 0, append(change, version2)...)
	f.connect(audited{t, served{f.r}})
	for range instances {
		f.add(1)
		if !together {
			f.connect(audited{t, served{f.r}})
		}
	}
	return f
}

// connect gives the instances that are added from now on another way to the receiver.
func (f *fleet) connect(way http.RoundTripper) {
	f.clients = NewClients()
	f.clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) { return &http.Client{Transport: way}, nil }
}

func (f *fleet) add(instances int) {
	for range instances {
		f.logs, f.queues = append(f.logs, newMemlog()), append(f.queues, nil)
		f.start(len(f.queues) - 1)
	}
}

// commitRandom commits a scrape of series with samples of all kinds, and exemplars.
func (f *fleet) commitRandom(rnd *rand.Rand, i int) {
	var entries []memsample
	for n := range fleetSeries {
		ref, ls := uint64(n+1), seriesOf(i, n)
		s := randomEntry(rnd, ref, ls)
		s.m = metadata.Metadata{Type: model.MetricTypeCounter, Help: fmt.Sprint("Help of ", n), Unit: "seconds"}
		x := s.e
		s.e, s.t = nil, epoch+int64(f.scrapes)
		entries = append(entries, s)
		if x != nil {
			entries = append(entries, memsample{ref: ref, labels: ls, e: x})
		}
	}
	f.logs[i].commit(entries...)
	f.queues[i].Notify()
}

func textOf(stored map[string]receivertest.Series) map[string]string {
	all := map[string]string{}
	for key, s := range stored {
		all[key] = text(s)
	}
	return all
}

func TestCommonRequestsOf2DeliverWhatOwnRequestsDo(t *testing.T) {
	for seed := range uint64(5) {
		virtually(t, func(t *testing.T) {
			arrived, requests := map[bool]map[string]string{}, map[bool]int{}
			for _, together := range []bool{true, false} {
				rnd := rand.New(rand.NewPCG(seed, 6))
				f := newFleet2(t, 20, together)
				for range 5 {
					f.scrapes++
					for i := range f.queues {
						f.commitRandom(rnd, i)
					}
					f.after(10 * time.Second)
				}
				_, dropped, pending := f.requireBalance()
				require.Zero(t, dropped)
				require.Zero(t, pending)
				arrived[together], requests[together] = textOf(f.r.Stored()), f.r.Requests()
				f.close()
			}
			require.Equal(t, arrived[false], arrived[true])
			require.Equal(t, 5*20, requests[false])
			require.LessOrEqual(t, requests[true], 5*20*fleetSeries*2/100)
		})
	}
}

func TestCommonRequestsOf2AreCutWithTablesOfTheirOwn(t *testing.T) {
	for name, answer := range map[string]func(req *receivertest.Request) int{
		"too large": func(req *receivertest.Request) int {
			if len(req.Series) > 45 {
				return http.StatusRequestEntityTooLarge
			}
			return 0
		},
		"refused": func(req *receivertest.Request) int {
			if len(req.Series) > 1 && slices.ContainsFunc(req.Series, func(s receivertest.Series) bool { return s.Labels.Get("unit") == "7" }) {
				return http.StatusBadRequest
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newFleet2(t, 20, true, perSend(1000))
				f.r.Before = answer
				rnd := rand.New(rand.NewPCG(1, 7))
				for range 10 {
					f.scrapes++
					for i := range f.queues {
						f.commitRandom(rnd, i)
					}
					f.after(10 * time.Second)
				}
				_, dropped, pending := f.requireBalance()
				require.Zero(t, dropped)
				require.Zero(t, pending)
				f.requireArrived(nil)
				f.close()
			})
		})
	}
}

func TestWhatDoesNotFitIntoTheTableOfACommonRequestGoesInTheNextOne(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 10, true, perSend(1000))
		d := (*f.queues[0].live.Load())[0].sender.destination
		for range 5 {
			d.joiner.size.mu.Lock()
			d.joiner.size.limit, d.joiner.size.fits = 3000, 0
			d.joiner.size.mu.Unlock()
			f.scrapes++
			for i := range f.queues {
				var entries []memsample
				for n := range fleetSeries {
					entries = append(entries, memsample{
						ref: uint64(n + 1), labels: seriesOf(i, n), t: epoch + int64(f.scrapes), v: float64(f.scrapes),
						m: metadata.Metadata{Type: model.MetricTypeGauge, Help: strings.Repeat("help ", 20) + fmt.Sprint(i, n)},
					})
				}
				f.logs[i].commit(entries...)
				f.queues[i].Notify()
			}
			f.after(10 * time.Second)
		}
		sent, _, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 5*10*fleetSeries, sent)
		f.requireArrived(nil)
		require.LessOrEqual(t, f.r.Requests(), 5*6, "two instances a request, and one request each time that is alone")
		f.close()
	})
}

func TestACommonRequestThatTheReceiverDoesNotUnderstandIsRepeatedIn1AndSaidOnce(t *testing.T) {
	for _, careless := range []bool{false, true} {
		t.Run(fmt.Sprint("careless ", careless), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newFleet(t, 0, version2)
				core, logs := observer.New(zapcore.InfoLevel)
				f.logger = zap.New(core)
				f.r.Versions = "1"
				m := &inMemory{handler: f.r}
				if careless {
					m.handler = http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
						if strings.Contains(hr.Header.Get("Content-Type"), "v2") && f.r.Versions == "1" {
							w.WriteHeader(http.StatusNoContent)
							return
						}
						f.r.ServeHTTP(w, hr)
					})
				}
				f.connect(m)
				f.add(10)
				for range 3 {
					f.scrape(0, 10)
					f.after(10 * time.Second)
				}
				require.Equal(t, 1, countOf(m.since(0), newer))
				require.Equal(t, 10+2, countOf(m.since(0), old), "they are joined in 1.0 too")
				require.Len(t, logs.FilterMessageSnippet("2.0").All(), 1)
				f.after(askAgain)
				f.r.Set(func(r *receivertest.Receiver) { r.Versions = "" })
				for range 2 {
					f.scrape(0, 10)
					f.after(10 * time.Second)
				}
				require.Equal(t, 1+2, countOf(m.since(0), newer))
				require.Len(t, logs.FilterMessageSnippet("2.0").All(), 2)
				sent, dropped, pending := f.requireBalance()
				require.Zero(t, dropped)
				require.Zero(t, pending)
				require.EqualValues(t, 500, sent)
				f.requireArrived(nil)
				f.close()
			})
		})
	}
}

func countOf(spoken []string, version string) (n int) {
	for _, s := range spoken {
		if s == version {
			n++
		}
	}
	return n
}

func TestEndpointsOfDifferentProtocolsShareNoRequest(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 0)
		m := &inMemory{handler: f.r}
		f.connect(m)
		f.add(20)
		before := f.change
		f.change = func(c *promconfig.RemoteWriteConfig) { before(c); version2(c) }
		f.add(20)
		for range 3 {
			f.scrape(0, 40)
			f.after(10 * time.Second)
		}
		f.requireArrived(nil)
		require.Equal(t, 6, countOf(m.since(0), old))
		require.Equal(t, 6, countOf(m.since(0), newer))
		f.close()
	})
}

func TestACommonRequestThatFailsIsShownToWhoAskedForIt(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet2(t, 5, true)
		core, logs := observer.New(zapcore.DebugLevel)
		f.logger = zap.New(core)
		f.queues[2].Close()
		before := f.change
		f.change = func(c *promconfig.RemoteWriteConfig) {
			before(c)
			c.FailedRequestLogging = true
		}
		f.start(2)
		f.r.Before = func(*receivertest.Request) int { return http.StatusServiceUnavailable }
		f.scrape(0, 5)
		f.after(6 * time.Second)
		require.NotEmpty(t, logs.FilterMessage("remote write 2.0 request failed").All())
		f.close()
	})
}

package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
	"github.com/ringmaster-agent/ringmaster/web"
)

// into is an agent's API with one instance.
type into struct{ *Pipeline }

func (into) Instances(context.Context, string) ([]web.Instance, error) { return nil, nil }
func (into) Targets(context.Context, func(web.UnitTargets) bool) ([]web.Target, error) {
	return nil, nil
}
func (i into) Appendable(string) (storage.AppendableV2, bool) { return i.Pipeline.Appendable(), true }

// chain is two agents, the first of which writes into the second, and a receiver behind them.
type chain struct {
	near, far     *world
	first, second *Pipeline
	last          *receivertest.Receiver
	// lose makes the second agent's next answer get lost.
	lose atomic.Bool
}

// newChain builds one whose links speak a protocol: "1" or "2".
func newChain(t *testing.T, firstLink, secondLink string) *chain {
	endpoint := func(url, version string) string {
		message := map[string]string{"1": "prometheus.WriteRequest", "2": "io.prometheus.write.v2.Request"}[version]
		return "scrape_configs: [{job_name: j}]\nremote_write:\n- url: " + url + "\n  protobuf_message: " + message +
			"\n  send_native_histograms: true\n  queue_config: {batch_send_deadline: 20ms, min_backoff: 10ms, max_backoff: 20ms}\n"
	}
	c := &chain{near: newWorld(t), far: newWorld(t), last: &receivertest.Receiver{}}
	end := httptest.NewServer(c.last)
	t.Cleanup(end.Close)
	c.second = c.far.open(c.far.parse(endpoint(end.URL, secondLink)))
	far := web.New(web.Options{Instances: into{c.second}})
	middle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.lose.CompareAndSwap(true, false) {
			far.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		far.ServeHTTP(w, r)
	}))
	t.Cleanup(middle.Close)
	c.first = c.near.open(c.near.parse(endpoint(middle.URL+ingestPath, firstLink)))
	return c
}

const ingestPath = "/agent/api/v1/metrics/instance/one/write"

func (c *chain) drain(t *testing.T) {
	for _, p := range []*Pipeline{c.first, c.second} {
		pending, err := p.Drain(t.Context())
		require.NoError(t, err)
		require.Zero(t, pending)
	}
	receivertest.RequireBalance(t, c.near.registry)
	receivertest.RequireBalance(t, c.far.registry)
}

// links are the protocols of a chain's two links.
var links = [][2]string{{"1", "1"}, {"2", "2"}, {"1", "2"}, {"2", "1"}}

func TestAChainOfTwoAgentsDeliversSamplesAndExemplarsToAReceiverLikePrometheus(t *testing.T) {
	const series, scrapes = 500, 10
	for _, link := range links {
		for _, every := range []int{0, 50, 5} {
			t.Run(fmt.Sprint(link, " with an exemplar on one of ", every), func(t *testing.T) {
				c := newChain(t, link[0], link[1])
				now, exemplars := time.Now().UnixMilli(), 0
				for scrape := range int64(scrapes) {
					a := c.first.Appendable().AppenderV2(t.Context())
					for n := range series {
						var o storage.AOptions
						if every > 0 && n%every == 0 {
							exemplars++
							o.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(scrape, n)), Value: 1, Ts: now + scrape, HasTs: true}}
						}
						_, err := a.Append(0, labels.FromStrings("__name__", "x", "s", fmt.Sprint(n)), 0, now+scrape, float64(scrape), nil, nil, o)
						require.NoError(t, err)
					}
					require.NoError(t, a.Commit())
				}
				c.drain(t)
				require.Equal(t, series*scrapes, c.last.Samples())
				require.Zero(t, c.last.Refused())
				arrived := 0
				for _, s := range c.last.Stored() {
					arrived += len(s.Exemplars)
				}
				require.Equal(t, exemplars, arrived)
			})
		}
	}
}

func TestAChainOfTwoAgentsDeliversEveryKindOfSampleValueByValue(t *testing.T) {
	for _, link := range links {
		t.Run(fmt.Sprint(link), func(t *testing.T) {
			c := newChain(t, link[0], link[1])
			now := time.Now().UnixMilli()
			sent := receivertest.Kinds("kind", now)
			a := c.first.Appendable().AppenderV2(t.Context())
			for _, s := range sent {
				x := s.Samples[0]
				_, err := a.Append(0, s.Labels, x.Start, x.T, x.V, x.H, x.FH, storage.AOptions{Metadata: s.Metadata, Exemplars: s.Exemplars})
				require.NoError(t, err)
			}
			require.NoError(t, a.Commit())
			c.drain(t)
			arrived, both2 := c.last.Stored(), link == [2]string{"2", "2"}
			for _, s := range sent {
				want := s.Samples[0]
				got, there := arrived[s.Labels.String()]
				if want.HasCustomBuckets() && !both2 {
					require.Empty(t, got.Samples, "protocol 1.0 does not carry them")
					continue
				}
				require.True(t, there, s.Labels)
				if !both2 {
					want.Start, s.Metadata = 0, metadata.Metadata{}
				}
				require.Len(t, got.Samples, 1)
				require.Equal(t, want.Bits(), got.Samples[0].Bits())
				require.Equal(t, s.Exemplars, got.Exemplars)
				if s.Metadata.IsEmpty() {
					require.True(t, got.Metadata.IsEmpty())
				} else {
					require.Equal(t, s.Metadata, got.Metadata)
				}
			}
		})
	}
}

// Senders are told 204, and the log has it, or 503, and they come again; never a 500, which is
// taken for an accident.
func TestWritesWhileAnInstanceStopsAreKeptOrSentAgain(t *testing.T) {
	for range 5 {
		w := newWorld(t)
		c := w.parse("scrape_configs: [{job_name: j}]\nremote_write: [{url: " + w.remote.URL + ", queue_config: {batch_send_deadline: 1h}}]")
		p := w.open(c)
		server := web.New(web.Options{Instances: into{p}})
		before := p.log.End().Seq
		var senders sync.WaitGroup
		var accepted, refused atomic.Uint64
		for sender := range 4 {
			senders.Go(func() {
				for n := int64(1); refused.Load() < 20; n++ {
					req := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
						Labels:  []prompb.Label{{Name: "__name__", Value: fmt.Sprint("sender_", sender)}},
						Samples: []prompb.Sample{{Timestamp: n, Value: 1}},
					}}}
					body, err := req.Marshal()
					if !assert.NoError(t, err) {
						return
					}
					answer := httptest.NewRecorder()
					server.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, ingestPath, bytes.NewReader(snappy.Encode(nil, body))))
					switch answer.Code {
					case http.StatusNoContent:
						accepted.Add(1)
					case http.StatusServiceUnavailable:
						refused.Add(1)
						assert.NotEmpty(t, answer.Header().Get("Retry-After"))
					default:
						assert.Fail(t, answer.Body.String(), "status %d", answer.Code)
						return
					}
				}
			})
		}
		w.eventually(func() bool { return accepted.Load() > 50 }, "senders write")
		require.NoError(t, p.Close(false))
		senders.Wait()
		again := w.open(c)
		require.Equal(t, accepted.Load(), again.log.End().Seq-before)
	}
}

// Our receiver takes a repetition of the newest sample of a series, and refuses one of an older
// sample: it writes a part.
func TestAnAnswerThatGetsLostOnTheWayToAnAgentIsNoLoss(t *testing.T) {
	for _, link := range links {
		t.Run(fmt.Sprint(link), func(t *testing.T) {
			c := newChain(t, link[0], link[1])
			const series, scrapes = 100, 3
			c.lose.Store(true)
			now := time.Now().UnixMilli()
			a := c.first.Appendable().AppenderV2(t.Context())
			for scrape := range int64(scrapes) {
				for n := range series {
					_, err := a.Append(0, labels.FromStrings("__name__", "x", "s", fmt.Sprint(n)), 0, now+scrape, float64(scrape), nil, nil, storage.AOptions{})
					require.NoError(t, err)
				}
			}
			require.NoError(t, a.Commit())
			c.drain(t)
			require.False(t, c.lose.Load())
			require.Equal(t, series*scrapes, c.last.Samples())
			s := c.first.Endpoints()[0]
			require.Empty(t, s.Dropped, "what was sent again is there")
			require.EqualValues(t, series*scrapes, s.Sent)
		})
	}
}

func TestReceiversAreToldWhichVersionSends(t *testing.T) {
	var agents sync.Map
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agents.Store(r.UserAgent(), true) }))
	t.Cleanup(receiver.Close)
	w := newWorldOf(t, func(o *Options) { o.UserAgent = "Ringmaster/1.2.3" })
	p := w.open(w.parse("scrape_configs: [{job_name: j}]\nremote_write: [{url: " + receiver.URL + "}]"))
	a := p.Appendable().AppenderV2(t.Context())
	_, err := a.Append(0, labels.FromStrings("__name__", "x"), 0, time.Now().UnixMilli(), 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, a.Commit())
	_, err = p.Drain(t.Context())
	require.NoError(t, err)
	_, told := agents.Load("Ringmaster/1.2.3")
	require.True(t, told)
}

package remotewrite

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/series"
)

// endless is a Source that delivers the same scrapes for ever; it costs nothing itself.
type endless struct {
	book    *series.Book
	refs    []series.Ref
	labels  []labels.Labels
	perRead int
	left    int
	defined bool
	at      Position
}

func newEndless(n int) *endless {
	s := &endless{perRead: n, book: series.New()}
	for i := range n {
		ls := labels.FromStrings(
			model.MetricNameLabel, fmt.Sprintf("http_request_duration_seconds_bucket_%d", i/20), "le", fmt.Sprint(i%20),
			"instance", "10.0.0.17:9090", "job", "some-service", "namespace", "production", "pod", "some-service-7d4b9c6f5-x2x9z",
			"method", "GET", "handler", "/api/v1/things")
		ref, err := s.book.Acquire(ls)
		if err != nil {
			panic(err)
		}
		s.labels, s.refs = append(s.labels, ls), append(s.refs, ref)
	}
	return s
}

func (s *endless) Next(v Visitor) (Record, error) {
	if s.left <= 0 {
		return Record{}, io.EOF
	}
	v.Record(s.at.Seq)
	for i := range s.perRead {
		if !s.defined {
			v.Series(s.refs[i])
		}
		v.Float(s.refs[i], 0, epoch+int64(s.at.Seq), float64(s.at.Seq)*1.1+float64(i))
	}
	s.defined = true
	s.left -= s.perRead
	s.at.Segment = 1
	s.at.Offset++
	s.at.Seq += uint64(s.perRead)
	return Record{End: s.at, Samples: s.perRead}, nil
}

func (s *endless) Book() *series.Book        { return s.book }
func (s *endless) Seek(Position)             {}
func (s *endless) Pending(p Position) uint64 { return s.at.Seq + uint64(max(0, s.left)) - p.Seq }
func (*endless) Save(Place) error            { return nil }
func (s *endless) End() Position {
	if s.left > 0 {
		return Position{Segment: 2}
	}
	return s.at
}

// discard acknowledges every request without reading it.
type discard struct{ bytes int64 }

func (d *discard) RoundTrip(r *http.Request) (*http.Response, error) {
	d.bytes += r.ContentLength
	_ = r.Body.Close()
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}

func benchEndpoint(b *testing.B, source *endless, change ...func(*promconfig.RemoteWriteConfig)) (*endpoint, *discard) {
	sink := &discard{}
	clients := NewClients()
	clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) { return &http.Client{Transport: sink}, nil }
	return benchEndpointOf(b, clients, source, change...), sink
}

func benchEndpointOf(b *testing.B, clients *Clients, source *endless, change ...func(*promconfig.RemoteWriteConfig)) *endpoint {
	q := New(Options{Clients: clients, Logger: zap.NewNop()})
	b.Cleanup(q.Close)
	cfg := promconfig.DefaultRemoteWriteConfig
	cfg.URL = mustURL("http://receiver/write")
	for _, c := range change {
		c(&cfg)
	}
	if err := q.Apply([]EndpointConfig{{CursorID: "a", Config: &cfg, Open: func() (Source, Place, error) {
		return source, Place{}, nil
	}}}); err != nil {
		b.Fatal(err)
	}
	return (*q.live.Load())[0]
}

// BenchmarkRound measures a sample's way from a delivered record to an acknowledged request, HTTP
// client aside: relabelled labels from the cache, encoding, compression, accounting. ns/op is
// nanoseconds per sample.
func BenchmarkRound(b *testing.B) {
	for _, series := range []int{100, 2000, 50000} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			source := newEndless(series)
			e, sink := benchEndpoint(b, source)
			source.left = 2 * max(series, 2000)
			if err := e.rounds().err; err != nil {
				b.Fatal(err)
			}
			before := sink.bytes
			source.left = b.N
			b.ReportAllocs()
			b.ResetTimer()
			for source.left > 0 {
				if err := e.rounds().err; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(sink.bytes-before)/float64(max(b.N, series)), "bytes/sample")
		})
	}
}

// BenchmarkEncode measures filling a round alone: encoding and compression.
func BenchmarkEncode(b *testing.B) {
	for version, change := range map[string]func(*promconfig.RemoteWriteConfig){"1.0": func(*promconfig.RemoteWriteConfig) {}, "2.0": version2} {
		b.Run(version, func(b *testing.B) {
			source := newEndless(100)
			e, _ := benchEndpoint(b, source, change)
			r := newRound()
			source.left = b.N + 4000
			b.ReportAllocs()
			for source.left > 4000 {
				if _, err := e.fill(r); err != nil {
					b.Fatal(err)
				}
				r.recycle()
			}
		})
	}
}

// BenchmarkIdle measures the heap that an idle endpoint of 100 series holds on to, labels of 214
// bytes each included.
func BenchmarkIdle(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := newEndless(100)
	before := heap()
	endpoints := make([]*endpoint, 0, b.N)
	// A fixed number: the time per endpoint isn't the point, and millions of them would fill the
	// machine.
	for range min(b.N, 1000) {
		source := &endless{book: all.book, refs: all.refs, perRead: 100, left: 100}
		e, _ := benchEndpoint(b, source)
		e.life.mu.Lock()
		e.life.timer.Stop()
		e.life.mu.Unlock()
		if err := e.rounds().err; err != nil {
			b.Fatal(err)
		}
		e.cache.trim()
		e.clients.rounds = sync.Pool{}
		endpoints = append(endpoints, e)
	}
	b.ReportMetric(float64(heap()-before)/float64(len(endpoints)), "bytes/endpoint")
	runtime.KeepAlive(endpoints)
}

func mustURL(s string) *config.URL {
	u := &config.URL{}
	if err := u.UnmarshalJSON([]byte(`"` + s + `"`)); err != nil {
		panic(err)
	}
	return u
}

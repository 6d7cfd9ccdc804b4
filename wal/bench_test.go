package wal_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// scrapeLoad is what a scrape loop appends: counters and gauges with the values that targets have.
type scrapeLoad struct {
	labels []labels.Labels
	refs   []storage.SeriesRef
	values []float64
	rnd    *rand.Rand
	t      int64
}

func newScrapeLoad(n int) *scrapeLoad {
	s := &scrapeLoad{refs: make([]storage.SeriesRef, n), rnd: rand.New(rand.NewPCG(1, 2)), t: 1_700_000_000_000}
	for i := range n {
		s.labels = append(s.labels, labels.FromStrings("__name__", fmt.Sprintf("http_requests_%d_total", i/10), "handler", fmt.Sprintf("/api/v1/%d", i), "instance", "10.0.0.1:9100", "job", "node"))
		s.values = append(s.values, float64(s.rnd.IntN(1_000_000)))
	}
	return s
}

func (s *scrapeLoad) append(b testing.TB, app storage.AppenderV2) {
	s.t += 15_000
	for i := range s.labels {
		switch i % 10 {
		case 0: // gauge with a full mantissa
			s.values[i] = s.rnd.Float64()
		case 1, 2, 3, 4: // idle
		default:
			s.values[i] += float64(s.rnd.IntN(1000))
		}
		ls := labels.EmptyLabels() // a scrape trusts the reference that it holds
		if s.refs[i] == 0 {
			ls = s.labels[i]
		}
		ref, err := app.Append(s.refs[i], ls, 0, s.t, s.values[i], nil, nil, storage.AOptions{})
		if err != nil {
			b.Fatal(err)
		}
		s.refs[i] = ref
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{100, 5000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			l, err := wal.Open(b.TempDir()+"/log", wal.Options{MaxBytes: 256 << 20})
			require.NoError(b, err)
			defer l.Close()
			load := newScrapeLoad(n)
			commit := func() {
				app := l.AppenderV2(b.Context())
				load.append(b, app)
				if err := app.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			commit()
			before := l.Stats()
			b.ReportAllocs()
			for b.Loop() {
				commit()
			}
			after := l.Stats()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
			b.ReportMetric(float64(after.BytesWritten-before.BytesWritten)/float64(b.N*n), "B/sample")
		})
	}
}

// nothing is a Visitor that only counts.
type nothing struct{ samples int }

func (n *nothing) Record(uint64)                                                      {}
func (n *nothing) Series(series.Ref)                                                  {}
func (n *nothing) Float(series.Ref, int64, int64, float64)                            { n.samples++ }
func (n *nothing) Histogram(series.Ref, int64, int64, *histogram.Histogram)           { n.samples++ }
func (n *nothing) FloatHistogram(series.Ref, int64, int64, *histogram.FloatHistogram) { n.samples++ }
func (n *nothing) Exemplar(series.Ref, exemplar.Exemplar)                             {}
func (n *nothing) Metadata(series.Ref, metadata.Metadata)                             {}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{100, 5000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			l, err := wal.Open(b.TempDir()+"/log", wal.Options{})
			require.NoError(b, err)
			defer l.Close()
			load := newScrapeLoad(n)
			for range 500_000 / n {
				app := l.AppenderV2(b.Context())
				load.append(b, app)
				require.NoError(b, app.Commit())
			}
			r := l.NewReader(l.Begin())
			defer r.Close()
			v := new(nothing)
			b.ReportAllocs()
			for b.Loop() {
				_, err := r.Next(v)
				if errors.Is(err, io.EOF) {
					r.Seek(l.Begin())
					continue
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(v.samples), "ns/sample")
		})
	}
}

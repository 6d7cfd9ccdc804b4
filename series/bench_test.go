package series_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

// exporterSeries is a series as exporters in a cluster have it, 165 bytes when it is encoded.
func exporterSeries(n int) labels.Labels {
	return labels.FromStrings("__name__", fmt.Sprintf("container_network_receive_%d_total", n%100),
		"cluster", "production", "container", "server", "instance", fmt.Sprintf("10.1.%d.7:9100", n%256),
		"job", "kubernetes-pods", "namespace", "team-a", "pod", fmt.Sprintf("server-%d-x7f9q", n))
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// BenchmarkMemory reports what the book needs per series, beside the labels themselves.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{100, 5000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				books := make([]*series.Book, max(1, 10_000/n))
				for i := range books {
					books[i] = series.New()
					for s := range n {
						_, err := books[i].Acquire(exporterSeries(s))
						require.NoError(b, err)
					}
				}
				total := float64(len(books) * n)
				b.ReportMetric(float64(heap()-before)/total, "B/series")
				b.ReportMetric(float64(books[0].Stats().LabelBytes)/float64(n), "label-B/series")
				runtime.KeepAlive(books)
			}
		})
	}
}

func BenchmarkEncoded(b *testing.B) {
	book := filled(b, 100_000)
	size, r := 0, series.Ref(1)
	for b.Loop() {
		size += len(book.Encoded(r))
		if r++; r == book.Bound() {
			r = 1
		}
	}
}

func BenchmarkAcquireKnown(b *testing.B) {
	book := filled(b, 100_000)
	all := make([]labels.Labels, 1000)
	for i := range all {
		all[i] = exporterSeries(i * 100)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r, err := book.Acquire(all[i])
		if err != nil {
			b.Fatal(err)
		}
		book.Release(r)
		if i++; i == len(all) {
			i = 0
		}
	}
}

func BenchmarkAcquireNew(b *testing.B) {
	encoded := make([][]byte, 100_000)
	for i := range encoded {
		var err error
		encoded[i], err = series.Encode(nil, exporterSeries(i))
		require.NoError(b, err)
	}
	b.ReportAllocs()
	book := series.New()
	i := 0
	for b.Loop() {
		if i == len(encoded) {
			book, i = series.New(), 0
		}
		book.AcquireEncoded(encoded[i])
		i++
	}
}

func filled(b *testing.B, n int) *series.Book {
	book := series.New()
	for i := range n {
		_, err := book.Acquire(exporterSeries(i))
		require.NoError(b, err)
	}
	return book
}

package scrape

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// bodyOf is what a target with so many series writes; first is a line at its top.
func bodyOf(series int, first string) []byte {
	var body strings.Builder
	body.WriteString(first)
	for i := range series {
		if i%3 == 0 {
			fmt.Fprintf(&body, "# HELP some_metric_with_a_usual_name_%d_total Number of things that happened on this path.\n", i/3)
			fmt.Fprintf(&body, "# TYPE some_metric_with_a_usual_name_%d_total counter\n", i/3)
		}
		fmt.Fprintf(&body, "some_metric_with_a_usual_name_%d_total{path=\"/api/v1/thing/%d\",method=\"GET\"} %d\n", i/3, i, i)
	}
	return []byte(body.String())
}

// oneLoop makes a loop of one target whose bodies the benchmark makes up.
func oneLoop(tb testing.TB, o Options, into *nothing) (*Scraper, *loop) {
	tb.Helper()
	o.Appendable = into
	s, err := New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Stop(over(), KeepSeries)) })
	require.NoError(tb, s.Apply(tb.Context(), configure(tb, `[{job_name: a, static_configs: [{targets: ["one:80"]}]}]`)))
	p := s.pools["a"]
	targets, _, errs := targetsOf(group("0", "one:80"), p.job, labels.NewBuilder(labels.EmptyLabels()))
	require.Empty(tb, errs)
	l, err := newLoop(s, targets[0], p.job)
	require.NoError(tb, err)
	tb.Cleanup(l.retire)
	return s, l
}

// ingestOnce is a scrape between its fetch and its report.
func ingestOnce(tb testing.TB, s *Scraper, l *loop, text []byte) {
	in := s.options.Shared.ingester()
	in.job, in.target, in.cache, in.now, in.aborted = l.job, l.target, l.cache, 1000, func() bool { return false }
	in.cache.begin(&in.workspace)
	in.app = s.options.Appendable.AppenderV2(tb.Context())
	if err := in.ingest(text, textFormat); err != nil {
		tb.Fatal(err)
	}
	in.cache.commit()
	s.options.Shared.release(in)
}

// BenchmarkIngest measures what a warm scrape costs between its fetch and its report, by the first
// line of the body.
func BenchmarkIngest(b *testing.B) {
	const series = 2000
	for _, first := range []string{"", "# HELP first a\\\\b\n", "# a comment\n", "first_stamped 1 1000\n", "\n"} {
		for _, starts := range []bool{false, true} {
			b.Run(fmt.Sprintf("first=%q/starts=%t", first, starts), func(b *testing.B) {
				s, l := oneLoop(b, Options{Features: Features{ParseStartTimestamps: starts}}, &nothing{})
				text := bodyOf(series, first)
				ingestOnce(b, s, l, text)
				b.ReportAllocs()
				for b.Loop() {
					ingestOnce(b, s, l, text)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/series, "ns/sample")
			})
		}
	}
}

// BenchmarkIngestMemory measures what is remembered of each series between two scrapes.
func BenchmarkIngestMemory(b *testing.B) {
	const series, loops = 2000, 20
	text := bodyOf(series, "")
	for b.Loop() {
		var before, after runtime.MemStats
		s, _ := oneLoop(b, Options{}, &nothing{})
		all := make([]*loop, loops)
		for i := range all {
			_, all[i] = oneLoop(b, Options{Shared: s.options.Shared}, &nothing{})
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, l := range all {
			ingestOnce(b, s, l, text)
			ingestOnce(b, s, l, text)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/loops/series, "B/series")
		runtime.KeepAlive(all)
	}
}

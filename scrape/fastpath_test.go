package scrape

import (
	"math"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

// ingestAll gives bodies, one after the other, to one cache, and returns what the last commit had,
// with the bits of the values for times. With parse every line is parsed.
func ingestAll(t *testing.T, parse bool, bodies ...string) []sample {
	t.Helper()
	m := newMemory()
	s := newScraper(t, m)
	require.NoError(t, s.Apply(t.Context(), configure(t, `[{job_name: a, static_configs: [{targets: ["one:80"]}]}]`)))
	p := s.pools["a"]
	targets, _, errs := targetsOf(group("0", "one:80"), p.job, labels.NewBuilder(labels.EmptyLabels()))
	require.Empty(t, errs)
	l, err := newLoop(s, targets[0], p.job)
	require.NoError(t, err)
	defer l.retire()
	in := s.options.Shared.ingester()
	defer s.options.Shared.release(in)
	in.job, in.target, in.cache, in.aborted = p.job, l.target, l.cache, func() bool { return false }
	before := 0
	for i, text := range bodies {
		before = m.size()
		in.now = int64(1000 * (i + 1))
		in.cache.begin(&in.workspace)
		if parse {
			for i := range in.cache.lines {
				l := &in.cache.lines[i]
				if l.flags &^= readAsText; l.kind.isComment() {
					l.hash++
				}
			}
		}
		require.True(t, s.append(in, &attempt{}, response{&body{bytes: []byte(text)}, textFormat}, &outcome{}))
		require.NoError(t, in.app.Commit())
		in.cache.commit()
	}
	var last []sample
	for _, sample := range m.committed[before:] {
		sample.t, sample.v = int64(math.Float64bits(sample.v)), 0
		last = append(last, sample)
	}
	return last
}

func TestLinesThatRepeatMeanTheSameAsParsed(t *testing.T) {
	const first = "# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n" +
		"# HELP g Help of g.\n# TYPE g gauge\ng 1e9\n# TYPE u untyped\nu 1\n"
	for _, second := range []string{
		first,
		"# HELP a Other.\n# TYPE a counter\na{x=\"1\"} 1\n",
		"# HELP a Help.\n# TYPE a gauge\na{x=\"1\"} 1\n",
		"# TYPE a counter\na{x=\"1\"} 12\na{x=\"3\"} 3\na{x=\"2\"} 2\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
		"# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"3\"} 1\n",
		"# HELP a Help.\n# TYPE a counter\na{x=\"1\"} NaN\na{x=\"2\"} -Inf\n# TYPE h histogram\nh_bucket{le=\"1\"} +Inf\n",
		"a{x=\"1\"} 1 99\na{x=\"2\"} 2\n",
		"a{x=\"1\"}  1\na{x=\"2\"}\t2\n",
		"a{x=\"1\"} 0x10\n",
		"a{x=\"1\"} 1",
		"a{x=\"1\"} 1\na{x=\"1\"} 2\n",
		"# HELP a Help.\n# HELP a Help.\na{x=\"1\"} 1\n",
		"# HELP a Help.\n\n# TYPE a counter\n#\n# a comment\na{x=\"1\"} 1\n",
		"g 1\n# HELP a Help.\na{x=\"1\"} 1\n",
		"a{x=\"1\"} 1\nbroken{",
	} {
		require.Equal(t, ingestAll(t, true, first, second), ingestAll(t, false, first, second), second)
		require.Equal(t, ingestAll(t, true, first, first, second), ingestAll(t, false, first, first, second), second)
	}
}

func FuzzPlainFloat(f *testing.F) {
	for _, text := range []string{"0", "1", "-0", "+5", "1.5e300", "1e400", "999999999999999", "9999999999999999999", "NaN", "+Inf", "-Inf", ".", "1_0", "0x1p3", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := plainFloat([]byte(text))
		if !ok {
			return
		}
		want, err := strconv.ParseFloat(text, 64)
		if text == "" {
			return // never asked
		}
		require.NoError(t, err)
		if math.IsNaN(want) {
			want = math.Float64frombits(value.NormalNaN)
		}
		require.Equal(t, math.Float64bits(want), math.Float64bits(v))
	})
}

package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// listing is an appendable that lists what it is given, without a book. It is for one goroutine.
type listing struct {
	refs   map[string]storage.SeriesRef
	names  []string // by reference
	living int      // references up to this one are not known any more
	lines  []string
	ends   []string // staleness markers
}

func (l *listing) AppenderV2(context.Context) storage.AppenderV2 { return l }
func (l *listing) Commit() error                                 { return nil }
func (l *listing) Rollback() error                               { l.lines, l.ends = nil, nil; return nil }

func (l *listing) Append(ref storage.SeriesRef, ls labels.Labels, _, t int64, v float64, _ *histogram.Histogram,
	_ *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	if ls.IsEmpty() {
		if int(ref) <= l.living || int(ref) > len(l.names) {
			return 0, storage.ErrNotFound
		}
	} else {
		name := ls.String()
		if ref = l.refs[name]; int(ref) <= l.living {
			l.names = append(l.names, name)
			ref = storage.SeriesRef(len(l.names))
			l.refs[name] = ref
		}
	}
	name := l.names[ref-1]
	if value.IsStaleNaN(v) && o.RejectOutOfOrder {
		l.ends = append(l.ends, name)
	} else {
		l.lines = append(l.lines, appended(name, t, v, Metadata{Family: o.MetricFamilyName, Type: o.Metadata.Type, Unit: o.Metadata.Unit, Help: o.Metadata.Help}))
	}
	return ref, nil
}

func appended(name string, t int64, v float64, m Metadata) string {
	return fmt.Sprint(name, " ", t, " ", math.Float64bits(v), " ", m)
}

// plainReader does what Prometheus' scrape loop does with bodies in its text format, one after the
// other: it parses each from its beginning to its end, and keeps the labels of lines that it knows.
type plainReader struct {
	in       *ingester // makes labels
	iter     int
	known    map[string]*knownLine
	families map[string]*Metadata
	open     map[string]bool // series that the scrape before had
	now      map[string]bool
	lines    []string
	scraped  int
	kept     int
}

type knownLine struct {
	labels labels.Labels // empty: dropped
	iter   int
}

// scrape returns the error of a body, and the series that end with it.
func (r *plainReader) scrape(body []byte) (ended []string, err error) {
	r.now, r.lines, r.scraped, r.kept = map[string]bool{}, nil, 0, 0
	r.iter++
	if len(body) > 0 {
		err = r.parse(body)
	}
	switch {
	case err != nil: // what was read so far is open all the same
		r.lines = nil
	case len(body) > 0:
		for raw, l := range r.known {
			if l.iter != r.iter {
				delete(r.known, raw)
			}
		}
	}
	for name := range r.open {
		if !r.now[name] {
			ended = append(ended, name)
		}
	}
	r.open = r.now
	return ended, err
}

func (r *plainReader) parse(body []byte) error {
	p := textparse.NewPromParser(slices.Clone(body), labels.NewSymbolTable(), r.in.job.options.TypeAndUnitLabels)
	var family *Metadata
	for {
		kind, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch kind {
		case textparse.EntryType:
			name, t := p.Type()
			family = r.family(name)
			family.Type = t
		case textparse.EntryHelp:
			name, help := p.Help()
			family = r.family(name)
			family.Help = string(help)
		case textparse.EntryComment:
		default:
			if family, err = r.sample(p, family); err != nil {
				return err
			}
		}
	}
}

func (r *plainReader) family(name []byte) *Metadata {
	f := r.families[string(name)]
	if f == nil {
		f = &Metadata{Family: string(name), Type: model.MetricTypeUnknown}
		r.families[string(name)] = f
	}
	return f
}

// sample returns the family that goes on.
func (r *plainReader) sample(p textparse.Parser, family *Metadata) (*Metadata, error) {
	raw, own, v := p.Series()
	r.scraped++
	config := r.in.job.config
	t := r.in.now
	if !config.HonorTimestamps {
		own = nil
	}
	if own != nil {
		t = *own
	}
	l := r.known[string(raw)]
	again := l != nil && l.iter == r.iter
	if l == nil {
		ls, err := r.in.newLabels(p)
		if err != nil {
			return family, err
		}
		l = &knownLine{labels: ls}
		if ls.IsEmpty() {
			r.known[string(raw)] = l
		}
	}
	l.iter = r.iter
	if l.labels.IsEmpty() {
		return family, nil
	}
	r.kept++
	if again && own == nil {
		return family, nil // a duplicate
	}
	if family != nil && !isOfFamily(l.labels.Get(model.MetricNameLabel), family.Family, family.Type) {
		family = nil
	}
	if t > r.in.latest {
		return family, nil
	}
	name := l.labels.String()
	r.known[string(raw)] = l
	said := Metadata{}
	if family != nil {
		said = *family
	}
	r.lines = append(r.lines, appended(name, t, v, said))
	if own == nil || config.TrackTimestampsStaleness {
		r.now[name] = true
	}
	return family, nil
}

// pathFuzz has what all executions share.
type pathFuzz struct {
	scraper *Scraper
	store   *listing
	targets [16]*loop
}

func newPathFuzz(t testing.TB) *pathFuzz {
	z := &pathFuzz{store: &listing{}}
	for number := range z.targets {
		s, err := New(Options{Appendable: z.store, Features: Features{TypeAndUnitLabels: number&1 > 0}})
		require.NoError(t, err)
		config := configure(t, `[{job_name: a, static_configs: [{targets: ["one:80"], labels: {zone: z}}], metric_relabel_configs: [{source_labels: [__name__], regex: "drop.*", action: drop}]}]`)
		config.Jobs[0].HonorTimestamps, config.Jobs[0].TrackTimestampsStaleness, config.Jobs[0].HonorLabels = number&2 == 0, number&4 > 0, number&8 > 0
		require.NoError(t, s.Apply(t.Context(), config))
		p := s.pools["a"]
		targets, _, errs := targetsOf(group("0", "one:80"), p.job, labels.NewBuilder(labels.EmptyLabels()))
		require.Empty(t, errs)
		if z.targets[number], err = newLoop(s, targets[0], p.job); err != nil {
			t.Fatal(err)
		}
		z.scraper = s
	}
	return z
}

// check gives bodies to one cache, and to a plainReader, and compares what comes out.
func (z *pathFuzz) check(t *testing.T, settings uint8, bodies ...[]byte) {
	l := z.targets[settings%16]
	*z.store = listing{refs: map[string]storage.SeriesRef{}}
	// A storage without a book may not forget a series that goes on, if the labels depend on the
	// TYPE line before it.
	forgets := settings&16 > 0 && !slices.ContainsFunc(bodies, func(body []byte) bool { return bytes.Contains(body, []byte("TYPE")) })
	s := l.scraper
	cache := newCache(nil)
	in, plainIn := s.options.Shared.ingester(), s.options.Shared.ingester()
	defer s.options.Shared.release(in)
	defer s.options.Shared.release(plainIn)
	plainIn.job, plainIn.target = l.job, l.target
	in.job, in.target, in.cache, in.app, in.aborted = l.job, l.target, cache, z.store, func() bool { return false }
	reader := &plainReader{in: plainIn, iter: 1, known: map[string]*knownLine{}, families: map[string]*Metadata{}}
	for i, body := range bodies {
		if forgets {
			z.store.living = len(z.store.names)
		}
		z.store.lines, z.store.ends = nil, nil
		in.now = 1_700_000_000_000 + int64(i)
		cache.begin(&in.workspace)
		err := in.ingest(body, textFormat)
		scraped, kept := in.counts.scraped, in.counts.kept
		if err != nil {
			z.store.lines, z.store.ends = nil, nil
			require.NoError(t, in.ingest(nil, ""))
		}
		cache.commit()

		plainIn.now, plainIn.latest = in.now, in.latest
		ended, wanted := reader.scrape(body)
		require.Equal(t, fmt.Sprint(wanted), fmt.Sprint(err), "error of body %d, settings %d: %q", i, settings, bodies)
		if err == nil {
			require.Equal(t, []int{reader.scraped, reader.kept}, []int{scraped, kept}, "counts of body %d", i)
		}
		require.Equal(t, reader.lines, z.store.lines, "body %d, settings %d: %q", i, settings, bodies)
		slices.Sort(ended)
		ended = slices.DeleteFunc(ended, func(name string) bool { // what a storage has forgotten needs no marker
			return int(z.store.refs[name]) <= z.store.living
		})
		slices.Sort(z.store.ends)
		require.Equal(t, fmt.Sprint(ended), fmt.Sprint(z.store.ends), "ends of body %d, settings %d: %q", i, settings, bodies)
	}
}

// pathSeeds are bodies that have in them whatever the fast path looks at.
func pathSeeds() (seeds []string) {
	return []string{
		"# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n" +
			"# HELP g Help of g.\n# TYPE g gauge\ng 1e9\n# TYPE u untyped\nu 1\n",
		"# TYPE h gauge\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\n# TYPE s summary\ns{quantile=\"1\"} 2\ns_sum 1\ns_count 1\n",
		"# HELP a with \\\\ and \\n and \\x\n# TYPE a gauge\na 1\n\n\n \n\t\n# comment\n#\n# HELP\n# TYPE\n# HELP b\na 2\n",
		"# HELP \"a b\" x y\n# TYPE \"a b\" counter\n{\"a b\"} 1\n{\"a b\",\"l l\"=\"x\"} 2\n# TYPE \"a b nonsense\na 1\n",
		"a{x=\"line\\nbreak\"} 1\na{x=\"real\nbreak\"} 1\na{x=\"\\\"\"} 1\nb 1\n",
		"a 1 946684000000\na 2 946684000001\nb 1 99999999999999999999\nc 1 1946684000000\nd 1 -5\ne 1\n",
		"a NaN\nb +Inf\nc -Inf\nd nan\ne -0\nf 0x10\ng 1e400\nh 1_000\n",
		"a 1\r\nb 2\r\nc 3",
		"a 1\na 2\nb 1\na 1\nb 3\n",
		"drop_a 1\na 1\ndrop_b{x=\"1\"} 2\n",
		"a{job=\"mine\",instance=\"me\",zone=\"q\",exported_zone=\"r\"} 1\nup 1\nscrape_samples_scraped 2\n",
		"a 1\x00\nb 2\n", "a\x00 1\n", "\xef\xbb\xbfa 1\n", "a{x=\"\xff\"} 1\n", "# TYPE a nonsense\na 1\n", "a 1\n{ 2\n", "a{x=\"1} 2\n", "{x=\"y\"} 1\n",
		"a{x=\"\"} 1\na{ x = \"1\" , } 2\na\t{x=\"1\"}\t3\t\n",
		strings.Repeat("many{n=\"1\"} 1\n", 3) + strings.Repeat("# HELP many x\n", 6) + "many{n=\"2\"} 2\n",
		"# TYPE a counter\na_total 1\na 2\na_bucket{le=\"1\"} 3\n# TYPE b info\nb_info 1\n# TYPE c gaugehistogram\nc_bucket{le=\"1\"} 1\nc_gsum 2\n# TYPE d stateset\nd 1\n",
	}
}

// variants are bodies that are like a body: what is left out, doubled, and changed in its values.
func likeBody(body string) [][]byte {
	lines := strings.SplitAfter(body, "\n")
	half, backwards := []string{}, slices.Clone(lines)
	for i, line := range lines {
		if i%2 == 0 {
			half = append(half, line)
		}
	}
	slices.Reverse(backwards)
	return [][]byte{[]byte(body), []byte(strings.Join(half, "")), []byte(strings.Join(backwards, "")), []byte(body + body),
		[]byte(strings.ReplaceAll(body, " 1\n", " 12.5\n")), []byte(strings.ReplaceAll(body, "counter", "gauge")), nil}
}

func TestBodiesThatRepeatComeOutAsPrometheusReadsThem(t *testing.T) {
	z := newPathFuzz(t)
	seeds := pathSeeds()
	for i, first := range seeds {
		alike := append(likeBody(first), []byte(seeds[(i+1)%len(seeds)]))
		for settings := range uint8(32) {
			for _, second := range alike {
				z.check(t, settings, []byte(first), second, []byte(first))
			}
		}
	}
}

// FuzzFastPath gives three bodies, one after the other, to one cache: the third is made of the
// first and of the second by how.
func FuzzFastPath(f *testing.F) {
	z := newPathFuzz(f)
	for i, first := range pathSeeds() {
		for j, second := range likeBody(first) {
			f.Add(uint8(i*7+j), uint8(j), []byte(first), second)
		}
	}
	f.Fuzz(func(t *testing.T, settings, how uint8, first, second []byte) {
		first, second = first[:min(len(first), 2048)], second[:min(len(second), 2048)]
		third := second
		switch how % 5 {
		case 1:
			third = first
		case 2:
			third = slices.Concat(first, second)
		case 3:
			third = slices.Concat(second, first)
		case 4:
			lines := bytes.SplitAfter(first, []byte("\n"))
			third = bytes.Join(slices.Delete(lines, len(lines)/2, len(lines)/2+1), nil)
		}
		z.check(t, settings, first, second, third)
	})
}

package walstats

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// Range is how many samples there are, and the times of the oldest and the newest.
type Range struct {
	From    time.Time `json:"oldest_sample,omitzero"`
	To      time.Time `json:"newest_sample,omitzero"`
	Samples uint64    `json:"samples"`
}

func (r *Range) add(ms int64) {
	at := time.UnixMilli(ms).UTC()
	if r.Samples == 0 || at.Before(r.From) {
		r.From = at
	}
	if r.Samples == 0 || at.After(r.To) {
		r.To = at
	}
	r.Samples++
}

// Series is one series of a log.
type Series struct {
	Labels labels.Labels `json:"labels"`
	Range
}

// Cursor is how far one endpoint is.
type Cursor struct {
	ID      string `json:"id"`
	Segment uint64 `json:"segment"`
	Pending uint64 `json:"pending"`
}

// Log is what a log holds.
type Log struct {
	Range
	// Series are in the order of their labels.
	Series []*Series
	// Collisions are label sets that share their hash with another one.
	Collisions int
	// Lost samples were committed and can't be read: they are damaged, or were removed meanwhile.
	Lost uint64
	// First and Last are the numbers of the segments with data.
	First, Last uint64
	Segments    int
	Bytes       int64
	Cursors     []Cursor
}

// Collect reads the whole log in a directory. The directory may also be one that has a log in a
// subdirectory "wal", as those of Grafana Agent.
func Collect(dir string) (*Log, error) {
	view, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	begin, end := view.Begin(), view.End()
	out := &Log{First: begin.Segment, Last: end.Segment}
	out.Bytes, out.Segments = view.Size()
	for _, c := range view.Cursors() {
		out.Cursors = append(out.Cursors, Cursor{c.ID, c.Segment, end.Seq - min(c.Seq, end.Seq)})
	}
	v := &counter{book: view.Book(), byRef: map[series.Ref]*Series{}, byLabels: map[string]*Series{}, log: out}
	reader := view.NewReader(begin)
	defer reader.Close()
	for {
		record, err := reader.Next(v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		out.Lost += record.Lost.Damaged + record.Lost.Truncated
	}
	hashes := map[uint64]int{}
	for _, s := range v.byLabels {
		out.Series = append(out.Series, s)
		hashes[s.Labels.Hash()]++
	}
	for _, n := range hashes {
		out.Collisions += n - 1
	}
	slices.SortFunc(out.Series, func(a, b *Series) int { return labels.Compare(a.Labels, b.Labels) })
	return out, nil
}

func open(dir string) (*wal.View, error) {
	view, err := wal.Inspect(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return view, err
	}
	if view, below := wal.Inspect(filepath.Join(dir, "wal")); below == nil {
		return view, nil
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		return nil, readErr
	}
	for _, e := range entries {
		if is, _ := wal.IsLog(filepath.Join(dir, e.Name())); is {
			return nil, fmt.Errorf("%s holds the logs of several configs; name one of them, as %s", dir, filepath.Join(dir, e.Name()))
		}
		if e.Name() == "00000000" || filepath.Ext(e.Name()) == "" && len(e.Name()) == 8 && e.Type().IsRegular() {
			return nil, fmt.Errorf("%s holds a log of Prometheus or Grafana Agent, which only their own tools read", dir)
		}
	}
	return nil, err
}

// counter is a wal.Visitor.
type counter struct {
	book     *series.Book
	byRef    map[series.Ref]*Series
	byLabels map[string]*Series
	builder  labels.ScratchBuilder
	log      *Log
}

// Record implements wal.Visitor.
func (*counter) Record(uint64) {}

// Series implements wal.Visitor. A reference may have meant another series before.
func (c *counter) Series(ref series.Ref) {
	encoded := c.book.Encoded(ref)
	s := c.byLabels[string(encoded)]
	if s == nil {
		s = &Series{Labels: c.book.Labels(ref, &c.builder)}
		c.byLabels[string(encoded)] = s
	}
	c.byRef[ref] = s
}

func (c *counter) sample(ref series.Ref, t int64) {
	c.log.add(t)
	if s := c.byRef[ref]; s != nil {
		s.add(t)
	}
}

// Float implements wal.Visitor.
func (c *counter) Float(ref series.Ref, _, t int64, _ float64) { c.sample(ref, t) }

// Histogram implements wal.Visitor.
func (c *counter) Histogram(ref series.Ref, _, t int64, _ *histogram.Histogram) { c.sample(ref, t) }

// FloatHistogram implements wal.Visitor.
func (c *counter) FloatHistogram(ref series.Ref, _, t int64, _ *histogram.FloatHistogram) {
	c.sample(ref, t)
}

// Exemplar implements wal.Visitor.
func (*counter) Exemplar(series.Ref, exemplar.Exemplar) {}

// Metadata implements wal.Visitor.
func (*counter) Metadata(series.Ref, metadata.Metadata) {}

// Target is what a log holds of one target.
type Target struct {
	Job      string `json:"job"`
	Instance string `json:"instance"`
	Series   int    `json:"series"`
	Samples  uint64 `json:"samples"`
}

// Targets are the pairs of job and instance, in order.
func (l *Log) Targets() []Target {
	type pair struct{ job, instance string }
	byPair := map[pair]*Target{}
	for _, s := range l.Series {
		p := pair{s.Labels.Get("job"), s.Labels.Get("instance")}
		if byPair[p] == nil {
			byPair[p] = &Target{Job: p.job, Instance: p.instance}
		}
		byPair[p].Series++
		byPair[p].Samples += s.Samples
	}
	targets := make([]Target, 0, len(byPair))
	for _, t := range byPair {
		targets = append(targets, *t)
	}
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance))
	})
	return targets
}

// Metric is how many series of a target have one name.
type Metric struct {
	Metric string `json:"metric"`
	Series int    `json:"series"`
}

// Metrics are those of one target, the largest first.
func (l *Log) Metrics(job, instance string) []Metric {
	counts := map[string]int{}
	for _, s := range l.Series {
		if s.Labels.Get("job") == job && s.Labels.Get("instance") == instance {
			counts[s.Labels.Get("__name__")]++
		}
	}
	metrics := make([]Metric, 0, len(counts))
	for name, n := range counts {
		metrics = append(metrics, Metric{name, n})
	}
	slices.SortFunc(metrics, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Metric, b.Metric))
	})
	return metrics
}

// Matching are the series that all matchers match.
func (l *Log) Matching(matchers []*labels.Matcher) []*Series {
	found := []*Series{}
	for _, s := range l.Series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels.Get(m.Name)) }) {
			found = append(found, s)
		}
	}
	return found
}

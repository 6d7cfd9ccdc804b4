package waltest

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/ringmaster-agent/ringmaster/series"
)

// Sample is a delivered sample. Two are == exactly if they are the same sample of the same series.
type Sample struct {
	Series       string // its labels as text
	StartTime, T int64  // ms
	// Value is the bits of a float, or the whole histogram as text.
	Value string
}

// FloatSample is the Sample of a float.
func FloatSample(series string, startTime, t int64, v float64) Sample {
	return Sample{Series: series, StartTime: startTime, T: t, Value: fmt.Sprintf("%016x", math.Float64bits(v))}
}

// HistogramSample is the Sample of an integer histogram.
func HistogramSample(series string, startTime, t int64, h *histogram.Histogram) Sample {
	return Sample{Series: series, StartTime: startTime, T: t, Value: fmt.Sprintf("%d %d %x %d %d %x %v %v %v %v %x", h.CounterResetHint, h.Schema, math.Float64bits(h.ZeroThreshold),
		h.ZeroCount, h.Count, math.Float64bits(h.Sum), h.PositiveSpans, h.NegativeSpans, h.PositiveBuckets, h.NegativeBuckets, h.CustomValues)}
}

// FloatHistogramSample is the Sample of a float histogram.
func FloatHistogramSample(series string, startTime, t int64, h *histogram.FloatHistogram) Sample {
	return Sample{Series: series, StartTime: startTime, T: t, Value: fmt.Sprintf("f %d %d %x %x %x %x %v %v %x %x %x", h.CounterResetHint, h.Schema, math.Float64bits(h.ZeroThreshold),
		h.ZeroCount, h.Count, math.Float64bits(h.Sum), h.PositiveSpans, h.NegativeSpans, h.PositiveBuckets, h.NegativeBuckets, h.CustomValues)}
}

// Exemplar is a delivered exemplar.
type Exemplar struct {
	Series, Labels string
	T              int64
	Value          float64
	HasT           bool
}

// Recorder is a wal.Visitor that remembers everything it is told, and what a log must never do.
type Recorder struct {
	Samples    []Sample
	Exemplars  []Exemplar
	MetadataOf map[string]metadata.Metadata // by series
	// Defined are the series that the last record or replay defined, for tests that need to know
	// where definitions are.
	Defined []string
	// Faults says what was wrong: an undefined reference, or one with two meanings.
	Faults []string

	book   *series.Book
	series map[series.Ref]defined
}

// defined is what a reference was last defined as.
type defined struct {
	generation uint32
	name       string
}

// NewRecorder returns a Recorder for readers of a log, or of a view of one.
func NewRecorder(l interface{ Book() *series.Book }) *Recorder {
	return &Recorder{book: l.Book(), series: map[series.Ref]defined{}}
}

func (r *Recorder) name(ref series.Ref) string {
	d, ok := r.series[ref]
	if !ok || d.generation != r.book.Generation(ref) {
		r.Faults = append(r.Faults, fmt.Sprintf("reference %d is not defined", ref))
	}
	return d.name
}

// Record implements wal.Visitor.
func (*Recorder) Record(uint64) {}

// Series implements wal.Visitor.
func (r *Recorder) Series(ref series.Ref) {
	var b labels.ScratchBuilder
	d := defined{r.book.Generation(ref), r.book.Labels(ref, &b).String()}
	if old, ok := r.series[ref]; ok && old.generation == d.generation && old.name != d.name {
		r.Faults = append(r.Faults, fmt.Sprintf("reference %d means %s and %s", ref, old.name, d.name))
	}
	r.series[ref] = d
	r.Defined = append(r.Defined, d.name)
}

// Float implements wal.Visitor.
func (r *Recorder) Float(ref series.Ref, startTime, t int64, v float64) {
	r.Samples = append(r.Samples, FloatSample(r.name(ref), startTime, t, v))
}

// Histogram implements wal.Visitor.
func (r *Recorder) Histogram(ref series.Ref, startTime, t int64, h *histogram.Histogram) {
	r.Samples = append(r.Samples, HistogramSample(r.name(ref), startTime, t, h))
}

// FloatHistogram implements wal.Visitor.
func (r *Recorder) FloatHistogram(ref series.Ref, startTime, t int64, h *histogram.FloatHistogram) {
	r.Samples = append(r.Samples, FloatHistogramSample(r.name(ref), startTime, t, h))
}

// Exemplar implements wal.Visitor.
func (r *Recorder) Exemplar(ref series.Ref, e exemplar.Exemplar) {
	r.Exemplars = append(r.Exemplars, Exemplar{Series: r.name(ref), Labels: e.Labels.String(), T: e.Ts, Value: e.Value, HasT: e.HasTs})
}

// Metadata implements wal.Visitor.
func (r *Recorder) Metadata(ref series.Ref, m metadata.Metadata) {
	if r.MetadataOf == nil {
		r.MetadataOf = map[string]metadata.Metadata{}
	}
	r.MetadataOf[r.name(ref)] = m
}

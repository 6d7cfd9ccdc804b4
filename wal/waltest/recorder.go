package waltest

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
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
	// Defined are the series that the last record or replay defined, for tests that need to know where definitions are.
	Defined []string
	// Faults says what was wrong: an undefined reference, or one with two meanings.
	Faults []string

	series map[uint64]string
}

func (r *Recorder) name(ref uint64) string {
	name, ok := r.series[ref]
	if !ok {
		r.Faults = append(r.Faults, fmt.Sprintf("reference %x is not defined", ref))
	}
	return name
}

// Series implements wal.Visitor.
func (r *Recorder) Series(ref uint64, ls labels.Labels) {
	if r.series == nil {
		r.series = map[uint64]string{}
	}
	if old, ok := r.series[ref]; ok && old != ls.String() {
		r.Faults = append(r.Faults, fmt.Sprintf("reference %x means %s and %s", ref, old, ls))
	}
	r.series[ref] = ls.String()
	r.Defined = append(r.Defined, ls.String())
}

// Float implements wal.Visitor.
func (r *Recorder) Float(ref uint64, startTime, t int64, v float64) {
	r.Samples = append(r.Samples, FloatSample(r.name(ref), startTime, t, v))
}

// Histogram implements wal.Visitor.
func (r *Recorder) Histogram(ref uint64, startTime, t int64, h *histogram.Histogram) {
	r.Samples = append(r.Samples, HistogramSample(r.name(ref), startTime, t, h))
}

// FloatHistogram implements wal.Visitor.
func (r *Recorder) FloatHistogram(ref uint64, startTime, t int64, h *histogram.FloatHistogram) {
	r.Samples = append(r.Samples, FloatHistogramSample(r.name(ref), startTime, t, h))
}

// Exemplar implements wal.Visitor.
func (r *Recorder) Exemplar(ref uint64, e exemplar.Exemplar) {
	r.Exemplars = append(r.Exemplars, Exemplar{Series: r.name(ref), Labels: e.Labels.String(), T: e.Ts, Value: e.Value, HasT: e.HasTs})
}

// Metadata implements wal.Visitor.
func (r *Recorder) Metadata(ref uint64, m metadata.Metadata) {
	if r.MetadataOf == nil {
		r.MetadataOf = map[string]metadata.Metadata{}
	}
	r.MetadataOf[r.name(ref)] = m
}

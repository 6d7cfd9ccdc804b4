package receivertest

import (
	"fmt"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// Kinds are series with one sample each, of every kind there is, some with a start time and all but
// a staleness marker with an exemplar. Their names begin with prefix.
func Kinds(prefix string, now int64) []Series {
	samples := []Sample{
		{Start: now - 1000, T: now, V: 1.5},
		{T: now, V: math.Copysign(0, -1)},
		{T: now, V: math.Float64frombits(value.StaleNaN)},
		{Start: now - 2000, T: now, H: tsdbutil.GenerateTestHistogram(2)},
		{Start: now - 3000, T: now, FH: tsdbutil.GenerateTestFloatHistogram(3)},
		{T: now, H: tsdbutil.GenerateTestGaugeHistogram(4)},
		{T: now, FH: tsdbutil.GenerateTestGaugeFloatHistogram(5)},
		{Start: now - 4000, T: now, H: tsdbutil.GenerateTestCustomBucketsHistogram(6)},
		{T: now, FH: tsdbutil.GenerateTestCustomBucketsFloatHistogram(7)},
	}
	var all []Series
	for i, s := range samples {
		one := Series{Labels: labels.FromStrings("__name__", fmt.Sprint(prefix, "_", i)), Samples: []Sample{s}}
		one.Metadata = metadata.Metadata{Type: model.MetricTypeCounter, Help: fmt.Sprint("Help of ", i/2), Unit: "seconds"}
		if !s.IsStale() {
			one.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(prefix, i)), Value: float64(i), Ts: now, HasTs: true}}
		}
		all = append(all, one)
	}
	return all
}

// IsStale reports whether the sample is a float that ends its series.
func (s Sample) IsStale() bool { return s.H == nil && s.FH == nil && value.IsStaleNaN(s.V) }

// HasCustomBuckets reports whether it is a histogram that protocol 1.0 does not carry.
func (s Sample) HasCustomBuckets() bool {
	return s.H != nil && s.H.UsesCustomBuckets() || s.FH != nil && s.FH.UsesCustomBuckets()
}

// Bits is a text that is equal for samples that are equal to the bit.
func (s Sample) Bits() string {
	out := fmt.Sprintf("%d %d %x", s.Start, s.T, math.Float64bits(s.V))
	if s.H != nil {
		out += fmt.Sprintf(" %+v", *s.H)
	}
	if s.FH != nil {
		out += fmt.Sprintf(" %+v", *s.FH)
	}
	return out
}

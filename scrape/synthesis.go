package scrape

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
)

// The feature st-synthesis: what grows and says no start timestamp gets one. The first sample of a
// series is its point of reference and is not appended; later ones are what has been added since,
// with the time of the first one as their start. It is what Prometheus does, and it starts anew
// where the cache does: after a restart or a move.

// lineKey names a line of the cache, whatever its place.
type lineKey struct {
	hash   uint64
	length uint32
}

func (l *line) key() lineKey { return lineKey{l.hash, l.length} }

// synthesis is what is remembered of one series.
type synthesis struct {
	start          int64 // timestamp; 0: there was no sample
	last, origin   float64
	lastHistogram  *histogram.FloatHistogram
	firstHistogram *histogram.FloatHistogram // nil: there is nothing to subtract
}

// float returns what a sample has added since the first one; first says that it is that.
func (s *synthesis) float(v float64, t int64) (added float64, first bool) {
	if s.start == 0 {
		s.last, s.origin, s.start = v, v, t
		return v, true
	}
	if v < s.last { // it began anew, between the sample before and this one
		s.origin, s.start = 0, t-1
	}
	s.last = v
	return v - s.origin, false
}

// histogram takes in a histogram. whole says that nothing is to be subtracted from it.
func (s *synthesis) histogram(h *histogram.FloatHistogram, t int64) (first, whole bool) {
	switch {
	case s.start == 0:
		s.lastHistogram, s.start = h.Copy(), t
		s.firstHistogram = s.lastHistogram
		return true, true
	case s.lastHistogram == nil || h.DetectReset(s.lastHistogram):
		s.lastHistogram, s.firstHistogram, s.start = h.Copy(), nil, t-1
		return false, true
	default:
		s.lastHistogram = h.Copy()
		return false, s.firstHistogram == nil
	}
}

// subtract leaves what a histogram has more than the first one.
func (s *synthesis) subtract(h *histogram.FloatHistogram) *histogram.FloatHistogram {
	rest, _, _, _ := h.Sub(s.firstHistogram) // histograms of other schemas are a reset
	return rest.Compact(0)
}

// integers makes a histogram of whole counts one of integers, like another one.
func integers(f *histogram.FloatHistogram, like *histogram.Histogram) *histogram.Histogram {
	h := &histogram.Histogram{
		CounterResetHint: like.CounterResetHint, Schema: f.Schema, ZeroThreshold: f.ZeroThreshold,
		ZeroCount: uint64(f.ZeroCount), Count: uint64(f.Count), Sum: f.Sum, CustomValues: f.CustomValues,
	}
	h.PositiveSpans, h.PositiveBuckets = deltas(f.PositiveSpans, f.PositiveBuckets)
	h.NegativeSpans, h.NegativeBuckets = deltas(f.NegativeSpans, f.NegativeBuckets)
	return h
}

// deltas encodes counts as a histogram of integers has them.
func deltas(spans []histogram.Span, counts []float64) (own []histogram.Span, encoded []int64) {
	if len(spans) == 0 {
		return nil, nil
	}
	var last uint64
	for _, c := range counts {
		encoded = append(encoded, int64(uint64(c)-last))
		last = uint64(c)
	}
	return append(own, spans...), encoded
}

// synthesize replaces the value of a sample without a start timestamp. It returns that, whether the
// sample is to be passed over, and what is to be remembered of the series; nil: it is not one that
// grows.
func (in *ingester) synthesize(e *entry, s *subject, t int64) (start int64, skip bool, state *synthesis) {
	if s.known {
		state = in.cache.synthesized[s.key()]
	}
	if state == nil {
		if !in.grows(s.labelsFor(in)) {
			return 0, false, nil
		}
		state = &synthesis{}
	}
	switch {
	case e.fh != nil:
		first, whole := state.histogram(e.fh, t)
		if skip = first; !whole {
			e.fh = state.subtract(e.fh)
		}
	case e.h != nil:
		counts := e.h.ToFloat(nil)
		first, whole := state.histogram(counts, t)
		if skip = first; !whole {
			e.h = integers(state.subtract(counts), e.h)
		}
	default:
		e.v, skip = state.float(e.v, t)
	}
	return state.start, skip, state
}

// grows reports whether a series is of the family that was named last, and of a type that only grows.
func (in *ingester) grows(ls labels.Labels) bool {
	name := ls.Get(model.MetricNameLabel)
	if in.named == 0 || !isOfFamily(name, in.said.Family, in.said.Type) {
		return false
	}
	switch in.said.Type {
	case model.MetricTypeCounter, model.MetricTypeHistogram:
		return true
	case model.MetricTypeSummary:
		return strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum")
	default:
		return false
	}
}

// remember keeps what is to be remembered of a series, nil if that is nothing any more.
func (c *cache) remember(k lineKey, state *synthesis) {
	switch {
	case state == nil:
		delete(c.synthesized, k)
	case c.synthesized == nil:
		c.synthesized = map[lineKey]*synthesis{k: state}
	default:
		c.synthesized[k] = state
	}
}

// forgetSynthesized drops what is remembered of lines that the cache has forgotten.
func (c *cache) forgetSynthesized() {
	if len(c.synthesized) == 0 {
		return
	}
	kept := make(map[lineKey]*synthesis, len(c.synthesized))
	for i := range c.lines {
		if state := c.synthesized[c.lines[i].key()]; state != nil {
			kept[c.lines[i].key()] = state
		}
	}
	c.synthesized = kept
}

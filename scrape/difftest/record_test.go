package difftest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// record is one append in canonical form: equal appends have equal records.
type record struct {
	series   *memory
	labels   string
	order    int64  // the timestamp, for the storage
	value    string // of whatever kind, to the bit
	rest     string // timestamps, exemplars, metadata, options
	marker   bool   // a staleness marker that a loop made up: it rejects out of order
	exemplar int64  // time of the latest exemplar, for the storage
	stale    bool   // carries the staleness NaN, marker or not
	outcome  error
	afterEnd bool // it was refused because a loop had ended the series meanwhile

	// cacheKey says that the family of a report series was given with the invalid byte that
	// Prometheus ends its cache's keys with.
	cacheKey bool
}

func isReport(name string) bool { return name == "up" || strings.HasPrefix(name, "scrape_") }

func newRecord(c *clock, s *memory, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram,
	opts storage.AOptions) record {
	stale := isStale(v, h, fh)
	r := record{series: s, labels: s.text, stale: stale, marker: stale && opts.RejectOutOfOrder}
	r.order = c.order(t, r.marker)
	r.value = describeValue(s.labels, v, h, fh, stale)

	b := make([]byte, 0, 128)
	b = c.describeTime(b, t, r.marker)
	if st != 0 {
		b = append(b, " st="...)
		if n, ok := c.interval(st, false); ok { // of a synthesis: that of the first sample
			b = fmt.Appendf(b, "@%d", n)
		} else if n, ok := c.interval(st+1, false); ok { // just before a sample
			b = fmt.Appendf(b, "@%d-1ms", n)
		} else {
			b = strconv.AppendInt(b, st, 10)
		}
	}
	if opts.RejectOutOfOrder {
		b = append(b, " reject-out-of-order"...)
	}
	for _, e := range opts.Exemplars {
		b = c.describeExemplar(b, e)
	}
	if opts.MetricFamilyName != "" || !opts.Metadata.IsEmpty() {
		name := opts.MetricFamilyName
		if trimmed, ok := strings.CutSuffix(name, "\xff"); ok && isReport(trimmed) {
			name, r.cacheKey = trimmed, true
		}
		b = append(b, " family="...)
		b = strconv.AppendQuote(b, name)
		b = append(b, " type="...)
		b = append(b, opts.Metadata.Type...)
		b = append(b, " unit="...)
		b = strconv.AppendQuote(b, opts.Metadata.Unit)
		b = append(b, " help="...)
		b = strconv.AppendQuote(b, opts.Metadata.Help)
	}
	r.rest = string(b)
	return r
}

// describeTime writes a scrape's timestamp as the number of its interval, any other as it is.
func (c *clock) describeTime(b []byte, t int64, marker bool) []byte {
	if n, ok := c.interval(t, marker); ok {
		b = append(b, " @"...)
		return strconv.AppendInt(b, n, 10)
	}
	b = append(b, " t="...)
	return strconv.AppendInt(b, t, 10)
}

func describeValue(ls labels.Labels, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, stale bool) string {
	switch {
	case h != nil && fh != nil:
		return "both an integer and a float histogram"
	case fh != nil:
		return fmt.Sprintf("float histogram schema=%d hint=%d zero=%016x/%016x count=%016x sum=%016x +%v -%v +%s -%s custom=%s",
			fh.Schema, fh.CounterResetHint, bits(fh.ZeroThreshold), bits(fh.ZeroCount), bits(fh.Count), bits(fh.Sum),
			fh.PositiveSpans, fh.NegativeSpans, hexes(fh.PositiveBuckets), hexes(fh.NegativeBuckets), hexes(fh.CustomValues))
	case h != nil:
		return fmt.Sprintf("histogram schema=%d hint=%d zero=%016x/%d count=%d sum=%016x +%v -%v +%v -%v custom=%s",
			h.Schema, h.CounterResetHint, bits(h.ZeroThreshold), h.ZeroCount, h.Count, bits(h.Sum),
			h.PositiveSpans, h.NegativeSpans, h.PositiveBuckets, h.NegativeBuckets, hexes(h.CustomValues))
	case !stale && ls.Get(model.MetricNameLabel) == "scrape_duration_seconds":
		return "a duration"
	default:
		return fmt.Sprintf("%016x (%v)", bits(v), v)
	}
}

func hexes(values []float64) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, " %016x", bits(v))
	}
	return "[" + strings.TrimPrefix(b.String(), " ") + "]"
}

func (r *record) String() string {
	text := r.labels + " " + r.value + r.rest
	if r.outcome != nil {
		text += " refused: " + r.outcome.Error()
	}
	if r.afterEnd {
		text += afterEnd
	}
	return text
}

// afterEnd ends the line of a sample with a timestamp of its own that was refused because it is
// older than the end of its series.
const afterEnd = " after its end"

// transaction is what one appender committed.
type transaction struct {
	target  string // labels of the target, from its up series; empty if there is none
	lines   []string
	markers []string // of an ending, the refused ones too
	ending  []string // if not nil, series that ended with this transaction, which is not a scrape
}

// newTransaction puts records in canonical form: markers are sorted, and a transaction of nothing
// but markers is an ending.
func newTransaction(records []record) transaction {
	tx := transaction{ending: []string{}}
	for i := range records {
		if r := &records[i]; !r.marker {
			tx.ending = nil
		}
	}
	sortMarkers(records)
	for i := range records {
		r := &records[i]
		if r.series.labels.Get(model.MetricNameLabel) == "up" {
			tx.target = r.series.labels.MatchLabels(false, model.MetricNameLabel).String()
		}
		if tx.ending == nil {
			tx.lines = append(tx.lines, r.String())
			continue
		}
		tx.markers = append(tx.markers, r.String())
		if r.outcome == nil {
			tx.ending = append(tx.ending, r.labels)
		}
	}
	return tx
}

// sortMarkers sorts each run of staleness markers, report series excepted: these have metadata.
func sortMarkers(records []record) {
	for i := 0; i < len(records); {
		j := i
		for j < len(records) && records[j].marker && !strings.Contains(records[j].rest, "family=") {
			j++
		}
		slices.SortStableFunc(records[i:j], func(a, b record) int { return strings.Compare(a.labels, b.labels) })
		i = max(j, i+1)
	}
}

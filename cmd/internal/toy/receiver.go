package toy

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
)

// Sample is one received value. T is in milliseconds.
type Sample struct {
	T int64
	V float64
}

// Series is everything that was received of one series, as it arrived.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// Receiver takes remote write 1.0 and keeps what it was given. The zero value is ready to use.
type Receiver struct {
	// Forget limits memory: only the newest samples of each series are kept. Totals are not
	// affected. 0 keeps all.
	Forget int

	mu         sync.Mutex
	status     int
	series     map[string]*Series
	samples    uint64
	requests   uint64
	outOfOrder uint64
	repeated   uint64
}

// Totals is what a Receiver counted.
type Totals struct {
	// Requests were accepted; Samples were in them, floats and histograms.
	Requests, Samples uint64
	// Repeated samples arrived again with the same time: at-least-once delivery at work.
	Repeated uint64
	// OutOfOrder samples are older than what their series had already, and weren't there yet.
	OutOfOrder uint64
	// Series that were seen.
	Series int
}

// Fail makes the receiver answer every request with an HTTP status, 0 ends that.
func (r *Receiver) Fail(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// Totals returns what was counted so far.
func (r *Receiver) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Totals{Requests: r.requests, Samples: r.samples, Repeated: r.repeated, OutOfOrder: r.outOfOrder, Series: len(r.series)}
}

// Select returns copies of all series whose labels include those of match, sorted by labels.
func (r *Receiver) Select(match labels.Labels) []Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Series
	for _, s := range r.series {
		if includes(s.Labels, match) {
			found = append(found, Series{Labels: s.Labels, Samples: slices.Clone(s.Samples)})
		}
	}
	slices.SortFunc(found, func(a, b Series) int { return labels.Compare(a.Labels, b.Labels) })
	return found
}

// ServeHTTP takes one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	status := r.status
	r.mu.Unlock()
	if status != 0 {
		http.Error(w, "told to fail", status)
		return
	}
	decoded, err := remote.DecodeWriteRequest(req.Body)
	if err != nil {
		http.Error(w, fmt.Sprintf("decode remote write request: %v", err), http.StatusBadRequest)
		return
	}
	r.take(decoded)
	w.WriteHeader(http.StatusNoContent)
}

func (r *Receiver) take(req *prompb.WriteRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	builder := labels.NewScratchBuilder(8)
	for _, ts := range req.Timeseries {
		series := r.seriesOf(ts.ToLabels(&builder, nil))
		for _, s := range ts.Samples {
			r.add(series, Sample{T: s.Timestamp, V: s.Value})
		}
		for _, h := range ts.Histograms {
			r.add(series, Sample{T: h.Timestamp, V: h.Sum})
		}
	}
}

func (r *Receiver) seriesOf(ls labels.Labels) *Series {
	if r.series == nil {
		r.series = map[string]*Series{}
	}
	key := ls.String()
	found := r.series[key]
	if found == nil {
		found = &Series{Labels: ls.Copy()}
		r.series[key] = found
	}
	return found
}

func (r *Receiver) add(to *Series, s Sample) {
	r.samples++
	newest := len(to.Samples) - 1
	if newest >= 0 && s.T <= to.Samples[newest].T {
		if slices.ContainsFunc(to.Samples, func(old Sample) bool { return old.T == s.T }) {
			r.repeated++
		} else {
			r.outOfOrder++
		}
		return
	}
	to.Samples = append(to.Samples, s)
	if r.Forget > 0 && len(to.Samples) > r.Forget {
		to.Samples = slices.Delete(to.Samples, 0, len(to.Samples)-r.Forget)
	}
}

func includes(all, some labels.Labels) bool {
	missing := false
	some.Range(func(l labels.Label) { missing = missing || all.Get(l.Name) != l.Value })
	return !missing
}

// Gaps returns the numbers that are missing between the first and the last scrape in a series of
// ScrapesMetric, and those that appear more than once. Staleness markers are passed over.
func Gaps(s Series) (missing, doubled []uint64) {
	var last uint64
	for _, sample := range s.Samples {
		if value.IsStaleNaN(sample.V) || math.IsNaN(sample.V) {
			continue
		}
		number := uint64(sample.V)
		if last != 0 && number <= last {
			doubled = append(doubled, number)
			continue
		}
		for n := last + 1; last != 0 && n < number; n++ {
			missing = append(missing, n)
		}
		last = number
	}
	return missing, doubled
}

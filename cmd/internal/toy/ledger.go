package toy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
)

// NodeLabel is the external label by which a Ledger knows which agent has sent something. It is no
// part of a series' identity there.
const NodeLabel = "node"

// Scrape is one that was received: the sample of ScrapesMetric in it.
type Scrape struct {
	// Number is the target's count.
	Number uint64
	// At is the sample's timestamp, to the millisecond.
	At time.Time
	// Node sent it, empty if it did not say.
	Node string
}

// Ledger takes remote write 1.0 and keeps every scrape of the targets behind Targets, each of which
// has to be in a job of its own. Other series, and staleness markers, are only counted. The zero
// value is ready to use.
type Ledger struct {
	mu       sync.Mutex
	scrapes  map[string][]Scrape // by job, sorted by number
	samples  map[string]int      // by job
	repeated int
}

// ServeHTTP takes one request.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	decoded, err := remote.DecodeWriteRequest(req.Body)
	if err != nil {
		http.Error(w, fmt.Sprintf("decode remote write request: %v", err), http.StatusBadRequest)
		return
	}
	l.take(decoded)
	w.WriteHeader(http.StatusNoContent)
}

func (l *Ledger) take(req *prompb.WriteRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scrapes == nil {
		l.scrapes, l.samples = map[string][]Scrape{}, map[string]int{}
	}
	for _, series := range req.Timeseries {
		job, node := labelOf(series, "job"), labelOf(series, NodeLabel)
		l.samples[job] += len(series.Samples) + len(series.Histograms)
		if labelOf(series, "__name__") != ScrapesMetric {
			continue
		}
		for _, sample := range series.Samples {
			if !value.IsStaleNaN(sample.Value) {
				l.add(job, Scrape{Number: uint64(sample.Value), At: time.UnixMilli(sample.Timestamp), Node: node})
			}
		}
	}
}

// add keeps a scrape, unless it was sent again: at-least-once delivery at work.
func (l *Ledger) add(job string, s Scrape) {
	known := l.scrapes[job]
	for i := len(known) - 1; i >= 0 && known[i].Number >= s.Number; i-- {
		if known[i] == s {
			l.repeated++
			return
		}
	}
	at, _ := slices.BinarySearchFunc(known, s.Number+1, func(k Scrape, number uint64) int { return cmp.Compare(k.Number, number) })
	l.scrapes[job] = slices.Insert(known, at, s)
}

// Scrapes returns what was received of a job, sorted by number.
func (l *Ledger) Scrapes(job string) []Scrape {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.scrapes[job])
}

// Last returns the scrape of a job with the highest number; not ok if there is none.
func (l *Ledger) Last(job string) (s Scrape, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.scrapes[job]
	if len(known) == 0 {
		return Scrape{}, false
	}
	return known[len(known)-1], true
}

// Samples is how many samples of a job have arrived, of all series and with repetitions.
func (l *Ledger) Samples(job string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.samples[job]
}

// Repeated is how many scrapes were received again, the same in everything.
func (l *Ledger) Repeated() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeated
}

func labelOf(series prompb.TimeSeries, name string) string {
	for _, l := range series.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

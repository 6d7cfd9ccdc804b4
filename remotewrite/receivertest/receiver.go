// Package receivertest has a remote-write receiver that treats samples as Prometheus does without
// an out-of-order window.
//
// A request is one transaction: if one sample of it is not newer than the newest of its series, or
// belongs to a series that the test calls poison, nothing of it is stored and the answer is 400.
// (Prometheus takes the newest sample of a series again if it is equal; this one only with
// Forgives, so that a test sees each repetition.) What was stored is remembered, so that a test can
// ask for every sample by name and time.
//
// It understands protocols 1.0 and 2.0 with Prometheus' own types, is safe for concurrent use, and
// is never linked into a binary.
package receivertest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
)

// Sample is a stored sample; at most one of H and FH is set. Times are in milliseconds.
type Sample struct {
	Start, T int64
	V        float64
	H        *histogram.Histogram
	FH       *histogram.FloatHistogram
}

// Series is what was stored of one series, in the order of time.
type Series struct {
	Labels    labels.Labels
	Samples   []Sample
	Exemplars []exemplar.Exemplar
	Metadata  metadata.Metadata
}

// Request is what one request holds, one entry per TimeSeries message.
type Request struct {
	Header http.Header
	Series []Series
}

// Receiver is an http.Handler. The zero value takes everything that is in order.
type Receiver struct {
	// Before is asked before a request is looked at; what is not 0 is the answer, and nothing is
	// stored. It may block or panic.
	Before func(r *Request) int
	// Poison reports whether a series is refused for good.
	Poison func(ls labels.Labels) bool
	// After is called when a request was stored, before it is answered; what is not 0 is the
	// answer. It may panic with http.ErrAbortHandler to lose the answer.
	After func(r *Request) int
	// Partial makes requests of protocol 2.0 what they are to Prometheus: what is acceptable of one
	// is stored, whatever the rest is, and a series without samples is not acceptable.
	Partial bool
	// Forgives makes a repetition of the newest sample of a series with the same value acceptable. It
	// is not stored again.
	Forgives bool
	// OutOfOrder makes the receiver one with an out-of-order window: it takes samples in any order
	// and keeps them in that of their times. A repetition is acceptable, and not stored again, if the
	// value is the same.
	OutOfOrder bool
	// Versions are the protocols that are understood: "1", "2"; others are answered 415. Empty: both.
	Versions string

	mu       sync.Mutex
	series   map[string]*Series
	requests int
	refused  int
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	status, text, stored := r.handle(hr)
	if stored != nil {
		for name, n := range map[string]int{"Samples": stored.samples, "Histograms": stored.histograms, "Exemplars": stored.exemplars} {
			w.Header().Set("X-Prometheus-Remote-Write-"+name+"-Written", strconv.Itoa(n))
		}
	}
	if status/100 != 2 {
		http.Error(w, text, status)
		return
	}
	w.WriteHeader(status)
}

// written are the numbers that protocol 2.0 answers with.
type written struct{ samples, histograms, exemplars int }

func (r *Receiver) handle(hr *http.Request) (status int, text string, stored *written) {
	r.mu.Lock()
	r.requests++
	before, after := r.Before, r.After
	r.mu.Unlock()
	req, isV2, err := r.decode(hr)
	if err != nil {
		return http.StatusBadRequest, err.Error(), nil
	}
	if req == nil {
		return http.StatusUnsupportedMediaType, "not understood", nil
	}
	if before != nil {
		if status := before(req); status != 0 {
			return status, "no", nil
		}
	}
	n, err := r.store(req, isV2)
	if isV2 {
		stored = &n
	}
	if err != nil {
		return http.StatusBadRequest, err.Error(), stored
	}
	if after != nil {
		if status := after(req); status != 0 {
			return status, "stored, but not said", nil
		}
	}
	return http.StatusNoContent, "", stored
}

func (r *Receiver) decode(hr *http.Request) (req *Request, isV2 bool, err error) {
	compressed, err := io.ReadAll(hr.Body)
	if err != nil {
		return nil, false, err
	}
	body, err := s2.Decode(nil, compressed)
	if err != nil {
		return nil, false, err
	}
	isV2 = strings.Contains(hr.Header.Get("Content-Type"), "io.prometheus.write.v2.Request")
	version := "1"
	if isV2 {
		version = "2"
	}
	if r.Versions != "" && !strings.Contains(r.Versions, version) {
		return nil, isV2, nil
	}
	req = &Request{Header: hr.Header.Clone()}
	if isV2 {
		return req, isV2, req.decode2(body)
	}
	return req, isV2, req.decode1(body)
}

// store is the transaction.
func (r *Receiver) store(req *Request, isV2 bool) (n written, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := map[string]Sample{}
	var good []Series
	for _, s := range req.Series {
		problem := r.judge(s, newest)
		if r.Partial && isV2 && len(s.Samples) == 0 {
			problem = errors.Join(problem, fmt.Errorf("series %s has no sample", s.Labels))
		}
		if problem == nil {
			good = append(good, s)
			continue
		}
		r.refused++
		if err = errors.Join(err, problem); !r.Partial || !isV2 {
			return n, err
		}
	}
	return r.keep(good), err
}

// judge says what is wrong with a series. newest are the last samples in the request.
func (r *Receiver) judge(s Series, newest map[string]Sample) error {
	key := s.Labels.String()
	if r.Poison != nil && r.Poison(s.Labels) {
		return fmt.Errorf("series %s is not acceptable", key)
	}
	last, known := newest[key]
	if old := r.series[key]; !known && old != nil && len(old.Samples) > 0 {
		last, known = old.Samples[len(old.Samples)-1], true
	}
	if r.OutOfOrder {
		return r.judgeRepeated(s)
	}
	for _, x := range s.Samples {
		if known && x.T <= last.T && !r.forgives(x, last) {
			return fmt.Errorf("out of order sample: series %s at %d, it has one at %d", key, x.T, last.T)
		}
		last, known = x, true
	}
	if known {
		newest[key] = last
	}
	return nil
}

func (r *Receiver) judgeRepeated(s Series) error {
	old := r.series[s.Labels.String()]
	if old == nil {
		return nil
	}
	for _, x := range s.Samples {
		if i, found := old.find(x.T); found && old.Samples[i].Bits() != x.Bits() {
			return fmt.Errorf("duplicate sample for timestamp: series %s at %d", s.Labels, x.T)
		}
	}
	return nil
}

// find is where a sample of a time is, or has to be, if samples are in the order of their times.
func (s *Series) find(t int64) (i int, found bool) {
	return slices.BinarySearchFunc(s.Samples, t, func(x Sample, t int64) int { return cmp.Compare(x.T, t) })
}

func (r *Receiver) forgives(x, last Sample) bool { return r.Forgives && x.Bits() == last.Bits() }

func (r *Receiver) keep(all []Series) (n written) {
	if r.series == nil {
		r.series = map[string]*Series{}
	}
	for _, s := range all {
		key := s.Labels.String()
		into := r.series[key]
		if into == nil {
			into = &Series{Labels: s.Labels}
			r.series[key] = into
		}
		for _, x := range s.Samples {
			i, found := into.find(x.T)
			if !found && (r.OutOfOrder || i == len(into.Samples)) {
				into.Samples = slices.Insert(into.Samples, i, x)
			}
		}
		into.Exemplars = append(into.Exemplars, s.Exemplars...)
		if !s.Metadata.IsEmpty() {
			into.Metadata = s.Metadata
		}
		n.exemplars += len(s.Exemplars)
		for _, x := range s.Samples {
			if x.H != nil || x.FH != nil {
				n.histograms++
			} else {
				n.samples++
			}
		}
	}
	return n
}

// Set changes the answers while requests arrive.
func (r *Receiver) Set(change func(r *Receiver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// Requests is the number of requests, Refused the number of those that were refused because of what
// was in them.
func (r *Receiver) Requests() int { return r.read(func() int { return r.requests }) }

// Refused is explained at Requests.
func (r *Receiver) Refused() int { return r.read(func() int { return r.refused }) }

// Samples is the number of stored samples.
func (r *Receiver) Samples() int {
	return r.read(func() (n int) {
		for _, s := range r.series {
			n += len(s.Samples)
		}
		return n
	})
}

func (r *Receiver) read(f func() int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f()
}

// Stored returns what was stored, by the text of the labels.
func (r *Receiver) Stored() map[string]Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]Series, len(r.series))
	for key, s := range r.series {
		one := *s
		one.Samples = slices.Clone(s.Samples)
		all[key] = one
	}
	return all
}

// Newest makes a series have one sample at t, as if another had sent it.
func (r *Receiver) Newest(ls labels.Labels, t int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.series == nil {
		r.series = map[string]*Series{}
	}
	r.series[ls.String()] = &Series{Labels: ls, Samples: []Sample{{T: t}}}
}

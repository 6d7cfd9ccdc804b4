package web

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"
)

const (
	// maxAhead is how far in the future a sample may be, as in Prometheus' receiver.
	maxAhead = 10 * time.Minute
	// maxNamedErrors is how many refused series an answer names; the rest is counted.
	maxNamedErrors = 10
)

// ingest appends the requests of one remote-write request to an instance's log. Prometheus' own receiver does it through the
// older Appender interface, which our log does not have: it would lose start timestamps and metadata.
//
// A request is one transaction. What is refused because of itself (bad labels, out of order) is left out, counted and
// named with 400, which tells the sender not to retry; the rest is written. Any other error rolls all of it back with 500,
// and the sender tries again.
type ingest struct {
	appendable storage.AppendableV2
	log        *zap.Logger
	instance   string
	now        func() time.Time
}

// series is one time series of either protocol version, ready to append.
type series struct {
	labels    labels.Labels
	samples   []sample
	exemplars []exemplar.Exemplar // sorted by time
	meta      metadata.Metadata
}

// sample is a float, or a histogram if one of h and fh is set. Times are milliseconds; start 0 is unknown.
type sample struct {
	start, t int64
	v        float64
	h        *histogram.Histogram
	fh       *histogram.FloatHistogram
}

// Store implements what remoteapi.NewWriteHandler wants. The request's body is decompressed.
func (in *ingest) Store(r *http.Request, msgType remoteapi.WriteMessageType) (*remoteapi.WriteResponse, error) {
	res := remoteapi.NewWriteResponse()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return res, fmt.Errorf("read request: %w", err)
	}
	b := &batch{
		app:     in.appendable.AppenderV2(r.Context()),
		maxTime: in.now().Add(maxAhead).UnixMilli(),
	}
	// An appender must be finished even if a panic passes by: others may wait for what it holds.
	defer b.rollback()
	if msgType == remoteapi.WriteV1MessageType {
		err = b.appendV1(body)
	} else {
		err = b.appendV2(body)
	}
	if errors.Is(err, errMalformed) {
		res.SetStatusCode(http.StatusBadRequest)
		return res, err
	}
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		in.log.Warn("append remote write", zap.String("instance", in.instance), zap.Error(err))
		res.SetStatusCode(http.StatusInternalServerError)
		return res, err
	}
	res.Add(b.stats)
	if err := b.refusals(); err != nil {
		res.SetStatusCode(http.StatusBadRequest)
		return res, err
	}
	return res, nil
}

var errMalformed = errors.New("decode remote write request")

// batch is one request on its way into the log.
type batch struct {
	app     storage.AppenderV2
	done    bool
	maxTime int64
	stats   remoteapi.WriteResponseStats
	refused int // samples, histograms and exemplars
	named   []error
}

func (b *batch) appendV1(body []byte) error {
	var req prompb.WriteRequest
	if err := req.Unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	scratch := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		one := series{labels: ts.ToLabels(&scratch, nil)}
		for _, s := range ts.Samples {
			one.samples = append(one.samples, sample{t: s.Timestamp, v: s.Value})
		}
		for _, h := range ts.Histograms {
			s := sample{t: h.Timestamp}
			if h.IsFloatHistogram() {
				s.fh = h.ToFloatHistogram()
			} else {
				s.h = h.ToIntHistogram()
			}
			one.samples = append(one.samples, s)
		}
		for _, e := range ts.Exemplars {
			one.exemplars = append(one.exemplars, e.ToExemplar(&scratch, nil))
		}
		if err := b.append(one); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) appendV2(body []byte) error {
	var req writev2.Request
	if err := req.Unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	scratch := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		one, err := decodeV2(ts, req.Symbols, &scratch)
		if err != nil {
			b.refuse(len(ts.Samples)+len(ts.Histograms)+len(ts.Exemplars), err)
			continue
		}
		if err := b.append(one); err != nil {
			return err
		}
	}
	return nil
}

func decodeV2(ts writev2.TimeSeries, symbols []string, scratch *labels.ScratchBuilder) (one series, err error) {
	if one.labels, err = ts.ToLabels(scratch, symbols); err != nil {
		return one, err
	}
	if one.meta, err = ts.ToMetadata(symbols); err != nil {
		return one, fmt.Errorf("series %s: %w", one.labels, err)
	}
	for _, s := range ts.Samples {
		one.samples = append(one.samples, sample{start: s.StartTimestamp, t: s.Timestamp, v: s.Value})
	}
	for _, h := range ts.Histograms {
		s := sample{start: h.StartTimestamp, t: h.Timestamp}
		if h.IsFloatHistogram() {
			s.fh = h.ToFloatHistogram()
		} else {
			s.h = h.ToIntHistogram()
		}
		one.samples = append(one.samples, s)
	}
	for _, e := range ts.Exemplars {
		ex, err := e.ToExemplar(scratch, symbols)
		if err != nil {
			return one, fmt.Errorf("exemplar of series %s: %w", one.labels, err)
		}
		one.exemplars = append(one.exemplars, ex)
	}
	return one, nil
}

// append adds one series; its error is not the series' own fault and ends the request.
func (b *batch) append(one series) error {
	if err := checkLabels(one.labels); err != nil {
		b.refuse(len(one.samples)+len(one.exemplars), err)
		return nil
	}
	if len(one.samples) == 0 {
		b.refuse(len(one.exemplars), fmt.Errorf("series %s has no sample", one.labels))
		return nil
	}
	slices.SortStableFunc(one.exemplars, func(x, y exemplar.Exemplar) int { return cmp.Compare(x.Ts, y.Ts) })
	var ref storage.SeriesRef
	for i, s := range one.samples {
		opts := storage.AOptions{Metadata: one.meta, RejectOutOfOrder: true}
		if i == len(one.samples)-1 {
			opts.Exemplars = one.exemplars
		}
		newRef, err := b.appendSample(ref, one.labels, s, opts)
		if err == nil {
			ref = newRef
			continue
		}
		if !isRefusal(err) {
			return fmt.Errorf("append series %s: %w", one.labels, err)
		}
		b.refuse(1+len(opts.Exemplars), fmt.Errorf("series %s at %d: %w", one.labels, s.t, err))
	}
	return nil
}

func (b *batch) appendSample(ref storage.SeriesRef, ls labels.Labels, s sample, opts storage.AOptions) (storage.SeriesRef, error) {
	if s.t > b.maxTime {
		return ref, fmt.Errorf("%w: more than %s in the future", storage.ErrOutOfBounds, maxAhead)
	}
	if err := s.checkHistogram(); err != nil {
		return ref, err
	}
	ref, err := b.app.Append(ref, ls, s.start, s.t, s.v, s.h, s.fh, opts)
	exemplars := len(opts.Exemplars)
	var partial *storage.AppendPartialError
	if errors.As(err, &partial) {
		// The sample is in; some of its exemplars are not.
		exemplars = max(0, exemplars-len(partial.ExemplarErrors))
		b.refuse(len(partial.ExemplarErrors), fmt.Errorf("exemplars of series %s: %w", ls, partial))
		err = nil
	}
	if err != nil {
		return ref, err
	}
	b.stats.Exemplars += exemplars
	if s.h != nil || s.fh != nil {
		b.stats.Histograms++
	} else {
		b.stats.Samples++
	}
	return ref, nil
}

// checkHistogram refuses histograms that contradict themselves, and reduces those finer than Prometheus stores.
func (s sample) checkHistogram() error {
	switch {
	case s.h != nil:
		if tooFine(s.h.Schema) {
			if err := s.h.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		return s.h.Validate()
	case s.fh != nil:
		if tooFine(s.fh.Schema) {
			if err := s.fh.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		return s.fh.Validate()
	}
	return nil
}

func tooFine(schema int32) bool {
	return histogram.IsExponentialSchemaReserved(schema) && schema > histogram.ExponentialSchemaMax
}

func checkLabels(ls labels.Labels) error {
	if !ls.Has(model.MetricNameLabel) || !ls.IsValid(model.UTF8Validation) {
		return fmt.Errorf("series %s: metric name missing or labels invalid", ls)
	}
	if name, twice := ls.HasDuplicateLabelNames(); twice {
		return fmt.Errorf("series %s: label %q occurs twice", ls, name)
	}
	return nil
}

// isRefusal tells what is wrong with a sample from what is wrong with the log.
func isRefusal(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrOutOfBounds) ||
		errors.Is(err, storage.ErrDuplicateSampleForTimestamp) || errors.Is(err, storage.ErrTooOldSample) ||
		errors.As(err, new(histogram.Error))
}

func (b *batch) refuse(n int, err error) {
	b.refused += n
	if len(b.named) <= maxNamedErrors {
		b.named = append(b.named, err)
	}
}

// refusals is nil when everything was taken.
func (b *batch) refusals() error {
	if len(b.named) == 0 {
		return nil
	}
	shown := b.named[:min(len(b.named), maxNamedErrors)]
	err := fmt.Errorf("%d refused, the rest was written: %w", b.refused, errors.Join(shown...))
	if len(b.named) > maxNamedErrors {
		err = fmt.Errorf("%w\n…", err)
	}
	return err
}

func (b *batch) commit() error {
	b.done = true
	return b.app.Commit()
}

// rollback does nothing after commit.
func (b *batch) rollback() {
	if !b.done {
		b.done = true
		_ = b.app.Rollback()
	}
}

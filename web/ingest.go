package web

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"
)

const (
	// maxAhead is how far in the future a sample may be, as in Prometheus' receiver.
	maxAhead = 10 * time.Minute
	// maxNamedErrors is how many refused series an answer names; the rest is counted.
	maxNamedErrors = 10
)

// ingest appends the requests of one remote-write request to an instance's log. Prometheus' own
// receiver does it through the older Appender interface, which our log does not have: it would lose
// start timestamps and metadata.
//
// A request is one transaction. What is refused because of itself (bad labels, out of order) is
// left out, counted and named with 400, which tells the sender not to retry; the rest is written.
// Any other error rolls all of it back with 500, and the sender tries again.
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

// sample is a float, or a histogram if one of h and fh is set. Times are milliseconds; start 0 is
// unknown.
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
	if err := checkDecoded(body, msgType); err != nil {
		res.SetStatusCode(http.StatusRequestEntityTooLarge)
		return res, err
	}
	b := &batch{
		version: msgType,
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
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) { // the instance is at one of its limits, and says so by itself
		res.SetStatusCode(http.StatusTooManyRequests)
		res.SetExtraHeader("Retry-After", strconv.Itoa(int(later.RetryAfter().Seconds())))
		return res, err
	}
	if errors.Is(err, fs.ErrClosed) {
		// The instance has stopped since it was found: here it starts again, or another node has it.
		res.SetStatusCode(http.StatusServiceUnavailable)
		res.SetExtraHeader("Retry-After", retryAfter)
		return res, fmt.Errorf("instance %q does not take samples at the moment: %w", in.instance, err)
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

// exemplarAppender is an appender that takes exemplars without a sample.
type exemplarAppender interface {
	AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error)
}

// batch is one request on its way into the log.
type batch struct {
	version remoteapi.WriteMessageType
	app     storage.AppenderV2
	done    bool
	maxTime int64
	stats   remoteapi.WriteResponseStats
	refused int // samples, histograms and exemplars
	named   []error
}

// appendAll appends a request. Senders (Prometheus, vmagent, this agent in protocol 1.0) send an
// exemplar as a series entry of its own behind the sample that it belongs to; here it joins that
// sample. One without a sample in the request is stored for itself.
func (b *batch) appendAll(all []series) error {
	joinExemplars(all)
	for _, one := range all {
		if err := b.append(one); err != nil {
			return err
		}
	}
	return nil
}

// append adds one series; its error is not the series' own fault and ends the request.
func (b *batch) append(one series) error {
	if err := checkLabels(one.labels); err != nil {
		b.refuse(len(one.samples)+len(one.exemplars), err)
		return nil
	}
	slices.SortStableFunc(one.exemplars, func(x, y exemplar.Exemplar) int { return cmp.Compare(x.Ts, y.Ts) })
	if len(one.samples) == 0 {
		return b.appendExemplars(one)
	}
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

// appendExemplars adds exemplars that came without a sample.
func (b *batch) appendExemplars(one series) error {
	app, ok := b.app.(exemplarAppender)
	if !ok || len(one.exemplars) == 0 {
		return nil
	}
	_, err := app.AppendExemplars(0, one.labels, one.exemplars)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	var partial *storage.AppendPartialError
	if err != nil && !errors.As(err, &partial) {
		return fmt.Errorf("append exemplars of series %s: %w", one.labels, err)
	}
	b.stats.Exemplars += b.storedExemplars(one.labels, len(one.exemplars), partial)
	return nil
}

// storedExemplars is how many of n exemplars were stored. In protocol 1.0 the others are no reason
// to refuse anything: Prometheus passes over them too.
func (b *batch) storedExemplars(ls labels.Labels, n int, partial *storage.AppendPartialError) int {
	if partial == nil {
		return n
	}
	refused := len(partial.ExemplarErrors)
	if b.version == remoteapi.WriteV2MessageType {
		b.refuse(refused, fmt.Errorf("exemplars of series %s: %w", ls, partial))
	}
	return max(0, n-refused)
}

func (b *batch) appendSample(ref storage.SeriesRef, ls labels.Labels, s sample, opts storage.AOptions) (storage.SeriesRef, error) {
	if s.t > b.maxTime {
		return ref, fmt.Errorf("%w: more than %s in the future", storage.ErrOutOfBounds, maxAhead)
	}
	if err := s.checkHistogram(); err != nil {
		return ref, err
	}
	ref, err := b.app.Append(ref, ls, s.start, s.t, s.v, s.h, s.fh, opts)
	var partial *storage.AppendPartialError
	if errors.As(err, &partial) {
		err = nil // the sample is in; some of its exemplars are not
	}
	if err != nil {
		return ref, err
	}
	b.stats.Exemplars += b.storedExemplars(ls, len(opts.Exemplars), partial)
	if s.h != nil || s.fh != nil {
		b.stats.Histograms++
	} else {
		b.stats.Samples++
	}
	return ref, nil
}

// checkHistogram refuses histograms that contradict themselves, and reduces those finer than
// Prometheus stores.
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

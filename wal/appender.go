package wal

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/series"
)

var (
	// errAlreadyThere means that a sample repeats the last one of its series.
	errAlreadyThere = errors.New("sample is already there")
	errAppenderDone = errors.New("appender was committed or rolled back before")
	errOpenTooLong  = errors.New("appender was open for too long: its series may be forgotten")
)

// appender collects one commit. Samples are encoded at once, so that what it holds is small. What
// the log remembers changes with the commit only: a rollback has nothing to undo.
type appender struct {
	log *Log
	enc encoder
	// id tells the open appenders of a log apart. 0: nothing was appended yet.
	id uint32
	// epoch is the numbering in which the batch is encoded.
	epoch   uint32
	started time.Time
	// pending are the encoded samples, in order.
	pending []pendingSample
	// exemplars are the encoded exemplars, in order.
	exemplars []pendingExemplar
	// contested says that another open appender has the same series, so that a series may occur
	// twice without being seen.
	contested bool
}

// pendingSample is an appended sample.
type pendingSample struct {
	lastSample
	ref series.Ref
}

type pendingExemplar struct {
	lastExemplar
	ref series.Ref
}

var _ storage.AppenderV2 = (*appender)(nil)

func (a *appender) reset() {
	a.enc.reset()
	a.id, a.epoch, a.contested = 0, 0, false
	a.pending, a.exemplars = a.pending[:0], a.exemplars[:0]
}

// Append implements storage.AppenderV2. A reference is one that Append returned, or the Ref of the
// log's Book of a series that the caller holds; empty labels mean that it is to be trusted. Errors:
// storage.ErrNotFound if a reference that is to be trusted does not mean a series any more,
// storage.ErrOutOfOrderSample and storage.ErrDuplicateSampleForTimestamp (see the package's
// documentation), ErrInvalidLabels, what a histogram's Validate says, and
// storage.AppendPartialError, after which the sample is in the batch but not all of its exemplars
// are. All arguments are copied.
func (a *appender) Append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64,
	v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions,
) (storage.SeriesRef, error) {
	var r resolved
	var err error
	switch {
	case fh != nil:
		if err = fh.Validate(); err == nil {
			r, err = a.appendHistogram(ref, ls, lastSample{t: t, kind: kindFloatHistogram}, &opts.Metadata, func(number uint64) []byte {
				return a.enc.floatHistogram(number, st, t, fh)
			})
		}
	case h != nil:
		if err = h.Validate(); err == nil {
			r, err = a.appendHistogram(ref, ls, lastSample{t: t, kind: kindHistogram}, &opts.Metadata, func(number uint64) []byte {
				return a.enc.histogram(number, st, t, h)
			})
		}
	default:
		r, err = a.appendFloat(ref, ls, st, lastSample{t: t, bits: math.Float64bits(v)}, &opts.Metadata)
	}
	if err != nil && !errors.Is(err, errAlreadyThere) {
		return 0, err
	}
	if len(opts.Exemplars) > 0 && !isStale(v, h, fh) {
		return r.reference, a.appendExemplars(r.ref, opts.Exemplars)
	}
	return r.reference, nil
}

func isStale(v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) bool {
	switch {
	case fh != nil:
		v = fh.Sum
	case h != nil:
		v = h.Sum
	}
	return value.IsStaleNaN(v)
}

// resolved is a series and the reference that Append returns for it.
type resolved struct {
	ref       series.Ref
	reference storage.SeriesRef
}

// appendFloat is the path of nearly all samples: one turn under the lock.
func (a *appender) appendFloat(ref storage.SeriesRef, ls labels.Labels, st int64, sample lastSample, m *metadata.Metadata) (found resolved, err error) {
	l := a.log
	l.seriesMu.Lock()
	r, err := l.table.resolve(ref, ls)
	var number uint64
	if err == nil {
		found = resolved{r, l.table.reference(r)}
		l.table.setMetadata(r, m)
		if err = a.admit(r, sample); err == nil {
			number = a.take(r, sample)
		}
	}
	l.seriesMu.Unlock()
	if err == nil {
		a.enc.float(number, st, sample.t, math.Float64frombits(sample.bits))
	}
	return found, err
}

// appendHistogram encodes before it knows whether the sample is admitted, because that depends on
// the encoded bytes.
func (a *appender) appendHistogram(
	ref storage.SeriesRef, ls labels.Labels, sample lastSample, m *metadata.Metadata, encode func(number uint64) []byte,
) (resolved, error) {
	l := a.log
	l.seriesMu.Lock()
	defer l.seriesMu.Unlock()
	r, err := l.table.resolve(ref, ls)
	if err != nil {
		return resolved{}, err
	}
	found := resolved{r, l.table.reference(r)}
	l.table.setMetadata(r, m)
	before, size := a.enc, len(a.enc.buf)
	sample.bits = uint64(checksum(encode(l.table.number(l.table.cells.At(r)))))
	if err = a.admit(r, sample); err != nil {
		grown := a.enc.buf
		a.enc = before
		a.enc.buf = grown[:size]
		return found, err
	}
	a.take(r, sample)
	return found, nil
}

// admit says whether a sample is newer than what is committed of its series and what this appender
// has of it. It needs seriesMu.
func (a *appender) admit(r series.Ref, sample lastSample) error {
	c := a.log.table.cells.At(r)
	last := &c.last
	if c.appender == a.id && a.id != 0 {
		last = &a.pending[c.index].lastSample
	}
	switch {
	case sample.t > last.t:
		return nil
	case sample == *last:
		return errAlreadyThere
	case sample.t == last.t:
		return storage.ErrDuplicateSampleForTimestamp
	default:
		a.log.table.disordered++
		return storage.ErrOutOfOrderSample
	}
}

// take adds an admitted sample to the batch, and returns the number of its series. It needs
// seriesMu.
func (a *appender) take(r series.Ref, sample lastSample) (number uint64) {
	t := &a.log.table
	if a.id == 0 {
		a.begin(t)
	}
	c := t.cells.At(r)
	if c.appender != a.id && c.appender != 0 {
		a.contested = true
	}
	c.appender, c.index = a.id, uint32(len(a.pending))
	c.used = max(c.used, uint32(a.started.Unix()))
	a.pending = append(a.pending, pendingSample{sample, r})
	return t.number(c)
}

func (a *appender) begin(t *table) {
	if t.lastAppender++; t.lastAppender == 0 {
		t.lastAppender++
	}
	a.id, a.epoch = t.lastAppender, t.epoch
}

// AppendExemplars appends exemplars of a series that come without a sample of it. References and
// labels are as in Append, and so is the error, which is a storage.AppendPartialError if some of
// the exemplars are refused. Repetitions are passed over.
func (a *appender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	t := &a.log.table
	a.log.seriesMu.Lock()
	r, err := t.resolve(ref, ls)
	if err == nil {
		c := t.cells.At(r)
		c.used, ref = max(c.used, uint32(a.started.Unix())), t.reference(r)
	}
	a.log.seriesMu.Unlock()
	if err != nil {
		return 0, err
	}
	return ref, a.appendExemplars(r, exemplars)
}

// appendExemplars takes what is new. Repetitions are passed over, anything else that is refused is
// part of the error.
func (a *appender) appendExemplars(r series.Ref, exemplars []exemplar.Exemplar) error {
	a.log.seriesMu.Lock()
	defer a.log.seriesMu.Unlock()
	t := &a.log.table
	if a.id == 0 {
		a.begin(t)
	}
	var partial storage.AppendPartialError
	for _, e := range exemplars {
		e.Labels = e.Labels.WithoutEmpty()
		if err := validateExemplar(e); err != nil {
			partial.ExemplarErrors = append(partial.ExemplarErrors, err)
			continue
		}
		x := summarize(e)
		switch err := a.admitExemplar(r, x); {
		case err == nil:
			a.exemplars = append(a.exemplars, pendingExemplar{x, r})
			a.enc.exemplar(t.number(t.cells.At(r)), e)
		case !errors.Is(err, storage.ErrDuplicateExemplar):
			partial.ExemplarErrors = append(partial.ExemplarErrors, err)
		}
	}
	return partial.ToError()
}

// admitExemplar judges by what is committed, and by the exemplar before if it is of this series.
// It needs seriesMu.
func (a *appender) admitExemplar(r series.Ref, e lastExemplar) error {
	last := a.log.table.exemplars.Get(r)
	if n := len(a.exemplars); n > 0 && a.exemplars[n-1].ref == r {
		last = &a.exemplars[n-1].lastExemplar
	}
	switch {
	case last == nil:
		return nil
	case e.equals(*last):
		return storage.ErrDuplicateExemplar
	case e.before(*last):
		return storage.ErrOutOfOrderExemplar
	default:
		return nil
	}
}

// validateExemplar refuses what OpenMetrics forbids, as the TSDB does.
func validateExemplar(e exemplar.Exemplar) error {
	if name, dup := e.Labels.HasDuplicateLabelNames(); dup {
		return fmt.Errorf("%w: exemplar label name %q is not unique", ErrInvalidLabels, name)
	}
	length := 0
	return e.Labels.Validate(func(l labels.Label) error {
		length += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value)
		if length > exemplar.ExemplarMaxLabelSetLength {
			return storage.ErrExemplarLabelLength
		}
		return nil
	})
}

// Commit implements storage.AppenderTransaction. After an error nothing of the batch is in the
// log, and its series remember nothing of it. Samples that another appender has overtaken are left
// out and counted in Stats.
func (a *appender) Commit() error {
	if a.log == nil {
		return errAppenderDone
	}
	var err error
	if !a.enc.empty() {
		err = a.log.commit(a)
	}
	a.end()
	return err
}

// Rollback implements storage.AppenderTransaction. It fails only on an appender that is done.
func (a *appender) Rollback() error {
	if a.log == nil {
		return errAppenderDone
	}
	a.end()
	return nil
}

// end lets go of the series, so that the next appender is judged without regard to this one.
func (a *appender) end() {
	a.log.seriesMu.Lock()
	t := &a.log.table
	for i := range a.pending {
		// A series that was forgotten meanwhile may have no cell of the log's any more.
		if c := t.cells.At(a.pending[i].ref); c.appender == a.id {
			c.appender = 0
		}
	}
	a.log.seriesMu.Unlock()
	a.log.syncer.releaseAppender(a)
}

package wal

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

var (
	// errAlreadyThere means that a sample repeats the last one of its series.
	errAlreadyThere = errors.New("sample is already there")
	errAppenderDone = errors.New("appender was committed or rolled back before")
)

// appender collects one commit. Samples are encoded at once, so that what it holds is small; what is remembered beside is what it takes to undo them.
type appender struct {
	log       *Log
	enc       encoder
	pending   []pendingSample
	replaced  []replacedExemplar
	exemplars int
}

// pendingSample is an appended sample and what its series remembered before.
type pendingSample struct {
	series *series
	sample lastSample
	before lastSample
}

type replacedExemplar struct {
	series *series
	before *lastExemplar
}

var _ storage.AppenderV2 = (*appender)(nil)

func (a *appender) reset() {
	a.enc.reset()
	clear(a.pending)
	clear(a.replaced)
	a.pending, a.replaced, a.exemplars = a.pending[:0], a.replaced[:0], 0
}

// Append implements storage.AppenderV2. Errors: storage.ErrOutOfOrderSample and storage.ErrDuplicateSampleForTimestamp (see the package's
// documentation), ErrInvalidLabels, what a histogram's Validate says, and storage.AppendPartialError, after which the
// sample is in the batch but not all of its exemplars are. Labels are kept, all other arguments are copied.
func (a *appender) Append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64,
	v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions,
) (storage.SeriesRef, error) {
	var s *series
	var err error
	switch {
	case fh != nil:
		if err = fh.Validate(); err == nil {
			s, err = a.appendHistogram(uint64(ref), ls, lastSample{t: t, kind: kindFloatHistogram}, func(s *series) []byte {
				return a.enc.floatHistogram(s.ref, st, t, fh)
			})
		}
	case h != nil:
		if err = h.Validate(); err == nil {
			s, err = a.appendHistogram(uint64(ref), ls, lastSample{t: t, kind: kindHistogram}, func(s *series) []byte {
				return a.enc.histogram(s.ref, st, t, h)
			})
		}
	default:
		s, err = a.appendFloat(uint64(ref), ls, st, lastSample{t: t, bits: math.Float64bits(v)}, opts.Metadata)
	}
	if err != nil && !errors.Is(err, errAlreadyThere) {
		return 0, err
	}
	if h != nil || fh != nil {
		a.setMetadata(s, opts.Metadata)
	}
	if len(opts.Exemplars) > 0 && !isStale(v, h, fh) {
		return storage.SeriesRef(s.ref), a.appendExemplars(s, opts.Exemplars)
	}
	return storage.SeriesRef(s.ref), nil
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

// appendFloat is the path of nearly all samples: one turn under the lock.
func (a *appender) appendFloat(ref uint64, ls labels.Labels, st int64, sample lastSample, m metadata.Metadata) (*series, error) {
	l := a.log
	l.seriesMu.Lock()
	s, err := l.seriesFor(ref, ls)
	if err == nil {
		if !m.IsEmpty() {
			l.table.setMetadata(s, m)
		}
		err = a.admit(s, sample)
	}
	l.seriesMu.Unlock()
	if err == nil {
		a.enc.float(s.ref, st, sample.t, math.Float64frombits(sample.bits))
	}
	return s, err
}

// appendHistogram encodes before it knows whether the sample is admitted, because that depends on the encoded bytes.
func (a *appender) appendHistogram(ref uint64, ls labels.Labels, sample lastSample, encode func(*series) []byte) (*series, error) {
	l := a.log
	l.seriesMu.Lock()
	s, err := l.seriesFor(ref, ls)
	l.seriesMu.Unlock()
	if err != nil {
		return nil, err
	}
	before, size := a.enc, len(a.enc.buf)
	sample.bits = uint64(checksum(encode(s)))
	l.seriesMu.Lock()
	err = a.admit(s, sample)
	l.seriesMu.Unlock()
	if err != nil {
		grown := a.enc.buf
		a.enc = before
		a.enc.buf = grown[:size]
	}
	return s, err
}

// seriesFor needs seriesMu.
func (l *Log) seriesFor(ref uint64, ls labels.Labels) (*series, error) {
	if s := l.table.find(ref, ls); s != nil {
		return s, nil
	}
	return l.table.create(ls, uint32(l.o.Now().Unix()))
}

// admit makes sample the last of its series, if it is newer. It needs seriesMu.
func (a *appender) admit(s *series, sample lastSample) error {
	switch {
	case sample.t > s.last.t:
		a.pending = append(a.pending, pendingSample{series: s, sample: sample, before: s.last})
		s.last = sample
		return nil
	case sample == s.last:
		return errAlreadyThere
	case sample.t == s.last.t:
		return storage.ErrDuplicateSampleForTimestamp
	default:
		return storage.ErrOutOfOrderSample
	}
}

func (a *appender) setMetadata(s *series, m metadata.Metadata) {
	if m.IsEmpty() {
		return
	}
	a.log.seriesMu.Lock()
	defer a.log.seriesMu.Unlock()
	a.log.table.setMetadata(s, m)
}

// appendExemplars takes what is new. Repetitions are passed over, anything else that is refused is part of the error.
func (a *appender) appendExemplars(s *series, exemplars []exemplar.Exemplar) error {
	var partial storage.AppendPartialError
	for _, e := range exemplars {
		e.Labels = e.Labels.WithoutEmpty()
		if err := validateExemplar(e); err != nil {
			partial.ExemplarErrors = append(partial.ExemplarErrors, err)
			continue
		}
		switch err := a.admitExemplar(s, summarize(e)); {
		case err == nil:
			a.enc.exemplar(s.ref, e)
			a.exemplars++
		case !errors.Is(err, storage.ErrDuplicateExemplar):
			partial.ExemplarErrors = append(partial.ExemplarErrors, err)
		}
	}
	return partial.ToError()
}

func (a *appender) admitExemplar(s *series, e lastExemplar) error {
	a.log.seriesMu.Lock()
	defer a.log.seriesMu.Unlock()
	if s.exemplar != nil {
		if e.equals(*s.exemplar) {
			return storage.ErrDuplicateExemplar
		}
		if e.before(*s.exemplar) {
			return storage.ErrOutOfOrderExemplar
		}
	}
	a.replaced = append(a.replaced, replacedExemplar{series: s, before: s.exemplar})
	s.exemplar = &e
	return nil
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

// Commit implements storage.AppenderTransaction. After an error nothing of the batch is in the log, and its series remember nothing of it.
func (a *appender) Commit() error {
	if a.log == nil {
		return errAppenderDone
	}
	var err error
	if !a.enc.empty() {
		if err = a.log.commit(a); err != nil {
			a.undo()
		}
	}
	a.log.syncer.releaseAppender(a)
	return err
}

// Rollback implements storage.AppenderTransaction. It fails only on an appender that is done.
func (a *appender) Rollback() error {
	if a.log == nil {
		return errAppenderDone
	}
	a.undo()
	a.log.syncer.releaseAppender(a)
	return nil
}

// undo makes the series remember what they did before, newest first, but for those that another appender has moved on.
func (a *appender) undo() {
	a.log.seriesMu.Lock()
	defer a.log.seriesMu.Unlock()
	for i := len(a.pending) - 1; i >= 0; i-- {
		if p := &a.pending[i]; p.series.last == p.sample {
			p.series.last = p.before
		}
	}
	for i := len(a.replaced) - 1; i >= 0; i-- {
		a.replaced[i].series.exemplar = a.replaced[i].before
	}
}

// dropOvertaken encodes the batch again without the samples that are not newer than what is committed, and returns how many those are.
func (a *appender) dropOvertaken(committed map[uint64]int64) uint64 {
	old := a.enc
	kept := overtakenFilter{committed: committed}
	kept.enc.buf = make([]byte, recordHeaderSize, len(old.buf))
	var d decoder
	d.record(recordHeader{samples: old.samples, base: old.base}, old.buf[recordHeaderSize:], &kept)
	a.enc = kept.enc
	return uint64(old.samples - kept.enc.samples)
}

// overtakenFilter is a Visitor that encodes what it is given, but for samples that are too old.
type overtakenFilter struct {
	enc       encoder
	committed map[uint64]int64
}

func (f *overtakenFilter) passes(ref uint64, t int64) bool {
	newest, ok := f.committed[ref]
	return !ok || t > newest
}

func (f *overtakenFilter) Float(ref uint64, startTime, t int64, v float64) {
	if f.passes(ref, t) {
		f.enc.float(ref, startTime, t, v)
	}
}

func (f *overtakenFilter) Histogram(ref uint64, startTime, t int64, h *histogram.Histogram) {
	if f.passes(ref, t) {
		f.enc.histogram(ref, startTime, t, h)
	}
}

func (f *overtakenFilter) FloatHistogram(ref uint64, startTime, t int64, h *histogram.FloatHistogram) {
	if f.passes(ref, t) {
		f.enc.floatHistogram(ref, startTime, t, h)
	}
}

func (f *overtakenFilter) Exemplar(ref uint64, e exemplar.Exemplar) { f.enc.exemplar(ref, e) }
func (f *overtakenFilter) Series(uint64, labels.Labels)             {}
func (f *overtakenFilter) Metadata(uint64, metadata.Metadata)       {}

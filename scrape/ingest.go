package scrape

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

const (
	// maxAhead is how far in the future a sample may be.
	maxAhead = 10 * time.Minute
	// stopCheck is after how many entries of a body it is asked whether the scrape was aborted.
	stopCheck = 1024
)

var (
	errAborted     = errors.New("scrape was aborted")
	errNoName      = fmt.Errorf("missing metric name (%s label)", model.MetricNameLabel)
	errSampleLimit = errors.New("sample limit exceeded")
	errBucketLimit = errors.New("histogram bucket limit exceeded")
)

// staleMarker is the value that ends a series.
func staleMarker() float64 { return math.Float64frombits(value.StaleNaN) }

// ingester takes one body apart into an appender. It is reused by scrapes of other targets.
type ingester struct {
	job     *job
	target  *target
	cache   *cache
	app     storage.AppenderV2
	aborted func() bool
	now     int64 // timestamp of the scrape
	latest  int64 // timestamps after it are refused

	counts    counts
	refused   refused
	appended  int // against the sample limit
	family    *family
	labels    labels.Labels
	builder   *labels.Builder
	exemplar  exemplar.Exemplar
	exemplars []exemplar.Exemplar
	starts    bool // start timestamps are to be taken, and can be
	inside    bool // the appender is being called
}

// counts are what the report series say about a body.
type counts struct {
	scraped, kept, newSeries int
}

// refused is what an appender did not take, which fails the scrape only where there is an error.
type refused struct {
	sampleLimit, bucketLimit                       error
	outOfOrder, duplicates, outOfBounds, exemplars int
}

// ingester returns one for a scrape. Release it.
func (s *Shared) ingester() *ingester {
	in, ok := s.ingesters.Get().(*ingester)
	if !ok {
		in = &ingester{builder: labels.NewBuilder(labels.EmptyLabels())}
	}
	return in
}

// release forgets everything but buffers.
func (s *Shared) release(in *ingester) {
	clear(in.exemplars[:cap(in.exemplars)])
	in.builder.Reset(labels.EmptyLabels())
	*in = ingester{builder: in.builder, exemplars: in.exemplars[:0]}
	s.ingesters.Put(in)
}

// ingest appends the samples of a body, and staleness markers for what is not in it any more. After an error the appender must be rolled
// back; the cache then still remembers what the body had. errAborted says that a stop came between.
func (in *ingester) ingest(body []byte, contentType string) (err error) {
	in.counts, in.refused, in.appended, in.family = counts{}, refused{}, 0, nil
	if len(body) == 0 {
		err = in.endSeries(true)
		in.finish(false)
		return err
	}
	parser, err := in.parser(body, contentType)
	if parser == nil {
		return err
	}
	in.starts = in.job.options.ParseStartTimestamps && in.readable(body, contentType)
	in.latest = time.Now().Add(maxAhead).UnixMilli()
	if err = nil; in.repeats(parser) {
		var k known
		if k, err = in.repeated(body); err == nil && k.end > 0 {
			parser = in.parserAfter(k, body, contentType)
		}
	}
	if err == nil {
		err = in.entries(parser)
	}
	if errors.Is(err, errAborted) {
		return err
	}
	if limit := in.refused.count(in.job.options.Metrics.loops); err == nil {
		err = limit
	}
	if err == nil {
		err = in.endSeries(false)
	}
	if err == nil {
		in.finish(true)
	}
	return err
}

// parser makes a parser for a body. The error says that the content type is none, which a fallback may have mended.
func (in *ingester) parser(body []byte, contentType string) (textparse.Parser, error) {
	return textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{
		EnableTypeAndUnitLabels:                 in.job.options.TypeAndUnitLabels,
		IgnoreNativeHistograms:                  !in.target.native,
		ConvertClassicHistogramsToNHCB:          in.target.convert,
		KeepClassicOnClassicAndNativeHistograms: in.target.classic,
		OpenMetricsSkipSTSeries:                 in.job.options.ParseStartTimestamps,
		EnableOpenMetrics2:                      in.job.options.OpenMetrics2,
		FallbackContentType:                     in.job.fallback,
	})
}

// readable reports whether a body can be parsed to its end. Asked for a start timestamp, the OpenMetrics parser reads ahead, and
// behind a broken exemplar it does so for ever: a target must not be able to bring that about.
func (in *ingester) readable(body []byte, contentType string) bool {
	parser, _ := in.parser(body, contentType)
	for n := 1; ; n++ {
		if _, err := parser.Next(); err != nil {
			return errors.Is(err, io.EOF)
		}
		if n%stopCheck == 0 && in.aborted() {
			return false
		}
	}
}

func (in *ingester) finish(well bool) {
	if in.cache.finish(well) {
		in.job.options.Metrics.loops.flushForced.Inc()
	}
}

// count adds to the metrics, and returns the limit that was exceeded, if any.
func (r *refused) count(m *loopMetrics) error {
	if r.sampleLimit != nil {
		m.sampleLimit.Inc()
	}
	if r.bucketLimit != nil {
		m.bucketLimit.Inc()
	}
	if r.sampleLimit != nil {
		return r.sampleLimit
	}
	return r.bucketLimit
}

// entries goes through the body.
func (in *ingester) entries(p textparse.Parser) error {
	for n := 1; ; n++ {
		if n%stopCheck == 0 && in.aborted() {
			return errAborted
		}
		entryType, err := p.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		families, scrape := &in.cache.families, in.cache.scrape
		switch entryType {
		case textparse.EntryType:
			name, kind := p.Type()
			in.family = families.setType(name, kind, scrape)
		case textparse.EntryHelp:
			name, help := p.Help()
			in.family = families.setHelp(name, help, scrape)
		case textparse.EntryUnit:
			name, unit := p.Unit()
			in.family = families.setUnit(name, unit, scrape)
		case textparse.EntryComment:
		default:
			if err := in.take(read(p, entryType)); err != nil {
				return err
			}
		}
	}
}

// entry is one sample of a body.
type entry struct {
	parser    textparse.Parser // that stands at it; nil: there is nothing else to know
	histogram bool
	raw       []byte // the series as written
	own       *int64 // timestamp, if the target gave one
	v         float64
	h         *histogram.Histogram
	fh        *histogram.FloatHistogram
}

// read gets the sample that a parser stands at.
func read(p textparse.Parser, t textparse.Entry) entry {
	e := entry{parser: p, histogram: t == textparse.EntryHistogram}
	if e.histogram {
		e.raw, e.own, e.h, e.fh = p.Histogram()
	} else {
		e.raw, e.own, e.v = p.Series()
	}
	return e
}

// take takes one sample. Its error ends the scrape.
func (in *ingester) take(e entry) error {
	in.counts.scraped++
	var (
		t   = in.now
		ref storage.SeriesRef
		ls  labels.Labels
	)
	stamped := e.own != nil && in.job.config.HonorTimestamps
	if stamped {
		t = *e.own
	}
	s, repeated := in.cache.get(e.raw)
	if s == nil {
		var err error
		if ls, err = in.newLabels(e.parser); err != nil {
			return err
		}
		if ls.IsEmpty() {
			in.cache.add(e.raw, 0, ls)
			return nil
		}
	} else if ref, ls = s.ref, s.labels; ls.IsEmpty() {
		return nil
	}

	in.exemplars = in.exemplars[:0]
	var err error = storage.ErrDuplicateSampleForTimestamp
	if !repeated || stamped {
		if e.histogram && e.h == nil && e.fh == nil {
			return fmt.Errorf("parser returned no histogram for series %v", ls)
		}
		if ref, err = in.append(&e, ref, ls, t); err == nil && s != nil && ref != 0 && ref != s.ref {
			in.cache.move(s, ref)
		}
	}
	taken, err := in.check(err)
	if err != nil {
		return err
	}
	if taken && s == nil {
		s = in.cache.add(e.raw, ref, ls)
		if in.refused.sampleLimit == nil && in.refused.bucketLimit == nil {
			in.counts.newSeries++
		}
	}
	if taken && s.ref != 0 && (!stamped || in.job.config.TrackTimestampsStaleness) {
		in.cache.track(s)
	}
	in.counts.kept++
	return nil
}

// append gives one sample to the appender, with what belongs to it.
func (in *ingester) append(e *entry, ref storage.SeriesRef, ls labels.Labels, t int64) (storage.SeriesRef, error) {
	var start int64
	var options storage.AOptions
	if e.parser != nil {
		if in.starts {
			start = e.parser.StartTimestamp()
		}
		in.takeExemplars(e.parser, t, e.histogram)
	}
	if len(in.exemplars) > 0 {
		slices.SortFunc(in.exemplars, exemplar.Compare)
		options.Exemplars = in.exemplars
	}
	if in.family != nil {
		if isOfFamily(ls.Get(model.MetricNameLabel), in.family.name, in.family.Type) {
			options.MetricFamilyName = in.family.name
			options.Metadata = in.family.Metadata
		} else {
			in.family = nil // what follows has no metadata either, until a family begins
		}
	}
	if err := in.limit(ref, t, e.v, e.h, e.fh); err != nil {
		return 0, err
	}
	in.inside = true
	ref, err := in.app.Append(ref, ls, start, t, e.v, e.h, e.fh, options)
	in.inside = false
	return ref, err
}

// takeExemplars collects the exemplars of a sample. Those of native histograms need a timestamp.
func (in *ingester) takeExemplars(p textparse.Parser, t int64, isHistogram bool) {
	for p.Exemplar(&in.exemplar) {
		e := in.exemplar
		in.exemplar = exemplar.Exemplar{}
		if !e.HasTs {
			if isHistogram {
				continue
			}
			e.Ts = t
		}
		in.exemplars = append(in.exemplars, e)
	}
}

// check sorts out what an appender said of a sample: whether it was taken, and whether the scrape is over.
func (in *ingester) check(err error) (taken bool, fatal error) {
	m := in.job.options.Metrics.loops
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errSampleLimit): // the rest is still counted
		in.refused.sampleLimit = err
	case errors.Is(err, errBucketLimit):
		in.refused.bucketLimit = err
	case errors.Is(err, storage.ErrOutOfOrderSample):
		in.refused.outOfOrder++
		m.outOfOrder.Inc()
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		in.refused.duplicates++
		m.duplicates.Inc()
	case errors.Is(err, storage.ErrOutOfBounds):
		in.refused.outOfBounds++
		m.outOfBounds.Inc()
	default:
		return in.checkPartial(err)
	}
	return false, nil
}

// checkPartial takes a sample of which only exemplars were refused. A target repeats some exemplars as it goes, so out of order
// is only worth a word if all are.
func (in *ingester) checkPartial(err error) (taken bool, fatal error) {
	partial, ok := errors.AsType[*storage.AppendPartialError](err)
	if !ok {
		return false, err
	}
	late := 0
	for _, e := range partial.ExemplarErrors {
		if errors.Is(e, storage.ErrOutOfOrderExemplar) {
			late++
		}
	}
	if late > 0 && late == len(in.exemplars) {
		in.refused.exemplars += late
		in.job.options.Metrics.loops.exemplars.Add(float64(late))
	}
	return true, nil
}

// endSeries appends a staleness marker for each series that has ended. One that has a newer sample, of another target or with a
// timestamp of its own, has not.
func (in *ingester) endSeries(withoutSamples bool) error {
	in.cache.orphans = slices.DeleteFunc(in.cache.orphans, in.isReport)
	return appendMarkers(in.app, in.cache.ended(withoutSamples), in.now, &in.inside)
}

func appendMarkers(app storage.AppenderV2, ended []openSeries, t int64, inside *bool) error {
	for _, s := range ended {
		*inside = true
		_, err := app.Append(s.ref, s.labels, 0, t, staleMarker(), nil, nil, storage.AOptions{RejectOutOfOrder: true})
		*inside = false
		if err != nil && !isLate(err) {
			return err
		}
	}
	return nil
}

// isLate reports whether an appender refused a sample because the series has a newer one.
func isLate(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp)
}

package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
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
	// turnCheck is after how many new series it is asked whether others are to work first. One costs
	// as much as the rules of the config make it.
	turnCheck = 16
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

	counts     counts
	refused    refused
	appended   int // against the sample limit
	identified int // series that were new
	markers    int // of series that have ended
	meter      *meter
	turn       *turn     // nil: nothing is measured
	family     familyKey // whose metadata the next samples have, if they are of it; 0: none
	named      familyKey // that the body has named last; 0: none
	said       Metadata  // by that family
	reader     textReader
	starts     bool // start timestamps are to be taken, and can be
	inside     bool // the appender is being called

	// What is reused.
	labels    labels.Labels
	builder   *labels.Builder
	exemplar  exemplar.Exemplar
	exemplars []exemplar.Exemplar
	workspace workspace
}

// counts are what the report series say about a body.
type counts struct {
	scraped, kept, newSeries int
}

// refused is what an appender did not take, which fails the scrape only where there is an error.
type refused struct {
	sampleLimit, bucketLimit                       error
	outOfOrder, duplicates, outOfBounds, exemplars int
	first                                          string // series that was refused, as written, and why
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
	in.workspace.reset()
	*in = ingester{builder: in.builder, exemplars: in.exemplars[:0], workspace: in.workspace, reader: textReader{lines: in.reader.lines[:0]}}
	s.ingesters.Put(in)
}

// ingest appends the samples of a body, and staleness markers for what is not in it any more. After
// an error the appender must be rolled back; the cache then still remembers what the body had.
// errAborted says that a stop came between.
func (in *ingester) ingest(body []byte, contentType string) (err error) {
	in.counts, in.refused, in.appended, in.markers, in.family, in.named = counts{}, refused{}, 0, 0, 0, 0
	if len(body) == 0 {
		err = in.endSeries(true)
		in.finish(false)
		return err
	}
	in.latest = in.job.options.Shared.now().Add(maxAhead).UnixMilli()
	if contentType == in.cache.textType && contentType != "" {
		err = in.text(body)
	} else {
		parser, unknown := in.parser(body, contentType)
		if parser == nil {
			return unknown
		}
		if _, text := parser.(*textparse.PromParser); text {
			in.cache.textType = strings.Clone(contentType)
			err = in.text(body)
		} else {
			in.starts = in.job.options.ParseStartTimestamps && in.readable(parser, body, contentType)
			err = in.entries(parser)
		}
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

// parser makes a parser for a body. The error says that the content type is none, which a fallback
// may have mended.
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

// readable reports whether a body can be parsed to its end while start timestamps are asked for.
// The OpenMetrics parsers read ahead then, and behind a broken exemplar they do so for ever: a
// target must not be able to bring that about. So a body that may have exemplars is parsed once
// without asking.
func (in *ingester) readable(p textparse.Parser, body []byte, contentType string) bool {
	if _, protobuf := p.(*textparse.ProtobufParser); protobuf || !bytes.Contains(body, []byte("# {")) {
		return true
	}
	again, _ := in.parser(body, contentType)
	for n := 1; ; n++ {
		if _, err := again.Next(); err != nil {
			return errors.Is(err, io.EOF)
		}
		if n%stopCheck == 0 && in.goOn() != nil {
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
		if n%stopCheck == 0 {
			if err := in.goOn(); err != nil {
				return err
			}
		}
		entryType, err := p.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch entryType {
		case textparse.EntryType:
			name, kind := p.Type()
			in.familyType(name, kind, 0)
		case textparse.EntryHelp:
			name, help := p.Help()
			in.familyHelp(name, help, 0)
		case textparse.EntryUnit:
			name, unit := p.Unit()
			families := &in.cache.families
			place := families.find(name, in.cache.scrape, &in.workspace.families)
			families.setUnit(place, unit)
			in.setFamily(place)
		case textparse.EntryComment:
		default:
			if err := in.take(read(p, entryType)); err != nil {
				return err
			}
		}
	}
}

// goOn is asked between two pieces of a body. The error says that the scrape ends here.
func (in *ingester) goOn() error {
	var err error
	if in.turn != nil {
		err = in.turn.check()
	}
	if in.aborted() {
		return errAborted
	}
	return err
}

// familyType and familyHelp are told what a family is said to be. line is the hash of the line that
// says so, if it is remembered.
func (in *ingester) familyType(name []byte, kind model.MetricType, line uint64) familyKey {
	families := &in.cache.families
	place := families.find(name, in.cache.scrape, &in.workspace.families)
	families.setType(place, kind, line)
	return in.setFamily(place)
}

func (in *ingester) familyHelp(name, help []byte, line uint64) familyKey {
	families := &in.cache.families
	place := families.find(name, in.cache.scrape, &in.workspace.families)
	families.setHelp(place, help, line)
	return in.setFamily(place)
}

// setFamily makes a family the one whose metadata the next samples have.
func (in *ingester) setFamily(place int) familyKey {
	in.family, in.said = in.cache.families.key(place), in.cache.families.order[place].said.Value()
	in.named = in.family
	return in.family
}

// endSeries appends a staleness marker for each series that has ended. One that has a newer sample,
// of another target or with a timestamp of its own, has not.
func (in *ingester) endSeries(withoutSamples bool) error {
	in.cache.orphans = slices.DeleteFunc(in.cache.orphans, func(o openSeries) bool {
		return o.report != 0 && in.reports(int(o.report-1)) // which goes on
	})
	ended := in.cache.ended(withoutSamples)
	in.markers = len(ended)
	return appendMarkers(in.app, ended, in.now, &in.inside)
}

// appendMarkers appends staleness markers. A series that the appender does not know any more needs
// none.
func appendMarkers(app storage.AppenderV2, ended []openSeries, t int64, inside *bool) error {
	for _, s := range ended {
		*inside = true
		_, err := app.Append(s.ref, labels.EmptyLabels(), 0, t, staleMarker(), nil, nil, storage.AOptions{RejectOutOfOrder: true})
		*inside = false
		if err != nil && !isLate(err) && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
	}
	return nil
}

// isLate reports whether an appender refused a sample because the series has a newer one.
func isLate(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp)
}

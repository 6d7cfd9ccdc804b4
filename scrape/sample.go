package scrape

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/storage"
)

// stamp is a timestamp that a target gave a sample, if it did.
type stamp struct {
	t     int64
	given bool
}

// entry is one sample of a body.
type entry struct {
	parser    textparse.Parser // that stands at it
	histogram bool
	text      bool   // it is of Prometheus' text format
	raw       []byte // the series as written
	own       stamp
	v         float64
	h         *histogram.Histogram
	fh        *histogram.FloatHistogram
}

// read gets the sample that a parser stands at.
func read(p textparse.Parser, t textparse.Entry) entry {
	e := entry{parser: p, histogram: t == textparse.EntryHistogram}
	var own *int64
	if e.histogram {
		e.raw, own, e.h, e.fh = p.Histogram()
	} else {
		e.raw, own, e.v = p.Series()
	}
	if own != nil {
		e.own = stamp{*own, true}
	}
	return e
}

// timestamp is that of a sample, and whether the target gave it.
func (in *ingester) timestamp(own stamp) (t int64, stamped bool) {
	if own.given && in.job.config.HonorTimestamps {
		return own.t, true
	}
	return in.now, false
}

// take takes one sample. Its error ends the scrape.
func (in *ingester) take(e entry) error {
	in.counts.scraped++
	t, stamped := in.timestamp(e.own)
	fresh := line{hash: hashOf(e.raw), length: uint32(len(e.raw))}
	if e.text {
		fresh.flags = readAsText
	}
	place, repeated := in.cache.get(fresh.hash, len(e.raw))
	s := subject{line: &fresh, parser: e.parser}
	if place >= 0 {
		s.line, s.known = &in.cache.lines[place], true
		s.flags = s.flags&^readAsText | fresh.flags
	} else if err := s.identify(in); err != nil {
		return err
	}
	if s.kind == ofDropped {
		if !s.known {
			in.cache.add(fresh)
		}
		return nil
	}

	in.exemplars = in.exemplars[:0]
	ref, err := s.ref, error(storage.ErrDuplicateSampleForTimestamp)
	if !repeated || stamped {
		if e.histogram && e.h == nil && e.fh == nil {
			return fmt.Errorf("parser returned no histogram for series %v", s.labelsFor(in))
		}
		if ref, err = in.append(&e, &s, t); err == nil && s.known && ref != 0 && ref != s.ref {
			in.cache.move(place, ref)
		}
	}
	taken, err := in.check(err, e.raw)
	if err != nil {
		return err
	}
	if in.job.options.SynthesizeStartTimestamps && (taken || s.known) {
		if !taken {
			s.state = nil
		}
		in.cache.remember(fresh.key(), s.state)
	}
	if taken && !s.known {
		fresh.ref = ref
		place = in.cache.add(fresh)
		if in.refused.sampleLimit == nil && in.refused.bucketLimit == nil {
			in.counts.newSeries++
		}
	}
	if taken {
		in.track(&in.cache.lines[place], stamped)
	}
	in.counts.kept++
	return nil
}

// track lets a series that was taken end when it is gone.
func (in *ingester) track(l *line, stamped bool) {
	if l.ref != 0 && (!stamped || in.job.config.TrackTimestampsStaleness) {
		in.cache.track(l)
	}
}

// subject is the series of a sample that was parsed.
type subject struct {
	*line
	known  bool             // the cache has it
	parser textparse.Parser // stands at the sample
	labels labels.Labels    // empty: they are not needed so far
	state  *synthesis       // to be remembered
}

// identify finds out the labels of a series that the cache does not know.
func (s *subject) identify(in *ingester) (err error) {
	if in.identified++; in.identified%turnCheck == 0 {
		if err := in.goOn(); err != nil {
			return err
		}
	}
	if s.labels, err = in.newLabels(s.parser); err != nil {
		return err
	}
	if s.kind = in.kindOf(s.labels); s.labels.IsEmpty() {
		s.kind = ofDropped
	}
	return nil
}

// labelsFor returns the labels of a series.
func (s *subject) labelsFor(in *ingester) labels.Labels {
	if s.labels.IsEmpty() {
		in.readLabels(s.parser)
		s.labels = in.relabel(in.labels)
	}
	return s.labels
}

// judge finds out whether a series is of the family that came before it.
func (s *subject) judge(in *ingester) bool {
	if in.family == 0 {
		return false
	}
	if s.family != in.family {
		s.family = in.family
		s.flags &^= inFamily
		if isOfFamily(s.labelsFor(in).Get(model.MetricNameLabel), in.said.Family, in.said.Type) {
			s.flags |= inFamily
		}
	}
	return s.flags&inFamily != 0
}

// append gives one sample to the appender, with what belongs to it: by reference alone if the
// appender knows that.
func (in *ingester) append(e *entry, s *subject, t int64) (storage.SeriesRef, error) {
	var start int64
	var options storage.AOptions
	if s.judge(in) {
		in.describe(&options)
	} else {
		in.family = 0 // what follows has no metadata either, until a family begins
	}
	if in.starts {
		s.labelsFor(in) // the parser may read ahead now, and has them no more then
		start = e.parser.StartTimestamp()
	}
	skip := false
	if in.job.options.SynthesizeStartTimestamps && start == 0 {
		start, skip, s.state = in.synthesize(e, s, t)
		options.RejectOutOfOrder = true
	}
	in.takeExemplars(e.parser, t, e.histogram)
	if len(in.exemplars) > 0 {
		slices.SortFunc(in.exemplars, exemplar.Compare)
		options.Exemplars = in.exemplars
	}
	if skip {
		return s.ref, nil
	}
	if err := in.limit(s.ref, t, e.v, e.h, e.fh); err != nil {
		return 0, err
	}
	if s.ref != 0 {
		in.inside = true
		ref, err := in.app.Append(s.ref, labels.EmptyLabels(), start, t, e.v, e.h, e.fh, options)
		in.inside = false
		if !errors.Is(err, storage.ErrNotFound) {
			return ref, err
		}
	}
	ls := s.labelsFor(in)
	if err := in.roomFor(ls); err != nil {
		return 0, err
	}
	in.inside = true
	ref, err := in.app.Append(s.ref, ls, start, t, e.v, e.h, e.fh, options)
	in.inside = false
	return ref, err
}

// describe adds the metadata of the family.
func (in *ingester) describe(o *storage.AOptions) {
	o.MetricFamilyName = in.said.Family
	o.Metadata = metadata.Metadata{Type: in.said.Type, Unit: in.said.Unit, Help: in.said.Help}
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

// check sorts out what an appender said of a sample: whether it was taken, and whether the scrape
// is over.
func (in *ingester) check(err error, raw []byte) (taken bool, fatal error) {
	if err == nil {
		return true, nil
	}
	if in.refused.first == "" {
		in.refused.first = fmt.Sprintf("%.200s: %v", raw, err)
	}
	m := in.job.options.Metrics.loops
	switch {
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

// checkPartial takes a sample of which only exemplars were refused. A target repeats some exemplars
// as it goes, so out of order is only worth a word if all are.
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

package web

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

var errMalformed = errors.New("decode remote write request")

func (b *batch) appendV1(body []byte) error {
	var req prompb.WriteRequest
	if err := req.Unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if len(body) > 0 && len(req.Timeseries) == 0 && len(req.Metadata) == 0 {
		return fmt.Errorf("%w: no series in it; a request of protocol 2.0 has to say so in its Content-Type", errMalformed)
	}
	scratch := labels.NewScratchBuilder(0)
	all := make([]series, 0, len(req.Timeseries))
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
		all = append(all, one)
	}
	return b.appendAll(all)
}

func (b *batch) appendV2(body []byte) error {
	var req writev2.Request
	if err := req.Unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	scratch := labels.NewScratchBuilder(0)
	all := make([]series, 0, len(req.Timeseries))
	for _, ts := range req.Timeseries {
		one, err := decodeV2(ts, req.Symbols, &scratch)
		if err != nil {
			b.refuse(len(ts.Samples)+len(ts.Histograms)+len(ts.Exemplars), err)
			continue
		}
		all = append(all, one)
	}
	return b.appendAll(all)
}

func joinExemplars(all []series) {
	var withSamples map[string]int
	for i := range all {
		if len(all[i].samples) > 0 || len(all[i].exemplars) == 0 {
			continue
		}
		if withSamples == nil {
			withSamples = make(map[string]int, len(all))
			for j := range all {
				if len(all[j].samples) > 0 {
					withSamples[string(all[j].labels.Bytes(nil))] = j
				}
			}
		}
		if j, ok := withSamples[string(all[i].labels.Bytes(nil))]; ok {
			all[j].exemplars, all[i].exemplars = append(all[j].exemplars, all[i].exemplars...), nil
		}
	}
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

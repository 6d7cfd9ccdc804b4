package receivertest

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

func (r *Request) decode1(body []byte) error {
	var w prompb.WriteRequest
	if err := w.Unmarshal(body); err != nil {
		return err
	}
	b := labels.NewScratchBuilder(0)
	for _, ts := range w.Timeseries {
		s := Series{Labels: ts.ToLabels(&b, nil)}
		for _, x := range ts.Samples {
			s.Samples = append(s.Samples, Sample{T: x.Timestamp, V: x.Value})
		}
		for _, h := range ts.Histograms {
			x := Sample{T: h.Timestamp}
			if h.IsFloatHistogram() {
				x.FH = h.ToFloatHistogram()
			} else {
				x.H = h.ToIntHistogram()
			}
			s.Samples = append(s.Samples, x)
		}
		for _, e := range ts.Exemplars {
			s.Exemplars = append(s.Exemplars, e.ToExemplar(&b, nil))
		}
		r.Series = append(r.Series, s)
	}
	return nil
}

// Decode2 reads an uncompressed request of protocol 2.0.
func Decode2(body []byte) ([]Series, error) {
	var r Request
	err := r.decode2(body)
	return r.Series, err
}

func (r *Request) decode2(body []byte) error {
	var w writev2.Request
	if err := w.Unmarshal(body); err != nil {
		return err
	}
	b := labels.NewScratchBuilder(0)
	for _, ts := range w.Timeseries {
		ls, err := ts.ToLabels(&b, w.Symbols)
		if err != nil {
			return err
		}
		s := Series{Labels: ls}
		if s.Metadata, err = ts.ToMetadata(w.Symbols); err != nil {
			return err
		}
		for _, x := range ts.Samples {
			s.Samples = append(s.Samples, Sample{Start: x.StartTimestamp, T: x.Timestamp, V: x.Value})
		}
		for _, h := range ts.Histograms {
			x := Sample{Start: h.StartTimestamp, T: h.Timestamp}
			if h.IsFloatHistogram() {
				x.FH = h.ToFloatHistogram()
			} else {
				x.H = h.ToIntHistogram()
			}
			s.Samples = append(s.Samples, x)
		}
		for _, e := range ts.Exemplars {
			x, err := e.ToExemplar(&b, w.Symbols)
			if err != nil {
				return err
			}
			s.Exemplars = append(s.Exemplars, x)
		}
		r.Series = append(r.Series, s)
	}
	return nil
}

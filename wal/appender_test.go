package wal_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

var noOptions storage.AOptions

func TestASeriesAcceptsOnlyNewerSamples(t *testing.T) {
	h := tsdbutil.GenerateTestHistogram(1)
	other := tsdbutil.GenerateTestHistogram(2)
	for _, test := range []struct {
		name    string
		t       int64
		v       float64
		h       *histogram.Histogram
		before  *histogram.Histogram
		err     error
		written int
	}{
		{name: "newer", t: 11, v: 1, written: 1},
		{name: "older", t: 9, v: 1, err: storage.ErrOutOfOrderSample},
		{name: "the same again", t: 10, v: 1},
		{name: "same time, other value", t: 10, v: 2, err: storage.ErrDuplicateSampleForTimestamp},
		{name: "same time, other kind", t: 10, h: h, err: storage.ErrDuplicateSampleForTimestamp},
		{name: "the same histogram again", t: 10, h: h, before: h},
		{name: "same time, other histogram", t: 10, h: other, before: h, err: storage.ErrDuplicateSampleForTimestamp},
		{name: "newer histogram", t: 11, h: other, before: h, written: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := openLog(t, logDir(t), wal.Options{})
			app := l.AppenderV2(t.Context())
			ref, err := app.Append(0, series(1), 0, 10, 1, test.before, nil, noOptions)
			require.NoError(t, err)
			require.NoError(t, app.Commit())
			app = l.AppenderV2(t.Context())
			_, err = app.Append(ref, series(1), 0, test.t, test.v, test.h, nil, storage.AOptions{RejectOutOfOrder: true})
			require.ErrorIs(t, err, test.err)
			require.NoError(t, app.Commit())
			require.EqualValues(t, 1+test.written, l.End().Seq)
			readAll(t, l)
		})
	}
}

func TestRollbackRestoresWhatSeriesRemember(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	want := commitFloats(t, l, 1, 10)
	app := l.AppenderV2(t.Context())
	for ts := int64(20); ts < 25; ts++ {
		_, err := app.Append(0, series(0), 0, ts, 1, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: ts}}})
		require.NoError(t, err)
	}
	require.NoError(t, app.Rollback())
	app = l.AppenderV2(t.Context())
	ref, err := app.Append(0, series(0), 0, 15, 3, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: 15}}})
	require.NoError(t, err)
	require.NotZero(t, ref)
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, append(want, waltest.FloatSample(series(0).String(), 0, 15, 3)), v.Samples)
	require.Len(t, v.Exemplars, 1)
	require.Error(t, app.Commit(), "an appender is used once")
}

func TestAStaleMarkerOfAnOldLoopIsRefused(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	commitFloats(t, l, 1, 30)
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, series(0), 0, 20, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{RejectOutOfOrder: true})
	require.ErrorIs(t, err, storage.ErrOutOfOrderSample)
	_, err = app.Append(0, series(0), 0, 40, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{RejectOutOfOrder: true})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, waltest.FloatSample(series(0).String(), 0, 40, math.Float64frombits(value.StaleNaN)), v.Samples[1])
}

func TestReferencesAreStableAndUnknownOnesAreLookedUp(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	a, err := app.Append(0, series(1), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	b, err := app.Append(0, series(2), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	for ts, ref := range []storage.SeriesRef{a, 0, 12345, b} {
		got, err := app.Append(ref, series(1), 0, int64(ts+2), 1, nil, nil, noOptions)
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	require.NoError(t, app.Commit())
}

func TestInvalidSeriesAndHistogramsAreRefused(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, labels.EmptyLabels(), 0, 1, 1, nil, nil, noOptions)
	require.ErrorIs(t, err, wal.ErrInvalidLabels)
	_, err = app.Append(0, labels.New(labels.Label{Name: "a", Value: "1"}, labels.Label{Name: "a", Value: "2"}), 0, 1, 1, nil, nil, noOptions)
	require.ErrorIs(t, err, wal.ErrInvalidLabels)
	bad := tsdbutil.GenerateTestHistogram(1)
	bad.Count = 1
	_, err = app.Append(0, series(1), 0, 1, 0, bad, nil, noOptions)
	require.Error(t, err)
	require.NoError(t, app.Rollback())
	require.Zero(t, l.End().Seq)
}

func TestExemplarsAreTakenOnceAndInOrder(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	add := func(ts int64, es ...exemplar.Exemplar) error {
		app := l.AppenderV2(t.Context())
		ref, err := app.Append(0, series(1), 0, ts, 1, nil, nil, storage.AOptions{Exemplars: es})
		require.NotZero(t, ref)
		require.NoError(t, app.Commit())
		return err
	}
	one := exemplar.Exemplar{Labels: labels.FromStrings("id", "1"), Value: 1, Ts: 10, HasTs: true}
	two := exemplar.Exemplar{Labels: labels.FromStrings("id", "2"), Value: 2, Ts: 20, HasTs: true}
	long := exemplar.Exemplar{Labels: labels.FromStrings("id", strings.Repeat("x", 200)), Ts: 30, HasTs: true}
	require.NoError(t, add(1, one))
	require.NoError(t, add(2, one), "a repetition is no error")
	require.NoError(t, add(3, one, two))
	err := add(4, one)
	require.ErrorIs(t, err, &storage.AppendPartialError{})
	var partial *storage.AppendPartialError
	require.True(t, errors.As(err, &partial))
	require.ErrorIs(t, partial.ExemplarErrors[0], storage.ErrOutOfOrderExemplar)
	err = add(5, long)
	require.ErrorContains(t, err, storage.ErrExemplarLabelLength.Error())
	require.NoError(t, add(6, exemplar.Exemplar{Labels: one.Labels, Value: 1, Ts: 60}))
	require.NoError(t, add(7, exemplar.Exemplar{Labels: one.Labels, Value: 1, Ts: 70}), "its time is only that of the scrape")
	v, _ := readAll(t, l)
	require.Len(t, v.Samples, 7)
	require.Len(t, v.Exemplars, 3)
	require.Equal(t, waltest.Exemplar{Series: series(1).String(), Labels: one.Labels.String(), T: 10, Value: 1, HasT: true}, v.Exemplars[0])
	require.EqualValues(t, 3, l.Stats().ExemplarsAppended)
}

func TestMetadataIsWrittenInEachSegmentAndWhenItChanges(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{SegmentBytes: 400, MinAge: time.Hour})
	help := metadata.Metadata{Type: model.MetricTypeCounter, Unit: "bytes", Help: "what it is"}
	for ts := int64(1); ts <= 20; ts++ {
		if ts == 15 {
			help.Help = "what it really is"
		}
		app := l.AppenderV2(t.Context())
		for i := range 3 {
			_, err := app.Append(0, series(i), 0, ts, 1, nil, nil, storage.AOptions{Metadata: help})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
		v := new(waltest.Recorder)
		r := l.NewReader(wal.Position{Segment: l.End().Segment})
		drain(t, r, v)
		r.Close()
		require.Len(t, v.MetadataOf, 3)
		require.Equal(t, help, v.MetadataOf[series(2).String()])
	}
	require.Greater(t, l.Stats().Segments, 2)
}

func TestOvertakenSamplesDoNotBreakTheOrderOfTheirSeries(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	slow, fast := l.AppenderV2(t.Context()), l.AppenderV2(t.Context())
	for i := range 3 {
		_, err := slow.Append(0, series(i), 0, 10, 1, nil, nil, noOptions)
		require.NoError(t, err)
	}
	_, err := fast.Append(0, series(1), 0, 20, 2, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, fast.Commit())
	require.NoError(t, slow.Commit())
	v, lost := readAll(t, l)
	require.Zero(t, lost)
	require.Equal(t, []waltest.Sample{
		waltest.FloatSample(series(1).String(), 0, 20, 2),
		waltest.FloatSample(series(0).String(), 0, 10, 1),
		waltest.FloatSample(series(2).String(), 0, 10, 1),
	}, v.Samples)
	require.EqualValues(t, 1, l.Stats().SamplesOvertaken)

	slow, fast = l.AppenderV2(t.Context()), l.AppenderV2(t.Context())
	_, err = slow.Append(0, series(7), 0, 10, 1, nil, nil, noOptions)
	require.NoError(t, err)
	_, err = fast.Append(0, series(7), 0, 20, 2, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, fast.Commit())
	require.NoError(t, slow.Commit(), "nothing is left of it")
	readAll(t, l)
	require.EqualValues(t, 4, l.End().Seq)
}

func TestUnusedSeriesAreForgottenAndGetANewReference(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, SegmentAge: time.Minute})
	app := l.AppenderV2(t.Context())
	old, err := app.Append(0, series(99), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	for ts := int64(2); ts < 30; ts++ {
		commitFloats(t, l, 1, ts)
		c.pass(time.Minute)
	}
	require.Equal(t, 1, l.Stats().ActiveSeries)
	app = l.AppenderV2(t.Context())
	ref, err := app.Append(old, series(99), 0, 100, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.NotEqual(t, old, ref)
	require.NoError(t, app.Commit())
	readAll(t, l)
}

func TestAllKindsOfSamplesSurviveTheRoundTrip(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	var want []waltest.Sample
	name := series(1).String()
	ts := int64(-5)
	for _, v := range []float64{0, 1, -1, math.Copysign(0, -1), math.Pi, math.Inf(1), math.NaN(), math.Float64frombits(value.StaleNaN), math.SmallestNonzeroFloat64, math.MaxFloat64, 123456} {
		ts += 7
		_, err := app.Append(0, series(1), ts-3, ts, v, nil, nil, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.FloatSample(name, ts-3, ts, v))
	}
	for i, h := range []*histogram.Histogram{tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestGaugeHistogram(4), tsdbutil.GenerateTestCustomBucketsHistogram(5), {Sum: math.Float64frombits(value.StaleNaN)}} {
		ts++
		h.CounterResetHint = histogram.CounterResetHint(i)
		_, err := app.Append(0, series(1), 0, ts, 0, h, nil, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.HistogramSample(name, 0, ts, h))
	}
	for _, h := range []*histogram.FloatHistogram{tsdbutil.GenerateTestFloatHistogram(3), tsdbutil.GenerateTestGaugeFloatHistogram(4), tsdbutil.GenerateTestCustomBucketsFloatHistogram(5)} {
		ts++
		_, err := app.Append(0, series(1), 1, ts, 0, nil, h, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.FloatHistogramSample(name, 1, ts, h))
	}
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, want, v.Samples)
}

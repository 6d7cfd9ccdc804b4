package wal_test

import (
	"errors"
	"math"
	"strings"
	"syscall"
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
			ref, err := app.Append(0, metric(1), 0, 10, 1, test.before, nil, noOptions)
			require.NoError(t, err)
			require.NoError(t, app.Commit())
			app = l.AppenderV2(t.Context())
			_, err = app.Append(ref, metric(1), 0, test.t, test.v, test.h, nil, storage.AOptions{RejectOutOfOrder: true})
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
		_, err := app.Append(0, metric(0), 0, ts, 1, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: ts}}})
		require.NoError(t, err)
	}
	require.NoError(t, app.Rollback())
	app = l.AppenderV2(t.Context())
	ref, err := app.Append(0, metric(0), 0, 15, 3, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: 15}}})
	require.NoError(t, err)
	require.NotZero(t, ref)
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, append(want, waltest.FloatSample(metric(0).String(), 0, 15, 3)), v.Samples)
	require.Len(t, v.Exemplars, 1)
	require.Error(t, app.Commit(), "an appender is used once")
}

func TestAStaleMarkerOfAnOldLoopIsRefused(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	commitFloats(t, l, 1, 30)
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, metric(0), 0, 20, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{RejectOutOfOrder: true})
	require.ErrorIs(t, err, storage.ErrOutOfOrderSample)
	_, err = app.Append(0, metric(0), 0, 40, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{RejectOutOfOrder: true})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, waltest.FloatSample(metric(0).String(), 0, 40, math.Float64frombits(value.StaleNaN)), v.Samples[1])
}

func TestReferencesAreStableAndUnknownOnesAreLookedUp(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	a, err := app.Append(0, metric(1), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	b, err := app.Append(0, metric(2), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	for ts, ref := range []storage.SeriesRef{a, 0, 12345, b} {
		got, err := app.Append(ref, metric(1), 0, int64(ts+2), 1, nil, nil, noOptions)
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
	_, err = app.Append(0, metric(1), 0, 1, 0, bad, nil, noOptions)
	require.Error(t, err)
	require.NoError(t, app.Rollback())
	require.Zero(t, l.End().Seq)
}

func TestExemplarsAreTakenOnceAndInOrder(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	add := func(ts int64, es ...exemplar.Exemplar) error {
		app := l.AppenderV2(t.Context())
		ref, err := app.Append(0, metric(1), 0, ts, 1, nil, nil, storage.AOptions{Exemplars: es})
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
	require.Equal(t, waltest.Exemplar{Series: metric(1).String(), Labels: one.Labels.String(), T: 10, Value: 1, HasT: true}, v.Exemplars[0])
	require.EqualValues(t, 3, l.Stats().ExemplarsAppended)
}

func TestMetadataIsWrittenInEachSegmentAndWhenItChanges(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{SegmentBytes: 400})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	help := metadata.Metadata{Type: model.MetricTypeCounter, Unit: "bytes", Help: "what it is"}
	for ts := int64(1); ts <= 20; ts++ {
		if ts == 15 {
			help.Help = "what it really is"
		}
		app := l.AppenderV2(t.Context())
		for i := range 3 {
			_, err := app.Append(0, metric(i), 0, ts, 1, nil, nil, storage.AOptions{Metadata: help})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
		v := waltest.NewRecorder(l)
		r := l.NewReader(wal.Position{Segment: l.End().Segment})
		drain(t, r, v)
		r.Close()
		require.Len(t, v.MetadataOf, 3)
		require.Equal(t, help, v.MetadataOf[metric(2).String()])
	}
	require.Greater(t, l.Stats().Segments, 2)
}

func TestOvertakenSamplesDoNotBreakTheOrderOfTheirSeries(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	slow, fast := l.AppenderV2(t.Context()), l.AppenderV2(t.Context())
	for i := range 3 {
		_, err := slow.Append(0, metric(i), 0, 10, 1, nil, nil, noOptions)
		require.NoError(t, err)
	}
	_, err := fast.Append(0, metric(1), 0, 20, 2, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, fast.Commit())
	require.NoError(t, slow.Commit())
	v, lost := readAll(t, l)
	require.Zero(t, lost)
	require.Equal(t, []waltest.Sample{
		waltest.FloatSample(metric(1).String(), 0, 20, 2),
		waltest.FloatSample(metric(0).String(), 0, 10, 1),
		waltest.FloatSample(metric(2).String(), 0, 10, 1),
	}, v.Samples)
	require.EqualValues(t, 1, l.Stats().SamplesOvertaken)

	slow, fast = l.AppenderV2(t.Context()), l.AppenderV2(t.Context())
	_, err = slow.Append(0, metric(7), 0, 10, 1, nil, nil, noOptions)
	require.NoError(t, err)
	_, err = fast.Append(0, metric(7), 0, 20, 2, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, fast.Commit())
	require.NoError(t, slow.Commit(), "nothing is left of it")
	readAll(t, l)
	require.EqualValues(t, 4, l.End().Seq)
}

func TestUnusedSeriesAreForgottenAfterMinutesWhateverTheSegmentDoes(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	readers := []*wal.Reader{l.NewReader(l.Begin()), l.NewReader(l.Begin())}
	v := waltest.NewRecorder(l)
	var want []waltest.Sample
	for round := range 60 { // a rollout a minute
		app := l.AppenderV2(t.Context())
		for i := range 10 {
			_, err := app.Append(0, metric(round*10+i), 0, int64(round), 1, nil, nil, noOptions)
			require.NoError(t, err)
			want = append(want, waltest.FloatSample(metric(round*10+i).String(), 0, int64(round), 1))
		}
		require.NoError(t, app.Commit())
		c.pass(time.Minute)
		drain(t, readers[0], v) // the other one lags
	}
	require.Len(t, segments(t, l.Dir()), 1)
	require.LessOrEqual(t, l.Stats().ActiveSeries, 130)
	require.LessOrEqual(t, l.Book().Stats().Series, 130, "a reader that keeps up lets go of them too")
	require.Equal(t, want, v.Samples)

	v = waltest.NewRecorder(l)
	n, lost := drain(t, readers[1], v)
	require.Equal(t, 600, n)
	require.Zero(t, lost)
	require.Equal(t, want, v.Samples, "a reader that lags finds the labels in the log")
	readers[1].Seek(l.Begin())
	v = waltest.NewRecorder(l)
	drain(t, readers[1], v)
	require.Equal(t, want, v.Samples, "and so does one that reads again")

	c.pass(time.Hour)
	l.Prune()
	commitFloats(t, l, 1, 1000)
	for _, r := range readers {
		drain(t, r, waltest.NewRecorder(l))
		r.Close()
	}
	require.Equal(t, 1, l.Stats().ActiveSeries)
	require.Equal(t, 1, l.Book().Stats().Series)
}

func TestAReferenceThatIsKeptForTooLongIsNotFound(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now})
	add := func(ref storage.SeriesRef, ls labels.Labels) (storage.SeriesRef, error) {
		app := l.AppenderV2(t.Context())
		ref, err := app.Append(ref, ls, 0, c.now.UnixMilli(), 1, nil, nil, noOptions)
		require.NoError(t, app.Commit())
		return ref, err
	}
	old, err := add(0, metric(1))
	require.NoError(t, err)
	_, err = add(old, labels.EmptyLabels())
	require.ErrorIs(t, err, nil)
	c.pass(time.Hour)
	l.Prune()
	_, err = add(old, labels.EmptyLabels())
	require.ErrorIs(t, err, storage.ErrNotFound, "nobody has it")
	fresh, err := add(0, metric(2))
	require.NoError(t, err)
	require.Equal(t, uint32(old), uint32(fresh), "the same place in the book")
	_, err = add(old, labels.EmptyLabels())
	require.ErrorIs(t, err, storage.ErrNotFound, "another series has its place")
	_, err = add(old, metric(1))
	require.NoError(t, err, "labels say it all")
}

func TestASeriesWithAStalenessMarkerIsForgottenSoon(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now})
	app := l.AppenderV2(t.Context())
	for i := range 2 {
		v := float64(i)
		if i == 1 {
			v = math.Float64frombits(value.StaleNaN)
		}
		_, err := app.Append(0, metric(i), 0, 1, v, nil, nil, noOptions)
		require.NoError(t, err)
	}
	require.NoError(t, app.Commit())
	c.pass(3 * time.Minute)
	l.Prune()
	require.Equal(t, 1, l.Stats().ActiveSeries)
}

func TestAReferenceAloneIsTrustedWhileSomebodyHoldsIt(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now})
	holdBack(t, l)
	held, err := l.Book().Acquire(metric(1))
	require.NoError(t, err)
	for ts := range int64(2) { // the second time the log has forgotten it
		app := l.AppenderV2(t.Context())
		ref, err := app.Append(storage.SeriesRef(held), labels.EmptyLabels(), 0, ts, 1, nil, nil, noOptions)
		require.NoError(t, err)
		require.EqualValues(t, held, uint32(ref))
		require.NoError(t, app.Commit())
		c.pass(time.Hour)
		l.Prune()
		require.Zero(t, l.Stats().ActiveSeries)
	}
	v, _ := readAll(t, l)
	require.Len(t, v.Samples, 2)
	l.Book().Release(held)
	app := l.AppenderV2(t.Context())
	_, err = app.Append(storage.SeriesRef(held), labels.EmptyLabels(), 0, 9, 1, nil, nil, noOptions)
	require.ErrorIs(t, err, storage.ErrNotFound)
	require.NoError(t, app.Rollback())
}

func TestAnAppenderThatIsOpenForTooLongDoesNotCommit(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now})
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, metric(1), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	c.pass(time.Hour)
	require.Error(t, app.Commit())
	require.Zero(t, l.End().Seq)
}

func TestOpenAppendersAreJudgedByWhatIsCommitted(t *testing.T) {
	disk := new(waltest.FS)
	l := openLog(t, logDir(t), wal.Options{FS: disk})
	add := func(a storage.AppenderV2, ts int64, v float64) {
		_, err := a.Append(0, metric(1), 0, ts, v, nil, nil, noOptions)
		require.NoError(t, err)
	}
	open := func() storage.AppenderV2 { return l.AppenderV2(t.Context()) }

	a, b := open(), open() // both are rolled back
	add(a, 10, 1)
	add(b, 20, 2)
	require.NoError(t, a.Rollback())
	require.NoError(t, b.Rollback())

	a, b = open(), open() // neither can be written
	add(a, 10, 1)
	add(b, 20, 2)
	disk.Hook(failing(syscall.ENOSPC, 0, waltest.OpWrite))
	require.Error(t, a.Commit())
	require.Error(t, b.Commit())
	disk.Hook(nil)

	a, b = open(), open() // one repeats what the other then rolls back
	add(a, 10, 1)
	add(b, 10, 1)
	require.NoError(t, b.Commit())
	require.NoError(t, a.Rollback())
	require.EqualValues(t, 1, l.End().Seq)

	a, b, c := open(), open(), open() // turn and turn about, the same sample twice
	add(a, 30, 3)
	add(b, 30, 3)
	_, err := a.Append(0, metric(1), 0, 30, 3, nil, nil, noOptions)
	require.NoError(t, err)
	add(c, 29, 0)
	require.NoError(t, a.Commit())
	require.NoError(t, b.Commit())
	require.Zero(t, l.Stats().SamplesOvertaken, "a repetition is in the log")
	require.NoError(t, c.Commit())
	require.EqualValues(t, 1, l.Stats().SamplesOvertaken)
	v, _ := readAll(t, l)
	require.Equal(t, []waltest.Sample{
		waltest.FloatSample(metric(1).String(), 0, 10, 1), waltest.FloatSample(metric(1).String(), 0, 30, 3),
	}, v.Samples)
}

func TestABatchThatOutlivesItsSegmentIsWrittenIntoTheNext(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{SegmentBytes: 300})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	slow := l.AppenderV2(t.Context())
	for _, i := range []int{40, 3, 41} {
		_, err := slow.Append(0, metric(i), 0, 1000, float64(i), nil, nil, storage.AOptions{
			Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: 9, HasTs: true}}})
		require.NoError(t, err)
	}
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 5, ts)
	}
	require.Greater(t, l.Stats().Segments, 2)
	require.NoError(t, slow.Commit())
	v, lost := readAll(t, l)
	require.Zero(t, lost)
	for i, n := range []int{40, 3, 41} {
		require.Equal(t, waltest.FloatSample(metric(n).String(), 0, 1000, float64(n)), v.Samples[100+i])
		require.Equal(t, metric(n).String(), v.Exemplars[i].Series)
	}
}

func TestAnExemplarWithoutANewSampleHasItsSeries(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, SegmentAge: time.Minute})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := range int64(2) { // the second record holds nothing but an exemplar, in a new segment
		app := l.AppenderV2(t.Context())
		_, err := app.Append(0, metric(1), 0, 10, 1, nil, nil, storage.AOptions{
			Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("id", "a"), Ts: ts, HasTs: true}}})
		require.NoError(t, err)
		require.NoError(t, app.Commit())
		c.pass(2 * time.Minute)
	}
	v, _ := readAll(t, l)
	require.Len(t, v.Exemplars, 2)
	require.Equal(t, metric(1).String(), v.Exemplars[1].Series)
}

func TestAllKindsOfSamplesSurviveTheRoundTrip(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	var want []waltest.Sample
	name := metric(1).String()
	ts := int64(-5)
	for _, v := range []float64{0, 1, -1, math.Copysign(0, -1), math.Pi, math.Inf(1), math.NaN(), math.Float64frombits(value.StaleNaN), math.SmallestNonzeroFloat64, math.MaxFloat64, 123456} {
		ts += 7
		_, err := app.Append(0, metric(1), ts-3, ts, v, nil, nil, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.FloatSample(name, ts-3, ts, v))
	}
	for i, h := range []*histogram.Histogram{tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestGaugeHistogram(4), tsdbutil.GenerateTestCustomBucketsHistogram(5), {Sum: math.Float64frombits(value.StaleNaN)}} {
		ts++
		h.CounterResetHint = histogram.CounterResetHint(i)
		_, err := app.Append(0, metric(1), 0, ts, 0, h, nil, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.HistogramSample(name, 0, ts, h))
	}
	for _, h := range []*histogram.FloatHistogram{tsdbutil.GenerateTestFloatHistogram(3), tsdbutil.GenerateTestGaugeFloatHistogram(4), tsdbutil.GenerateTestCustomBucketsFloatHistogram(5)} {
		ts++
		_, err := app.Append(0, metric(1), 1, ts, 0, nil, h, noOptions)
		require.NoError(t, err)
		want = append(want, waltest.FloatHistogramSample(name, 1, ts, h))
	}
	require.NoError(t, app.Commit())
	v, _ := readAll(t, l)
	require.Equal(t, want, v.Samples)
}

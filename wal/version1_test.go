package wal_test

import (
	"os"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// testdata/version1 is a log of the first format, written by two processes: ten scrapes of
// two to five series each, then two histograms; the cursor "e" is behind the third scrape.
func TestALogOfTheFirstVersionIsDrainedAfterAnUpgrade(t *testing.T) {
	dir := logDir(t)
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/version1")))
	l := openLog(t, dir, wal.Options{})
	pos, known, err := l.Cursor("e")
	require.NoError(t, err)
	require.True(t, known)
	require.EqualValues(t, 9, pos.Seq)
	var want []waltest.Sample
	for process := range int64(2) {
		for i := range int64(10) {
			for s := range int(2 + i%4) {
				ts := process*1000 + i
				want = append(want, waltest.FloatSample(metric(s).String(), 0, ts, float64(ts)+float64(s)/7))
			}
		}
		want = append(want,
			waltest.HistogramSample(metric(50).String(), 5, 5000+process, tsdbutil.GenerateTestHistogram(3)),
			waltest.FloatHistogramSample(metric(51).String(), 0, 5000+process, tsdbutil.GenerateTestFloatHistogram(3)))
	}
	want = append(want[9:], commitFloats(t, l, 2, 9000)...) // the upgraded process goes on
	r, v := l.NewReader(pos), waltest.NewRecorder(l)
	defer r.Close()
	_, lost := drain(t, r, v)
	require.Zero(t, lost)
	require.Equal(t, want, v.Samples)
	require.Len(t, v.Exemplars, 2)
	require.Equal(t, metadata.Metadata{Type: model.MetricTypeHistogram, Help: "h"}, v.MetadataOf[metric(50).String()])
	require.NoError(t, l.SaveCursor("e", l.End()))
	require.Len(t, segments(t, dir), 1, "what was sent is gone")
}

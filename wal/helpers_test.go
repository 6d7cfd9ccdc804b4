package wal_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// clock is a time that only tests move.
type clock struct{ now time.Time }

func newClock() *clock                { return &clock{now: time.Unix(1_700_000_000, 0)} }
func (c *clock) Now() time.Time       { return c.now }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func openLog(t testing.TB, dir string, o wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// holdBack makes the log keep everything: what no endpoint waits for goes at once.
func holdBack(t testing.TB, l *wal.Log) {
	t.Helper()
	require.NoError(t, l.SaveCursor("holds back", wal.Position{}))
}

func logDir(t testing.TB) string { return filepath.Join(t.TempDir(), "log") }

func metric(i int) labels.Labels {
	return labels.FromStrings("__name__", "metric", "n", strconv.Itoa(i))
}

// commitFloats commits one sample at time ts for each of n series and returns what a reader has to
// deliver.
func commitFloats(t testing.TB, l *wal.Log, n int, ts int64) []waltest.Sample {
	t.Helper()
	app := l.AppenderV2(t.Context())
	var want []waltest.Sample
	for i := range n {
		v := float64(ts) + float64(i)/7
		_, err := app.Append(0, metric(i), 0, ts, v, nil, nil, storage.AOptions{})
		require.NoError(t, err)
		want = append(want, waltest.FloatSample(metric(i).String(), 0, ts, v))
	}
	require.NoError(t, app.Commit())
	return want
}

// drain reads to the end and adds up what was lost. It checks what is true of every reader.
func drain(t testing.TB, r *wal.Reader, v *waltest.Recorder) (samples int, lost wal.Lost) {
	t.Helper()
	for {
		rec, err := r.Next(v)
		if errors.Is(err, io.EOF) {
			require.Empty(t, v.Faults)
			return samples, lost
		}
		require.NoError(t, err)
		samples += rec.Samples
		lost.Damaged += rec.Lost.Damaged
		lost.Truncated += rec.Lost.Truncated
	}
}

// readAll reads everything from the beginning.
func readAll(t testing.TB, l *wal.Log) (*waltest.Recorder, wal.Lost) {
	t.Helper()
	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	defer r.Close()
	n, lost := drain(t, r, v)
	require.Len(t, v.Samples, n)
	return v, lost
}

// crash copies the log as a process that is killed now would leave it.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := logDir(t)
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	return names
}

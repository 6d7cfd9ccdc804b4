package wal_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// twin is a log that can't be wrong: a slice. It is driven through the same random life as a real one.
type twin struct {
	t     *testing.T
	rnd   *rand.Rand
	clock *clock
	dir   string
	log   *wal.Log

	committed []waltest.Sample // all that ever was
	time      int64

	readers map[string]*twinReader
}

// twinReader is an endpoint: a reader, and what it saw since its last restart.
type twinReader struct {
	reader   *wal.Reader
	recorder *waltest.Recorder
	pos      wal.Position // behind what it has read
	saved    wal.Position
}

func TestTheLogLivesAsItsTwinInMemory(t *testing.T) {
	for seed := range uint64(40) {
		w := &twin{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), clock: newClock(), dir: logDir(t), readers: map[string]*twinReader{}}
		w.open()
		for range 150 {
			w.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		for id := range w.readers {
			w.read(id, 1<<30)
			require.Equal(t, w.log.End(), w.readers[id].pos, "seed %d", seed)
		}
		require.EqualValues(t, len(w.committed), w.log.End().Seq, "seed %d", seed)
		w.close()
	}
}

func (w *twin) open() {
	var err error
	w.log, err = wal.Open(w.dir, wal.Options{Now: w.clock.Now, Sync: wal.SyncNever, SegmentBytes: 400 + w.rnd.Int64N(2000), SegmentAge: 10 * time.Minute, MaxBytes: 12_000})
	require.NoError(w.t, err)
	require.EqualValues(w.t, len(w.committed), w.log.End().Seq)
	for _, id := range []string{"a", "b"} {
		pos, known, err := w.log.Cursor(id)
		require.NoError(w.t, err)
		old := w.readers[id]
		require.Equal(w.t, old != nil, known)
		if old == nil {
			require.NoError(w.t, w.log.SaveCursor(id, pos))
		}
		w.readers[id] = &twinReader{reader: w.log.NewReader(pos), recorder: waltest.NewRecorder(w.log), pos: pos, saved: pos}
	}
}

func (w *twin) close() {
	for _, r := range w.readers {
		r.reader.Close()
	}
	require.NoError(w.t, w.log.Close())
}

func (w *twin) step() {
	switch n := w.rnd.IntN(100); {
	case n < 50:
		w.append()
	case n < 75:
		w.read(w.anyReader(), 1+w.rnd.IntN(10))
	case n < 85:
		id := w.anyReader()
		r := w.readers[id]
		require.NoError(w.t, w.log.SaveCursor(id, r.pos))
		r.saved = r.pos
	case n < 90:
		w.clock.pass(time.Duration(w.rnd.IntN(10)) * time.Minute)
		w.log.Prune()
	case n < 93: // the endpoint failed: back to what was acknowledged
		r := w.readers[w.anyReader()]
		r.pos = r.saved
		r.reader.Seek(r.pos)
	case n < 97:
		w.close()
		w.open()
	default:
		w.crash()
	}
}

func (w *twin) anyReader() string { return []string{"a", "b"}[w.rnd.IntN(2)] }

// crash goes on with a copy of the directory as a kill would leave it, at times with half a record
// behind.
func (w *twin) crash() {
	dir := crash(w.t, w.dir)
	w.close()
	if names := segments(w.t, dir); len(names) > 0 && w.rnd.IntN(2) == 0 {
		f, err := os.OpenFile(names[len(names)-1], os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(w.t, err)
		tail := make([]byte, w.rnd.IntN(200)) // zeros, as file systems leave them
		if w.rnd.IntN(2) == 0 {
			b, err := os.ReadFile(names[0])
			require.NoError(w.t, err)
			tail = b[min(len(b), 48):min(len(b), 48+w.rnd.IntN(200))] // an old record of another segment
		}
		_, err = f.Write(tail)
		require.NoError(w.t, err)
		require.NoError(w.t, f.Close())
	}
	w.dir = dir
	w.open()
}

func (w *twin) append() {
	app := w.log.AppenderV2(w.t.Context())
	var batch []waltest.Sample
	for range w.rnd.IntN(20) {
		w.time++
		i := w.rnd.IntN(30)
		name, st := metric(i).String(), int64(w.rnd.IntN(2))*w.time/2
		var err error
		switch w.rnd.IntN(5) {
		case 0:
			h := tsdbutil.GenerateTestHistogram(int64(w.rnd.IntN(100)))
			_, err = app.Append(0, metric(i), st, w.time, 0, h, nil, noOptions)
			batch = append(batch, waltest.HistogramSample(name, st, w.time, h))
		case 1:
			h := tsdbutil.GenerateTestCustomBucketsFloatHistogram(int64(w.rnd.IntN(100)))
			_, err = app.Append(0, metric(i), st, w.time, 0, nil, h, noOptions)
			batch = append(batch, waltest.FloatHistogramSample(name, st, w.time, h))
		default:
			v := float64(w.rnd.IntN(1000)) / float64(1+w.rnd.IntN(3))
			_, err = app.Append(0, metric(i), st, w.time, v, nil, nil, storage.AOptions{Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace", name), Value: v, Ts: w.time}}})
			batch = append(batch, waltest.FloatSample(name, st, w.time, v))
		}
		require.NoError(w.t, err)
	}
	if w.rnd.IntN(5) == 0 {
		require.NoError(w.t, app.Rollback())
		return
	}
	require.NoError(w.t, app.Commit())
	w.committed = append(w.committed, batch...)
}

func (w *twin) read(id string, records int) {
	r := w.readers[id]
	for range records {
		r.recorder.Samples = r.recorder.Samples[:0]
		rec, err := r.reader.Next(r.recorder)
		require.Empty(w.t, r.recorder.Faults)
		if errors.Is(err, io.EOF) {
			require.Equal(w.t, w.log.End().Seq, r.pos.Seq)
			r.pos = w.log.End()
			return
		}
		require.NoError(w.t, err)
		require.Zero(w.t, rec.Lost.Damaged)
		require.Equal(w.t, r.pos.Seq+rec.Lost.Truncated+uint64(rec.Samples), rec.End.Seq)
		from := rec.End.Seq - uint64(rec.Samples)
		require.Equal(w.t, w.committed[from:rec.End.Seq], append([]waltest.Sample{}, r.recorder.Samples...))
		r.pos = rec.End
	}
}

package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// sound is a valid log and where its records are.
type sound struct {
	files   map[string][]byte
	names   []string // of the segments, in order
	records []soundRecord
	total   uint64
}

type soundRecord struct {
	file       string
	start, end int64
	samples    []waltest.Sample
	defines    []string
}

// newSound makes a log of several segments, written by two processes.
func newSound(t testing.TB) *sound {
	dir := filepath.Join(t.TempDir(), "log")
	for process := range int64(2) {
		l, err := wal.Open(dir, wal.Options{SegmentBytes: 900, Sync: wal.SyncNever})
		require.NoError(t, err)
		if process == 0 {
			holdBack(t, l)
		}
		for i := range int64(12) {
			commitFloats(t, l, int(2+i%4), process*1000+i)
		}
		require.NoError(t, l.Close())
	}
	s := &sound{files: map[string][]byte{}}
	for _, name := range segments(t, dir) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		s.files[filepath.Base(name)] = b
		s.names = append(s.names, filepath.Base(name))
	}
	l, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	r, v := l.NewReader(l.Begin()), waltest.NewRecorder(l)
	segment, start := uint64(0), int64(0)
	for {
		v.Samples, v.Defined = nil, nil
		rec, err := r.Next(v)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if rec.End.Segment != segment {
			segment, start = rec.End.Segment, 48
		}
		s.records = append(s.records, soundRecord{file: s.names[segment-1], start: start, end: rec.End.Offset, samples: v.Samples, defines: v.Defined})
		start = rec.End.Offset
	}
	s.total = l.End().Seq
	r.Close()
	require.NoError(t, l.Close())
	return s
}

// expect returns what has to be delivered when the bytes from to until are not to be trusted.
func (s *sound) expect(file string, from, until int64) (want []waltest.Sample) {
	defined := map[string]bool{}
	last := ""
	for _, rec := range s.records {
		if rec.file != last {
			defined, last = map[string]bool{}, rec.file
		}
		if rec.file == file && rec.start < until && from < rec.end {
			continue
		}
		for _, name := range rec.defines {
			defined[name] = true
		}
		for _, sample := range rec.samples {
			if defined[sample.Series] {
				want = append(want, sample)
			}
		}
	}
	return want
}

// ram is where a fuzzer opens one log after the other, without a disk.
type ram struct {
	files  waltest.Memory
	syncer *wal.Syncer
	dir    string
}

func newRAM(f *testing.F) *ram {
	r := &ram{syncer: wal.NewSyncer(time.Hour), dir: logDir(f)}
	f.Cleanup(r.syncer.Close)
	// A second log keeps the file of locks open.
	openLog(f, r.dir+"2", wal.Options{FS: &waltest.Memory{}, Syncer: r.syncer, Sync: wal.SyncNever})
	return r
}

// open opens the sound log with the content of one of its files.
func (r *ram) open(t *testing.T, s *sound, name string, content []byte) *wal.Log {
	r.files.Clear()
	for name, b := range s.files {
		r.files.Put(filepath.Join(r.dir, name), bytes.Clone(b))
	}
	r.files.Put(filepath.Join(r.dir, name), content)
	return openLog(t, r.dir, wal.Options{FS: &r.files, Syncer: r.syncer, Sync: wal.SyncNever})
}

// FuzzDamage cuts, flips or overwrites a valid log. What the damage did not touch has to be
// delivered, once, in order and with the right values, and the rest has to be counted.
func FuzzDamage(f *testing.F) {
	for kind := range byte(3) {
		for _, at := range []uint16{0, 8, 44, 50, 60, 90, 300, 700} {
			f.Add(kind, byte(at), at, uint16(17), byte(0x10))
		}
	}
	s := newSound(f)
	disk := newRAM(f)
	f.Fuzz(func(t *testing.T, kind, file byte, at, size uint16, bits byte) {
		name := s.names[int(file)%len(s.names)]
		newest := name == s.names[len(s.names)-1]
		b := append([]byte(nil), s.files[name]...)
		from := int64(at) % int64(len(b))
		until := from + 1
		switch kind % 3 {
		case 0:
			b[from] ^= bits
		case 1:
			until = int64(len(b))
			b = b[:from]
		case 2:
			until = min(from+int64(size), int64(len(b)))
			for i := from; i < until; i++ {
				b[i] = bits
			}
		}
		want := s.expect(name, from, until)
		l := disk.open(t, s, name, b)
		holdBack(t, l)
		total := l.End().Seq
		require.LessOrEqual(t, total, s.total)
		if !newest {
			require.Equal(t, s.total, total, "what is behind the damage says how much was before it")
		}
		more := commitFloats(t, l, 3, 1<<40)
		v, lost := readAll(t, l)
		require.EqualValues(t, total+3, uint64(len(v.Samples))+lost.Damaged, "delivered and lost make committed")
		require.Zero(t, lost.Truncated)
		isSubsequence(t, append(want, more...), v.Samples)
		var all []waltest.Sample
		for _, rec := range s.records {
			all = append(all, rec.samples...)
		}
		isSubsequence(t, v.Samples, append(all, more...))
	})
}

func isSubsequence(t *testing.T, part, whole []waltest.Sample) {
	t.Helper()
	i := 0
	for _, s := range whole {
		if i < len(part) && part[i] == s {
			i++
		}
	}
	require.Equal(t, len(part), i, "first that is missing: %v", part[min(i, len(part)-1)])
}

// FuzzReader opens a log in which one segment has arbitrary content.
func FuzzReader(f *testing.F) {
	s := newSound(f)
	f.Add([]byte{}, byte(1))
	f.Add(s.files[s.names[1]], byte(1))
	f.Add(s.files[s.names[0]], byte(2))
	f.Add(s.files[s.names[len(s.names)-1]], byte(len(s.names)-1))
	f.Add(append(s.files[s.names[1]][:200:200], make([]byte, 500)...), byte(1))
	disk := newRAM(f)
	f.Fuzz(func(t *testing.T, content []byte, file byte) {
		l := disk.open(t, s, s.names[int(file)%len(s.names)], bytes.Clone(content))
		holdBack(t, l)
		commitFloats(t, l, 3, 1<<40)
		begin, end := l.Begin(), l.End()
		for _, from := range []wal.Position{begin, {}, {Segment: end.Segment, Offset: 100, Seq: end.Seq}, {Segment: 2, Offset: int64(len(content) / 2), Seq: 30}} {
			r, v := l.NewReader(from), &quiet{book: l.Book()}
			pos := min(from.Seq, end.Seq)
			for {
				rec, err := r.Next(v)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				require.LessOrEqual(t, rec.End.Seq, end.Seq)
				require.Equal(t, pos+uint64(rec.Samples)+rec.Lost.Damaged+rec.Lost.Truncated, rec.End.Seq)
				require.True(t, rec.Samples > 0 || rec.End != from)
				pos = rec.End.Seq
			}
			require.Equal(t, end.Seq, pos)
			r.Close()
		}
	})
}

// FuzzPayload reads records that verify and whose payload is arbitrary: the decoder trusts no checksum.
func FuzzPayload(f *testing.F) {
	s := newSound(f)
	f.Add(uint32(2), uint32(3), s.files[s.names[0]][88:160])
	f.Add(uint32(1), uint32(3), append(wal.Definitions(1, []byte("\x0a\x06\x0a\x01a\x12\x01b")), 0x30))
	f.Add(uint32(9), uint32(1), []byte{0x80, 1, 1, 1, 'a', 1, 'b', 0x82, 1, 0x81, 1, 0, 0, 0, 0x30, 0x83, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint32(1), uint32(1), []byte{0x84, 0x70, 2, 3, 0, 1, 0x40, 1, 0x40, 0, 1, 0, 1, 0, 1, 1, 0x40, 0, 0})
	f.Add(uint32(1), uint32(2), []byte{0x30, 0x85, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 'a', 1, 'b', 0xff})
	f.Fuzz(func(t *testing.T, samples, flags uint32, payload []byte) {
		if len(payload) == 0 {
			return
		}
		dir := logDir(t)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, wal.SegmentFileName(1, 0)), wal.SealedSegment(1, 0, samples, flags, payload), 0o600))
		l, err := wal.Open(dir, wal.Options{Sync: wal.SyncNever})
		require.NoError(t, err)
		defer l.Close()
		require.EqualValues(t, samples, l.End().Seq)
		r, v := l.NewReader(l.Begin()), &quiet{book: l.Book()}
		defer r.Close()
		rec, err := r.Next(v)
		require.NoError(t, err)
		require.EqualValues(t, samples, uint64(rec.Samples)+rec.Lost.Damaged)
		r.Seek(wal.Position{Segment: 1, Offset: rec.End.Offset - 1, Seq: uint64(samples)})
		for err == nil {
			_, err = r.Next(v)
		}
		require.ErrorIs(t, err, io.EOF)
	})
}

// quiet touches everything it is given.
type quiet struct {
	n    int
	book *series.Book
}

func (q *quiet) Record(uint64)                              {}
func (q *quiet) Series(r series.Ref)                        { q.n += len(q.book.Encoded(r)) }
func (q *quiet) Float(_ series.Ref, _, _ int64, _ float64)  { q.n++ }
func (q *quiet) Exemplar(_ series.Ref, e exemplar.Exemplar) { q.n += e.Labels.Len() }
func (q *quiet) Metadata(_ series.Ref, m metadata.Metadata) { q.n += len(m.Help) }
func (q *quiet) Histogram(_ series.Ref, _, _ int64, h *histogram.Histogram) {
	q.n += len(h.String())
}
func (q *quiet) FloatHistogram(_ series.Ref, _, _ int64, h *histogram.FloatHistogram) {
	q.n += len(h.PositiveBuckets)
}

// FuzzRoundTrip commits one of everything.
func FuzzRoundTrip(f *testing.F) {
	f.Add(int64(1000), int64(5), 1.5, uint64(math.MaxUint64), "name", "value", []byte{1, 2, 3, 200, 0, 9}, int8(0), byte(1))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), math.NaN(), uint64(0), "", "", []byte{}, int8(-53), byte(0))
	f.Add(int64(-1), int64(0), math.Inf(-1), uint64(7), "a", "ü\xff", []byte{255, 255, 1}, int8(8), byte(3))
	f.Fuzz(func(t *testing.T, ts, st int64, x float64, count uint64, name, value string, buckets []byte, schema int8, hint byte) {
		if ts == math.MinInt64 {
			ts++ // is "no sample yet"
		}
		ts = min(ts, math.MaxInt64-10)
		l := openLog(t, logDir(t), wal.Options{Sync: wal.SyncNever})
		ls := labels.FromStrings("__name__", "m", "x"+name, value).WithoutEmpty()
		e := exemplar.Exemplar{Labels: labels.FromStrings("e"+name, value).WithoutEmpty(), Value: x, Ts: st, HasTs: hint&1 == 1}
		m := metadata.Metadata{Type: model.MetricType(name), Unit: value, Help: name + value}
		h := fuzzHistogram(buckets, int32(schema), count, x, hint)
		fh := fuzzFloatHistogram(h)

		app := l.AppenderV2(t.Context())
		var want []waltest.Sample
		var wantExemplars int
		take := func(s waltest.Sample, err error) {
			if err != nil && !errors.Is(err, &storage.AppendPartialError{}) {
				return
			}
			want = append(want, s)
		}
		_, err := app.Append(0, ls, st, ts, x, nil, nil, storage.AOptions{Metadata: m, Exemplars: []exemplar.Exemplar{e}})
		take(waltest.FloatSample(ls.String(), st, ts, x), err)
		if err == nil && !isStaleNaN(x) {
			wantExemplars++
		}
		_, err = app.Append(0, ls, 0, ts+1, 0, h, nil, noOptions)
		take(waltest.HistogramSample(ls.String(), 0, ts+1, h), err)
		_, err = app.Append(0, ls, st, ts+2, 0, nil, fh, noOptions)
		take(waltest.FloatHistogramSample(ls.String(), st, ts+2, fh), err)
		require.NoError(t, app.Commit())

		v, lost := readAll(t, l)
		require.Zero(t, lost)
		require.Equal(t, want, v.Samples)
		require.Len(t, v.Exemplars, wantExemplars)
		for _, got := range v.Exemplars {
			require.Equal(t, fmt.Sprint(waltest.Exemplar{Series: ls.String(), Labels: e.Labels.String(), T: e.Ts, Value: x, HasT: e.HasTs}), fmt.Sprint(got))
		}
		if !m.IsEmpty() {
			require.Equal(t, m, v.MetadataOf[ls.String()])
		}
	})
}

func isStaleNaN(v float64) bool { return math.Float64bits(v) == 0x7ff0000000000002 }

// fuzzHistogram makes a histogram of arbitrary bytes that Validate takes as often as possible.
func fuzzHistogram(b []byte, schema int32, count uint64, sum float64, hint byte) *histogram.Histogram {
	h := &histogram.Histogram{CounterResetHint: histogram.CounterResetHint(hint % 4), Schema: schema, Sum: sum}
	if len(b) > 0 {
		h.PositiveSpans = []histogram.Span{{Offset: int32(b[0]), Length: uint32(len(b))}}
	}
	last := int64(0)
	for i, c := range b {
		h.PositiveBuckets = append(h.PositiveBuckets, int64(c)-last)
		last = int64(c)
		h.Count += uint64(c)
		if schema == histogram.CustomBucketsSchema {
			h.CustomValues = append(h.CustomValues, float64(i)+0.1)
		}
	}
	if schema == histogram.CustomBucketsSchema {
		if len(b) > 0 {
			h.PositiveSpans[0].Offset = 0
		}
		return h
	}
	h.ZeroThreshold, h.ZeroCount = 0.001, count>>1
	h.Count += h.ZeroCount
	if len(b) > 2 {
		h.NegativeSpans = []histogram.Span{{Offset: -int32(b[1]), Length: 1}, {Offset: int32(b[2]), Length: 1}}
		h.NegativeBuckets = []int64{2, -1}
		h.Count += 3
	}
	return h
}

func fuzzFloatHistogram(h *histogram.Histogram) *histogram.FloatHistogram {
	fh := &histogram.FloatHistogram{CounterResetHint: h.CounterResetHint, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, ZeroCount: float64(h.ZeroCount) / 3,
		Count: float64(h.Count), Sum: h.Sum, PositiveSpans: h.PositiveSpans, NegativeSpans: h.NegativeSpans, CustomValues: h.CustomValues}
	for range h.PositiveBuckets {
		fh.PositiveBuckets = append(fh.PositiveBuckets, h.Sum*h.Sum)
	}
	for range h.NegativeBuckets {
		fh.NegativeBuckets = append(fh.NegativeBuckets, 0.25)
	}
	return fh
}

package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

func TestAnErrorOfTheFileSystemFailsTheOpenAndIsNoDamage(t *testing.T) {
	for _, op := range []waltest.Op{waltest.OpOpen, waltest.OpRead} {
		for _, suffix := range []string{".seg", ".cursor"} {
			for _, fault := range []error{syscall.EMFILE, syscall.EIO, syscall.ENOMEM} {
				t.Run(fmt.Sprint(op, suffix, fault), func(t *testing.T) {
					dir := logDir(t)
					l := openLog(t, dir, wal.Options{})
					require.NoError(t, l.SaveCursor("e", l.Begin()))
					var want []waltest.Sample
					for ts := int64(1); ts <= 50; ts++ {
						want = append(want, commitFloats(t, l, 10, ts)...)
					}
					require.NoError(t, l.Close())
					disk := new(waltest.FS)
					disk.Hook(func(c waltest.Call) waltest.Fault {
						if c.Op == op && strings.HasSuffix(c.Name, suffix) {
							return waltest.Fault{Err: fault}
						}
						return waltest.Fault{}
					})
					_, err := wal.Open(dir, wal.Options{FS: disk})
					require.ErrorIs(t, err, fault)
					disk.Hook(nil)

					l = openLog(t, dir, wal.Options{FS: disk})
					require.EqualValues(t, 500, l.End().Seq, "no number is used twice")
					pos, known, err := l.Cursor("e")
					require.NoError(t, err)
					require.True(t, known)
					require.Zero(t, pos.Seq)
					v, lost := readAll(t, l)
					require.Zero(t, lost)
					require.Equal(t, want, v.Samples)
				})
			}
		}
	}
}

func TestASpareByteBehindACursorIsNoDamage(t *testing.T) {
	dir := logDir(t)
	for start := range 4 {
		l := openLog(t, dir, wal.Options{})
		pos, known, err := l.Cursor("e")
		require.NoError(t, err)
		require.Equal(t, start > 0, known)
		require.Equal(t, l.End().Seq, pos.Seq, "start %d", start)
		commitFloats(t, l, 10, int64(start+1))
		require.NoError(t, l.SaveCursor("e", l.End()))
		require.NoError(t, l.Close())
		names, err := filepath.Glob(filepath.Join(dir, "*.cursor"))
		require.NoError(t, err)
		f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write([]byte{0})
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
}

func TestADamagedCursorThatNobodyClaimsCanBeRemoved(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	require.NoError(t, l.SaveCursor("gone", l.Begin()))
	require.NoError(t, l.SaveCursor("kept", l.Begin()))
	require.NoError(t, l.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*.cursor"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.WriteFile(name, []byte("damaged"), 0o600))
	}
	l = openLog(t, dir, wal.Options{})
	require.Len(t, l.Cursors(), 2)
	require.NoError(t, l.KeepCursors("kept"))
	require.Len(t, l.Cursors(), 1)
	_, known, err := l.Cursor("kept")
	require.NoError(t, err)
	require.True(t, known)
}

func TestTheProbeOfAKilledOpenHidesNoLog(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	commitFloats(t, l, 1, 1)
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".writable"), nil, 0o600))
	ours, err := wal.IsLog(dir)
	require.NoError(t, err)
	require.True(t, ours)
	l = openLog(t, dir, wal.Options{})
	require.NoFileExists(t, filepath.Join(dir, ".writable"))
	require.NoError(t, l.Remove())
	require.NoDirExists(t, dir)
}

func TestNobodyCanOpenALogWhileItIsRemoved(t *testing.T) {
	disk, dir := new(waltest.FS), logDir(t)
	l, err := wal.Open(dir, wal.Options{FS: disk})
	require.NoError(t, err)
	commitFloats(t, l, 10, 1)
	require.NoError(t, l.SaveCursor("e", l.End()))
	tried := 0
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpRemove {
			tried++
			_, err := wal.Open(dir, wal.Options{})
			require.ErrorIs(t, err, wal.ErrLocked)
		}
		return waltest.Fault{}
	})
	require.NoError(t, l.Remove())
	require.Equal(t, 3, tried, "segment, cursor, directory")
	l = openLog(t, dir, wal.Options{})
	require.Empty(t, l.Cursors())
}

func TestWhatIsCommittedLastIsNotRemoved(t *testing.T) {
	dir := logDir(t)
	l, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	app := l.AppenderV2(t.Context())
	_, err = app.Append(0, metric(1), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.NoError(t, l.RemoveIf(func() bool {
		require.ErrorIs(t, app.Commit(), wal.ErrClosed, "nobody is told that it is kept")
		return false
	}))
	require.DirExists(t, dir)
	l, err = wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	require.NoError(t, l.RemoveIf(func() bool { return true }))
	require.NoDirExists(t, dir)
}

func TestRemoveTakesNothingButTheLogsOwnFiles(t *testing.T) {
	elsewhere := t.TempDir()
	precious := filepath.Join(elsewhere, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("x"), 0o600))
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	commitFloats(t, l, 1, 1)

	// While the log is open, its directory becomes a link to somebody else's.
	require.NoError(t, os.Rename(dir, dir+"-before"))
	require.NoError(t, os.Symlink(elsewhere, dir))
	ours, err := wal.IsLog(dir)
	require.NoError(t, err)
	require.False(t, ours, "who only found a link has no log")
	require.NoError(t, l.Remove())
	require.FileExists(t, precious)
	require.NoFileExists(t, dir)
}

func TestWhatIsTooOldWhenALogIsOpenedGetsOneAttempt(t *testing.T) {
	dir, c := logDir(t), newClock()
	c.now = time.Now()
	o := wal.Options{Now: c.Now, MaxAge: 4 * time.Hour}
	l := openLog(t, dir, o)
	holdBack(t, l)
	want := commitFloats(t, l, 10, 1)
	require.NoError(t, l.Close())
	c.pass(6 * time.Hour)
	l = openLog(t, dir, o)
	for ts := int64(2); ts < 5; ts++ {
		want = append(want, commitFloats(t, l, 10, ts)...)
		c.pass(4 * time.Minute)
		l.Prune()
	}
	v, lost := readAll(t, l)
	require.Zero(t, lost)
	require.Equal(t, want, v.Samples)
	c.pass(5 * time.Minute)
	l.Prune()
	require.EqualValues(t, 10, l.Stats().SamplesTruncated, "one attempt, not a second life")
}

func TestABadSectorCostsWhatLiesInItAlsoForOneWhoReadsAgainFromTheStart(t *testing.T) {
	disk, dir := new(waltest.FS), logDir(t)
	l := openLog(t, dir, wal.Options{FS: disk})
	holdBack(t, l)
	total := 0
	for ts := int64(1); ts <= 400; ts++ {
		total += len(commitFloats(t, l, 10, ts))
	}
	require.Greater(t, l.End().Offset, int64(30_000))
	for _, bad := range []int64{0, 8192} {
		disk.Hook(func(c waltest.Call) waltest.Fault {
			if c.Op == waltest.OpRead && c.Offset < bad+4096 && c.Offset+int64(c.Size) > bad {
				return waltest.Fault{Err: syscall.EIO}
			}
			return waltest.Fault{}
		})
		r, v := l.NewReader(l.Begin()), waltest.NewRecorder(l)
		n, lost, failures := 0, uint64(0), 0
		for at := uint64(0); at < uint64(total); { // as an endpoint does: a failed read throws the round away
			rec, err := r.Next(v)
			if err != nil {
				require.ErrorIs(t, err, syscall.EIO)
				require.Less(t, failures, 50)
				failures++
				r.Seek(l.Begin())
				at, n, lost = 0, 0, 0
				continue
			}
			at = rec.End.Seq
			n, lost = n+rec.Samples, lost+rec.Lost.Damaged
		}
		r.Close()
		require.EqualValues(t, total, uint64(n)+lost)
		if bad > 0 { // at 0 lie the definitions
			require.Less(t, lost, uint64(1000))
		}
	}
}

func TestADamagedDefinitionCostsNoSampleMoreOnceAReaderHasMetIt(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	holdBack(t, l)
	commitFloats(t, l, 10, 1)
	names := segments(t, dir)
	require.Len(t, names, 1)
	info, err := os.Stat(names[0])
	require.NoError(t, err)
	flip(t, names[0], info.Size()-1)
	commitFloats(t, l, 10, 2)

	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	defer r.Close()
	samples, lost := drain(t, r, v)
	require.Zero(t, samples, "no series is defined")
	require.Equal(t, wal.Lost{Damaged: 20}, lost)

	want := commitFloats(t, l, 10, 3)
	want = append(want, commitFloats(t, l, 10, 4)...)
	samples, lost = drain(t, r, v)
	require.Zero(t, lost)
	require.Equal(t, len(want), samples)
	require.Equal(t, want, v.Samples)
	require.Len(t, segments(t, dir), 2, "one new segment, and no other for what is read again")
	_, lost = drain(t, l.NewReader(l.Begin()), waltest.NewRecorder(l))
	require.Equal(t, wal.Lost{Damaged: 20}, lost)
	commitFloats(t, l, 10, 5)
	require.Len(t, segments(t, dir), 2)
}

package wal_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// failing makes all operations of a kind on segments fail.
func failing(err error, short int, ops ...waltest.Op) func(waltest.Call) waltest.Fault {
	return func(c waltest.Call) waltest.Fault {
		for _, op := range ops {
			if c.Op == op && strings.HasSuffix(c.Name, ".seg") {
				return waltest.Fault{Err: err, Short: short}
			}
		}
		return waltest.Fault{}
	}
}

func TestAFailedCommitLeavesNothingBehindAndTheNextOneWorks(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		short int
		ops   []waltest.Op
	}{
		{"disk full", syscall.ENOSPC, 0, []waltest.Op{waltest.OpWrite}},
		{"disk full in the middle of a record", syscall.ENOSPC, 50, []waltest.Op{waltest.OpWrite}},
		{"disk full behind a record", syscall.ENOSPC, 1 << 20, []waltest.Op{waltest.OpWrite}},
		{"disk full and no repair", syscall.ENOSPC, 1 << 20, []waltest.Op{waltest.OpWrite, waltest.OpTruncate}},
		{"i/o error", syscall.EIO, 10, []waltest.Op{waltest.OpWrite}},
		{"i/o error for everything", syscall.EIO, 10, []waltest.Op{waltest.OpWrite, waltest.OpTruncate, waltest.OpCreate, waltest.OpOpen}},
		{"too many open files", syscall.EMFILE, 0, []waltest.Op{waltest.OpOpen, waltest.OpCreate, waltest.OpWrite}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs, dir := new(waltest.FS), logDir(t)
			l := openLog(t, dir, wal.Options{FS: fs})
			require.NoError(t, l.SaveCursor("e", l.Begin())) // without one a full disk drops what is complete
			v := waltest.NewRecorder(l)
			r := l.NewReader(l.Begin())
			defer r.Close()
			want := commitFloats(t, l, 2, 1)
			for ts := int64(2); ts < 10; ts += 2 {
				fs.Hook(failing(test.err, test.short, test.ops...))
				for range 3 {
					app := l.AppenderV2(t.Context())
					_, err := app.Append(0, metric(int(ts)), 0, ts, 666, nil, nil, noOptions)
					require.NoError(t, err)
					end := l.End().Seq
					err = app.Commit()
					require.ErrorIs(t, err, test.err)
					require.ErrorContains(t, err, dir)
					require.Equal(t, end, l.End().Seq)
				}
				if !slices.Contains(test.ops, waltest.OpTruncate) {
					after := openLog(t, crash(t, dir), wal.Options{})
					require.Equal(t, l.End().Seq, after.End().Seq, "what failed did not happen, for the next process too")
				}
				fs.Hook(nil)
				want = append(want, commitFloats(t, l, 10, ts)...)
			}
			_, lost := drain(t, r, v)
			require.Zero(t, lost)
			require.Equal(t, want, v.Samples)
			require.NotZero(t, l.Stats().WriteErrors)
			require.NotEmpty(t, l.Stats().LastError)

			v, lost = readAll(t, openLog(t, crash(t, dir), wal.Options{}))
			require.Zero(t, lost)
			require.Equal(t, want, v.Samples)
		})
	}
}

func TestAFullDiskIsRelievedOfWhatIsAcknowledged(t *testing.T) {
	fs := new(waltest.FS)
	l := openLog(t, logDir(t), wal.Options{FS: fs, SegmentBytes: 200})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 10; ts++ {
		commitFloats(t, l, 2, ts)
	}
	require.NoError(t, l.RemoveCursor("e"))
	require.Greater(t, l.Stats().Segments, 2)
	var full atomic.Bool
	full.Store(true)
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpRemove {
			full.Store(false)
		}
		if c.Op == waltest.OpWrite && full.Load() && strings.HasSuffix(c.Name, ".seg") {
			return waltest.Fault{Err: syscall.ENOSPC}
		}
		return waltest.Fault{}
	})
	commitFloats(t, l, 2, 100)
	require.LessOrEqual(t, l.Stats().Segments, 2)
}

func TestAReadErrorIsReportedAndABadSectorDoesNotStopTheReader(t *testing.T) {
	fs, dir := new(waltest.FS), logDir(t)
	l := openLog(t, dir, wal.Options{FS: fs, SegmentBytes: 300})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 10; ts++ {
		commitFloats(t, l, 2, ts)
	}
	bad := filepath.Base(segments(t, dir)[1])
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpRead && filepath.Base(c.Name) == bad {
			return waltest.Fault{Err: syscall.EIO}
		}
		return waltest.Fault{}
	})
	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	defer r.Close()
	failures, lost, n := 0, uint64(0), 0
	for {
		rec, err := r.Next(v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			require.ErrorIs(t, err, syscall.EIO)
			failures++
			continue
		}
		n += rec.Samples
		lost += rec.Lost.Damaged
	}
	require.Equal(t, 3, failures)
	require.NotZero(t, lost)
	require.EqualValues(t, 20, uint64(n)+lost)
	require.Empty(t, v.Faults)
}

func TestAFailedSyncIsCountedAndTheFileIsNotTrustedAnyMore(t *testing.T) {
	fs, dir := new(waltest.FS), logDir(t)
	s := wal.NewSyncer(time.Millisecond)
	defer s.Close()
	l := openLog(t, dir, wal.Options{FS: fs, Syncer: s})
	holdBack(t, l)
	fs.Hook(failing(syscall.EIO, 0, waltest.OpSync))
	commitFloats(t, l, 1, 1)
	require.Eventually(t, func() bool { return l.Stats().WriteErrors > 0 }, 10*time.Second, time.Millisecond)
	fs.Hook(nil)
	commitFloats(t, l, 1, 2)
	require.Len(t, segments(t, dir), 2)
	require.NoError(t, l.Close())
}

func TestSyncEachCommitFailsTheCommitThatIsNotDurable(t *testing.T) {
	fs := new(waltest.FS)
	l := openLog(t, logDir(t), wal.Options{FS: fs, Sync: wal.SyncEachCommit})
	holdBack(t, l)
	want := commitFloats(t, l, 1, 1)
	fs.Hook(failing(syscall.EIO, 0, waltest.OpSync))
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, metric(0), 0, 2, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.ErrorIs(t, app.Commit(), syscall.EIO)
	fs.Hook(nil)
	want = append(want, commitFloats(t, l, 1, 3)...)
	v, lost := readAll(t, l)
	require.Zero(t, lost)
	require.Equal(t, want, v.Samples)
}

func TestASlowSyncDelaysNoCommit(t *testing.T) {
	fs := new(waltest.FS)
	s := wal.NewSyncer(time.Millisecond)
	l, err := wal.Open(logDir(t), wal.Options{FS: fs, Syncer: s})
	require.NoError(t, err)
	stuck, release := make(chan struct{}, 100), make(chan struct{})
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpSync {
			stuck <- struct{}{}
			<-release
		}
		return waltest.Fault{}
	})
	commitFloats(t, l, 1, 1)
	<-stuck
	commitFloats(t, l, 1, 2)
	v, lost := readAll(t, l)
	require.Len(t, v.Samples, 2)
	require.Zero(t, lost)
	close(release)
	require.NoError(t, l.Close())
	s.Close()
}

func TestFilesThatVanishOrAreEmptiedAreCounted(t *testing.T) {
	for name, damage := range map[string]func(name string) error{
		"deleted": os.Remove,
		"emptied": func(name string) error { return os.Truncate(name, 0) },
		"zeroed":  func(name string) error { return os.WriteFile(name, make([]byte, 290), 0o600) },
	} {
		for _, offline := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				dir := logDir(t)
				l := openLog(t, dir, wal.Options{SegmentBytes: 300})
				require.NoError(t, l.SaveCursor("e", l.Begin()))
				for ts := int64(1); ts <= 20; ts++ {
					commitFloats(t, l, 2, ts)
				}
				names := segments(t, dir)
				require.Greater(t, len(names), 4)
				if offline {
					require.NoError(t, l.Close())
				}
				for _, i := range []int{1, 3} {
					require.NoError(t, damage(names[i]))
				}
				if offline {
					l = openLog(t, dir, wal.Options{})
				}
				v, lost := readAll(t, l)
				require.Zero(t, lost.Truncated)
				require.NotZero(t, lost.Damaged)
				require.EqualValues(t, 40, uint64(len(v.Samples))+lost.Damaged)
			})
		}
	}
}

func TestACursorAheadOfTheDataKeepsSeqFromBeingUsedTwice(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	commitFloats(t, l, 3, 1)
	keep := l.End()
	commitFloats(t, l, 3, 2)
	require.NoError(t, l.SaveCursor("e", l.End()))
	require.NoError(t, l.Close())
	for name, lose := range map[string]func(name string) error{
		"tail": func(name string) error { return os.Truncate(name, keep.Offset) },
		"file": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := crash(t, dir)
			require.NoError(t, lose(segments(t, dir)[0]))
			l := openLog(t, dir, wal.Options{})
			require.EqualValues(t, 6, l.End().Seq)
			pos, known, err := l.Cursor("e")
			require.NoError(t, err)
			require.True(t, known)
			r, v := l.NewReader(pos), waltest.NewRecorder(l)
			defer r.Close()
			want := commitFloats(t, l, 2, 3)
			_, lost := drain(t, r, v)
			require.Zero(t, lost, "all before the cursor was acknowledged")
			require.Equal(t, want, v.Samples)
			require.EqualValues(t, 2, l.End().Segment, "numbers are not used twice")
		})
	}
}

func TestAPanicInTheMiddleOfACommitLeavesTheLogUsable(t *testing.T) {
	disk := &waltest.FS{}
	l := openLog(t, logDir(t), wal.Options{FS: disk})
	r := l.NewReader(l.Begin())
	defer r.Close()
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	commitFloats(t, l, 3, 1)
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpWrite {
			panic("a bug below the log")
		}
		return waltest.Fault{}
	})
	a := l.AppenderV2(t.Context())
	_, err := a.Append(0, metric(7), 0, 2, 1, nil, nil, noOptions)
	require.NoError(t, err)
	require.Panics(t, func() { _ = a.Commit() })

	disk.Hook(nil)
	commitFloats(t, l, 3, 3)
	n, lost := drain(t, r, waltest.NewRecorder(l))
	require.Equal(t, 6, n)
	require.Zero(t, lost)
	require.NoError(t, l.Close())
}

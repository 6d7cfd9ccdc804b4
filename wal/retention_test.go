package wal_test

import (
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

func TestASegmentGoesAtOnceWhenAllCursorsArePastIt(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, SegmentAge: time.Minute})
	require.NoError(t, l.SaveCursor("slow", l.Begin()))
	require.NoError(t, l.SaveCursor("fast", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
		require.NoError(t, l.SaveCursor("fast", l.End()))
		c.pass(time.Minute)
	}
	require.Equal(t, 20, l.Stats().Segments, "the slow endpoint needs them all")
	require.NoError(t, l.SaveCursor("slow", l.End()))
	require.Equal(t, 1, l.Stats().Segments, "nobody needs the others")
	require.NoError(t, l.RemoveCursor("slow"))
	require.Zero(t, l.Stats().SamplesTruncated)
}

func TestARemovedCursorIsNotWaitedFor(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{SegmentBytes: 300})
	require.NoError(t, l.SaveCursor("gone", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
	}
	many := l.Stats().Segments
	require.Greater(t, many, 3)
	require.NoError(t, l.RemoveCursor("gone"))
	require.Equal(t, many-1, l.Prune())
	require.Equal(t, 1, l.Stats().Segments, "the newest")
	require.Empty(t, l.Cursors())
}

func TestAClosedLogIsNotPruned(t *testing.T) {
	c, dir := newClock(), logDir(t)
	l, err := wal.Open(dir, wal.Options{Now: c.Now, SegmentBytes: 300, MaxAge: time.Hour})
	require.NoError(t, err)
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
	}
	require.NoError(t, l.Close())
	left := segments(t, dir)
	require.Greater(t, len(left), 3)
	c.pass(24 * time.Hour)
	require.Zero(t, l.Prune())
	require.Equal(t, left, segments(t, dir), "the directory may be another process' by now")
}

func TestAPruneThatALogIsClosedUnderWritesNothing(t *testing.T) {
	c, disk, dir := newClock(), new(waltest.FS), logDir(t)
	var l *wal.Log
	closing := false
	now := func() time.Time {
		if closing { // between the save and its prune
			closing = false
			disk.Hook(func(c waltest.Call) waltest.Fault {
				if c.Op == waltest.OpWrite && strings.HasSuffix(c.Name, ".cursor") {
					return waltest.Fault{Err: syscall.ENOSPC}
				}
				return waltest.Fault{}
			})
			require.Error(t, l.Close(), "the cursor is not written")
			disk.Hook(func(c waltest.Call) waltest.Fault {
				require.Fail(t, "the directory may be another process' by now", "%+v", c)
				return waltest.Fault{}
			})
		}
		return c.Now()
	}
	l, err := wal.Open(dir, wal.Options{Now: now, FS: disk, SegmentBytes: 300})
	require.NoError(t, err)
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
	}
	left := segments(t, dir)
	closing = true
	require.NoError(t, l.SaveCursor("e", l.End()))
	require.False(t, closing)
	disk.Hook(nil)
	require.Equal(t, left, segments(t, dir))
}

func TestTheFirstSaveOfACursorHoldsNobodyUpWhileTheDiskSyncs(t *testing.T) {
	for _, op := range []waltest.Op{waltest.OpSync, waltest.OpSyncDir} {
		disk, syncer := new(waltest.FS), wal.NewSyncer(time.Hour)
		t.Cleanup(syncer.Close)
		l := openLog(t, logDir(t), wal.Options{FS: disk, Syncer: syncer})
		commitFloats(t, l, 2, 1)
		require.NoError(t, l.SaveCursor("known", l.Begin()))
		asked := false
		disk.Hook(func(c waltest.Call) waltest.Fault {
			if c.Op != op || asked || op == waltest.OpSync && !strings.HasSuffix(c.Name, ".cursor") {
				return waltest.Fault{}
			}
			asked = true
			saved := make(chan error)
			go func() { saved <- l.SaveCursor("known", l.End()) }()
			select {
			case err := <-saved:
				require.NoError(t, err)
			case <-time.After(10 * time.Second):
				t.Error("who saves another cursor waits for the disk")
				go func() { <-saved }()
			}
			return waltest.Fault{}
		})
		require.NoError(t, l.SaveCursor("new", l.Begin()))
		require.True(t, asked)
		disk.Hook(nil)
	}
}

func TestACursorThatCanNotBeMadeDurableIsUnknown(t *testing.T) {
	disk := new(waltest.FS)
	l := openLog(t, logDir(t), wal.Options{FS: disk})
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpSync && strings.HasSuffix(c.Name, ".cursor") {
			return waltest.Fault{Err: syscall.EIO}
		}
		return waltest.Fault{}
	})
	require.ErrorIs(t, l.SaveCursor("e", l.Begin()), syscall.EIO)
	require.Empty(t, l.Cursors())
	disk.Hook(nil)
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	require.Len(t, l.Cursors(), 1)
}

func TestAnIdleLogShrinksToOneEmptySegmentAndKeepsItsSeq(t *testing.T) {
	c := newClock()
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{Now: c.Now})
	commitFloats(t, l, 10, 1)
	require.NoError(t, l.SaveCursor("e", l.End()))
	require.Zero(t, l.Prune(), "it may be in use")
	c.pass(10 * time.Minute)
	require.Equal(t, 1, l.Prune())
	require.Zero(t, l.Prune())
	require.Less(t, l.Stats().Bytes, int64(100))
	require.Equal(t, wal.Position{Segment: 2, Offset: 48, Seq: 10}, l.End())

	l = openLog(t, crash(t, dir), wal.Options{})
	require.EqualValues(t, 10, l.End().Seq)
	pos, _, err := l.Cursor("e")
	require.NoError(t, err)
	require.EqualValues(t, 10, pos.Seq)
	want := commitFloats(t, l, 1, 2)
	v := waltest.NewRecorder(l)
	r := l.NewReader(pos)
	defer r.Close()
	_, lost := drain(t, r, v)
	require.Equal(t, want, v.Samples)
	require.Zero(t, lost)
}

func TestWhatACapDropsIsCountedExactly(t *testing.T) {
	for name, o := range map[string]wal.Options{
		"bytes": {MaxBytes: 2000},
		"age":   {MaxAge: 10 * time.Minute, SegmentAge: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			o.Now = c.Now
			dir := logDir(t)
			l := openLog(t, dir, o)
			require.NoError(t, l.SaveCursor("e", l.Begin()))
			v := waltest.NewRecorder(l)
			r := l.NewReader(l.Begin())
			defer r.Close()
			for ts := int64(1); ts <= 5; ts++ {
				commitFloats(t, l, 3, ts)
			}
			read, lost := drain(t, r, v)
			for ts := int64(6); ts <= 100; ts++ {
				commitFloats(t, l, 3, ts)
				c.pass(time.Minute)
			}
			if o.MaxBytes > 0 {
				require.LessOrEqual(t, l.Stats().Bytes, o.MaxBytes+500)
			}
			n, more := drain(t, r, v)
			require.Zero(t, lost.Damaged+more.Damaged)
			require.NotZero(t, more.Truncated)
			require.EqualValues(t, 300, uint64(read+n)+lost.Truncated+more.Truncated)
			require.Equal(t, l.Begin().Seq, l.Stats().SamplesTruncated)

			again := openLog(t, crash(t, dir), o) // with a cursor that is far behind
			pos, _, err := again.Cursor("e")
			require.NoError(t, err)
			r2 := again.NewReader(pos)
			defer r2.Close()
			n, more = drain(t, r2, waltest.NewRecorder(l))
			require.EqualValues(t, 300, uint64(n)+more.Truncated)
		})
	}
}

func TestTheAgeCapHoldsInAnIdleLogToo(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, MaxAge: time.Hour})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	commitFloats(t, l, 3, 1)
	r := l.NewReader(l.Begin())
	defer r.Close()
	c.pass(time.Hour)
	require.Equal(t, 1, l.Prune())
	n, lost := drain(t, r, waltest.NewRecorder(l))
	require.Zero(t, n)
	require.Equal(t, wal.Lost{Truncated: 3}, lost)
}

func TestCursorsSurviveAndAreKnown(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	_, known, err := l.Cursor("a")
	require.NoError(t, err)
	require.False(t, known)
	for ts := int64(1); ts < 10; ts++ {
		commitFloats(t, l, 1, ts)
		for _, id := range []string{"a", "https://user@host/path?x=ä"} {
			require.NoError(t, l.SaveCursor(id, l.End()))
		}
		if ts%2 == 0 {
			require.NoError(t, l.Close())
			l = openLog(t, dir, wal.Options{})
		}
	}
	end := l.End()
	require.NoError(t, l.Close())
	l = openLog(t, dir, wal.Options{})
	require.Equal(t, []wal.Cursor{{ID: "a", Position: end}, {ID: "https://user@host/path?x=ä", Position: end}}, l.Cursors())
	require.Error(t, l.SaveCursor("a", wal.Position{Segment: 99, Seq: 1}), "it is not in the log")
}

func TestADamagedCursorIsKnownAtTheBeginning(t *testing.T) {
	for _, at := range []int64{0, 20, 520, 1024, 1032} {
		dir := logDir(t)
		l := openLog(t, dir, wal.Options{})
		commitFloats(t, l, 3, 1)
		require.NoError(t, l.SaveCursor("e", l.Begin())) // generation 1: slot at 512
		require.NoError(t, l.SaveCursor("e", l.End()))
		begin, end := l.Begin(), l.End()
		require.NoError(t, l.Close())
		names, err := filepath.Glob(filepath.Join(dir, "*.cursor"))
		require.NoError(t, err)
		flip(t, names[0], at)

		l = openLog(t, dir, wal.Options{})
		pos, known, err := l.Cursor("e")
		require.NoError(t, err)
		require.True(t, known)
		want := begin
		if at == 520 {
			want = end // only the older slot is damaged
		}
		require.Equal(t, want, pos, "damage at %d", at)
		require.NoError(t, l.SaveCursor("e", end))
		require.NoError(t, l.Close())
		l = openLog(t, dir, wal.Options{})
		require.Equal(t, []wal.Cursor{{ID: "e", Position: end}}, l.Cursors(), "a save repairs it")
	}
}

func flip(t testing.TB, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[at] ^= 0x10
	require.NoError(t, os.WriteFile(name, b, 0o600))
}

func TestRetentionCanBeChangedWhileTheLogIsOpen(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, MaxAge: 24 * time.Hour})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	commitFloats(t, l, 3, 1)
	c.pass(time.Hour)
	require.Zero(t, l.Prune())
	l.SetRetention(wal.Retention{MaxAge: time.Hour})
	require.Equal(t, 1, l.Prune())
	require.EqualValues(t, 3, l.Stats().SamplesTruncated)
}

func TestTheProgressOfACursorSurvivesAKill(t *testing.T) {
	dir := logDir(t)
	syncer := wal.NewSyncer(time.Hour)
	t.Cleanup(syncer.Close)
	l := openLog(t, dir, wal.Options{Syncer: syncer})
	commitFloats(t, l, 1, 1)
	require.NoError(t, l.SaveCursor("a", l.Begin()))
	require.NoError(t, l.SaveProgress("a", l.End(), []byte("half")))
	require.NoError(t, l.SaveProgress("a", l.End(), []byte("all")))
	require.Error(t, l.SaveProgress("a", l.End(), make([]byte, wal.MaxProgress+1)))
	end := l.End()
	again := openLog(t, crash(t, dir), wal.Options{})
	pos, known, err := again.Cursor("a")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, end, pos)
	require.Equal(t, []byte("all"), again.Progress("a"))
	require.NoError(t, again.SaveCursor("a", end))
	require.Empty(t, again.Progress("a"), "a plain cursor has none")
}

func TestAProgressThatCouldNotBeWrittenIsWrittenWhenItIsSavedAgain(t *testing.T) {
	fs, dir := new(waltest.FS), logDir(t)
	syncer := wal.NewSyncer(time.Hour)
	t.Cleanup(syncer.Close)
	l := openLog(t, dir, wal.Options{FS: fs, Syncer: syncer})
	commitFloats(t, l, 1, 1)
	require.NoError(t, l.SaveCursor("a", l.Begin()))
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if strings.HasSuffix(c.Name, ".cursor") {
			return waltest.Fault{Err: syscall.EMFILE}
		}
		return waltest.Fault{}
	})
	require.Error(t, l.SaveProgress("a", l.Begin(), []byte("begun")))
	fs.Hook(nil)
	require.NoError(t, l.SaveProgress("a", l.Begin(), []byte("begun")))
	again := openLog(t, crash(t, dir), wal.Options{})
	require.Equal(t, []byte("begun"), again.Progress("a"))
}

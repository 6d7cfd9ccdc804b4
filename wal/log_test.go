package wal_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

func TestWhatIsCommittedIsReadOnceAndInOrder(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	want := append(commitFloats(t, l, 3, 1000), commitFloats(t, l, 5, 2000)...)
	v, lost := readAll(t, l)
	require.Equal(t, want, v.Samples)
	require.Zero(t, lost)
	require.EqualValues(t, 8, l.End().Seq)
}

func TestAReaderAtTheEndSeesLaterCommits(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	defer r.Close()
	_, err := r.Next(v)
	require.ErrorIs(t, err, io.EOF)
	for ts := int64(1); ts < 5; ts++ {
		want := commitFloats(t, l, 2, ts)
		v.Samples = nil
		rec, err := r.Next(v)
		require.NoError(t, err)
		require.Equal(t, want, v.Samples)
		require.Equal(t, l.End(), rec.End)
		_, err = r.Next(v)
		require.ErrorIs(t, err, io.EOF)
	}
}

func TestAKilledProcessLosesNothingAndNeverAppendsToItsOldSegment(t *testing.T) {
	dir := logDir(t)
	var want []waltest.Sample
	for generation := range 4 {
		l := openLog(t, dir, wal.Options{})
		holdBack(t, l)
		require.EqualValues(t, len(want), l.End().Seq)
		want = append(want, commitFloats(t, l, 3, int64(generation+1)*1000)...)
		require.Len(t, segments(t, dir), generation+1)
		dir = crash(t, dir)
	}
	l := openLog(t, dir, wal.Options{})
	v, lost := readAll(t, l)
	require.Equal(t, want, v.Samples)
	require.Zero(t, lost)
}

func TestAReaderThatStartsInsideASegmentKnowsItsSeries(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	commitFloats(t, l, 3, 1000)
	from := l.End()
	want := commitFloats(t, l, 3, 2000)
	require.NoError(t, l.SaveCursor("e", from))
	l = openLog(t, crash(t, dir), wal.Options{})
	pos, known, err := l.Cursor("e")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, from, pos)
	v := waltest.NewRecorder(l)
	r := l.NewReader(pos)
	defer r.Close()
	n, lost := drain(t, r, v)
	require.Equal(t, 3, n)
	require.Zero(t, lost)
	require.Equal(t, want, v.Samples)
}

func TestSeekGoesBackAndDeliversAgain(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{SegmentBytes: 300})
	holdBack(t, l)
	var want []waltest.Sample
	for ts := int64(1); ts <= 20; ts++ {
		want = append(want, commitFloats(t, l, 2, ts)...)
	}
	v := waltest.NewRecorder(l)
	r := l.NewReader(l.Begin())
	defer r.Close()
	drain(t, r, v)
	require.Equal(t, want, v.Samples)
	v.Samples = nil
	r.Seek(l.Begin())
	drain(t, r, v)
	require.Equal(t, want, v.Samples)
}

func TestADirectoryHasOneLog(t *testing.T) {
	dir := logDir(t)
	s := wal.NewSyncer(time.Second)
	defer s.Close()
	l, err := wal.Open(dir, wal.Options{Syncer: s})
	require.NoError(t, err)
	_, err = wal.Open(dir, wal.Options{Syncer: s})
	require.ErrorIs(t, err, wal.ErrLocked)
	_, err = wal.Open(dir, wal.Options{}) // as another process would, with its own lock file handle
	require.ErrorIs(t, err, wal.ErrLocked)
	beside := openLog(t, dir+"2", wal.Options{})
	require.NoError(t, beside.Close())
	require.NoError(t, l.Close())
	require.NoError(t, openLog(t, dir, wal.Options{}).Close())
}

// The two names have the same FNV-1a: users choose names, and one must not be able to choose a
// neighbour's lock.
func TestNamesThatWereChosenToCollideHaveLocksOfTheirOwn(t *testing.T) {
	parent := t.TempDir()
	s := wal.NewSyncer(time.Second)
	defer s.Close()
	for _, other := range []*wal.Syncer{s, nil} {
		first, err := wal.Open(filepath.Join(parent, "3vhz2mxdrorx4xwp0gv4"), wal.Options{Syncer: s})
		require.NoError(t, err)
		second, err := wal.Open(filepath.Join(parent, "prod-billing"), wal.Options{Syncer: other})
		require.NoError(t, err)
		require.NoError(t, second.Close())
		require.NoError(t, first.Close())
	}
}

func TestAReadOnlyDirectoryIsRefusedWithAnExplanation(t *testing.T) {
	fs := new(waltest.FS)
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpCreate {
			return waltest.Fault{Err: &os.PathError{Op: "open", Path: c.Name, Err: syscall.EROFS}}
		}
		return waltest.Fault{}
	})
	dir := t.TempDir()
	_, err := wal.Open(dir, wal.Options{FS: fs})
	require.ErrorIs(t, err, syscall.EROFS)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "must be writable")
}

func TestADirectoryThatOpenHasMadeIsNotTried(t *testing.T) {
	fs := new(waltest.FS)
	made := 0
	fs.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpCreate {
			made++
		}
		return waltest.Fault{}
	})
	l := openLog(t, logDir(t), wal.Options{FS: fs})
	require.Zero(t, made, "a file costs a start more than all the rest of it")
	commitFloats(t, l, 1, 1)
	require.NotZero(t, made)
}

func TestAClosedLogSaysSo(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	app := l.AppenderV2(t.Context())
	_, err := app.Append(0, metric(0), 0, 1, 1, nil, nil, noOptions)
	require.NoError(t, err)
	r := l.NewReader(l.Begin())
	require.NoError(t, l.Close())
	require.ErrorIs(t, app.Commit(), wal.ErrClosed)
	_, err = r.Next(waltest.NewRecorder(l))
	require.ErrorIs(t, err, wal.ErrClosed)
	require.ErrorIs(t, l.SaveCursor("e", wal.Position{}), wal.ErrClosed)
	require.NoError(t, l.Close())
}

func TestRemoveLeavesNothing(t *testing.T) {
	dir := logDir(t)
	l := openLog(t, dir, wal.Options{})
	commitFloats(t, l, 1, 1)
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	require.NoError(t, l.Remove())
	require.NoDirExists(t, dir)
}

func TestAnIdleLogHoldsNoFileOpen(t *testing.T) {
	dir := logDir(t)
	s := wal.NewSyncer(time.Millisecond)
	defer s.Close()
	l := openLog(t, dir, wal.Options{Syncer: s})
	r := l.NewReader(l.Begin())
	defer r.Close()
	commitFloats(t, l, 1, 1)
	v := waltest.NewRecorder(l)
	drain(t, r, v)
	require.NoError(t, l.SaveCursor("e", l.End()))
	require.Eventually(t, func() bool { return openFilesIn(t, dir) == 0 }, 10*time.Second, time.Millisecond)
	commitFloats(t, l, 1, 2)
	n, _ := drain(t, r, v)
	require.Equal(t, 1, n)
	require.Len(t, segments(t, dir), 1, "a closed segment is opened again, not replaced")
	require.NoError(t, l.Close())
}

func openFilesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("open files are counted in /proc: run this test on Linux")
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && filepath.Dir(to) == dir {
			n++
		}
	}
	return n
}

func TestOnCommitIsCalledForWhatWasWritten(t *testing.T) {
	commits := 0
	l := openLog(t, logDir(t), wal.Options{OnCommit: func() { commits++ }})
	require.NoError(t, l.AppenderV2(t.Context()).Commit())
	require.Zero(t, commits)
	commitFloats(t, l, 1, 1)
	require.Equal(t, 1, commits)
}

func TestStatsCount(t *testing.T) {
	l := openLog(t, logDir(t), wal.Options{})
	commitFloats(t, l, 3, 1)
	commitFloats(t, l, 3, 2)
	s := l.Stats()
	require.Equal(t, 3, s.ActiveSeries)
	require.EqualValues(t, 6, s.SamplesAppended)
	require.EqualValues(t, 2, s.RecordsWritten)
	require.Equal(t, 1, s.Segments)
	require.Equal(t, l.End().Offset, s.Bytes)
	require.Zero(t, s.WriteErrors)
}

// What a neighbour or an administrator put under a log's name is not touched, nor what it leads to.
func TestALogIsADirectoryOfTheAgentsOwn(t *testing.T) {
	elsewhere := t.TempDir()
	precious := filepath.Join(elsewhere, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("x"), 0o600))
	parent := t.TempDir()
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(parent, "link")))
	require.NoError(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o600))
	_, err := wal.Open(filepath.Join(parent, "link"), wal.Options{})
	require.ErrorContains(t, err, "symbolic link")
	_, err = wal.Open(filepath.Join(parent, "file"), wal.Options{})
	require.ErrorContains(t, err, "no directory")
	if os.Geteuid() == 0 {
		require.NoError(t, os.Mkdir(filepath.Join(parent, "theirs"), 0o700))
		require.NoError(t, os.Chown(filepath.Join(parent, "theirs"), 12345, 12345))
		_, err = wal.Open(filepath.Join(parent, "theirs"), wal.Options{})
		require.ErrorContains(t, err, "belongs to the user 12345")
	}
	left, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestADirectoryOfLogsHasOneAgent(t *testing.T) {
	parent := t.TempDir()
	release, err := wal.Own(parent)
	require.NoError(t, err)
	_, err = wal.Own(parent)
	require.ErrorIs(t, err, wal.ErrLocked)
	require.NoError(t, openLog(t, filepath.Join(parent, "app"), wal.Options{}).Close(), "its logs are its own")
	release()
	release, err = wal.Own(parent)
	require.NoError(t, err)
	release()
}

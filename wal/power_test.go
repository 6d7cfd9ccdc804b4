package wal_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// What an endpoint has acknowledged goes by whole segments. After a loss of power the cursor must
// not point into one that is gone: what was delivered would be counted as lost.
func TestALossOfPowerTakesNothingThatWasSentForLost(t *testing.T) {
	for name, save := range map[string]func(l *wal.Log, p wal.Position) error{
		"position": func(l *wal.Log, p wal.Position) error { return l.SaveCursor("e", p) },
		"progress": func(l *wal.Log, p wal.Position) error { return l.SaveProgress("e", p, []byte("lanes")) },
	} {
		t.Run(name, func(t *testing.T) {
			disk, dir := &waltest.Memory{}, logDir(t)
			syncer := wal.NewSyncer(time.Hour) // flushes nothing before the power is gone
			defer syncer.Close()
			o := wal.Options{FS: disk, Syncer: syncer, Sync: wal.SyncEachCommit, SegmentBytes: 300}
			l, err := wal.Open(dir, o)
			require.NoError(t, err)
			require.NoError(t, l.SaveCursor("e", l.Begin()))
			for ts := int64(1); ts <= 20; ts++ {
				commitFloats(t, l, 2, ts)
			}
			require.Greater(t, l.Stats().Segments, 4)
			sent := l.End()
			require.NoError(t, save(l, sent))
			require.Equal(t, 1, l.Stats().Segments, "all was sent")

			after := losePower(t, disk, l, o)
			at, known, err := after.Cursor("e")
			require.NoError(t, err)
			require.True(t, known)
			v := waltest.NewRecorder(after)
			r := after.NewReader(at)
			defer r.Close()
			n, lost := drain(t, r, v)
			require.Zero(t, lost, "all of it was sent")
			require.EqualValues(t, sent.Seq-at.Seq, n)
		})
	}
}

// losePower opens the log of a machine whose power was cut, after which nothing of l matters.
func losePower(t *testing.T, disk *waltest.Memory, l *wal.Log, o wal.Options) *wal.Log {
	t.Helper()
	dir := l.Dir()
	left := disk.AfterPowerLoss()
	require.NoError(t, l.Close())
	o.FS = left
	return openLog(t, dir, o)
}

func TestALossOfPowerTakesACursorBackByTheIntervalOfTheSyncerAtMost(t *testing.T) {
	for _, logs := range []int{1, 20} { // file by file, and by one call for all
		t.Run(fmt.Sprint(logs), func(t *testing.T) {
			disk, parent := &waltest.Memory{}, t.TempDir()
			syncer := wal.NewSyncer(time.Millisecond)
			defer syncer.Close()
			o := wal.Options{FS: disk, Syncer: syncer}
			var all []*wal.Log
			var sent []wal.Position
			for i := range logs {
				l, err := wal.Open(filepath.Join(parent, fmt.Sprint(i)), o)
				require.NoError(t, err)
				require.NoError(t, l.SaveCursor("e", l.Begin()))
				commitFloats(t, l, 1, 1)
				require.NoError(t, l.SaveProgress("e", l.End(), []byte("lanes")))
				all, sent = append(all, l), append(sent, l.End())
			}
			require.Eventually(t, func() bool { return syncer.OldestUnsynced() == 0 }, time.Minute, time.Millisecond)
			left := disk.AfterPowerLoss()
			for i, l := range all {
				require.NoError(t, l.Close())
				after := openLog(t, l.Dir(), wal.Options{FS: left, Syncer: syncer})
				at, _, err := after.Cursor("e")
				require.NoError(t, err)
				require.Equal(t, sent[i], at)
				require.Equal(t, "lanes", string(after.Progress("e")))
			}
		})
	}
}

func TestASegmentStaysWhileTheDiskDoesNotKnowThatItWasSent(t *testing.T) {
	disk := new(waltest.FS)
	syncer := wal.NewSyncer(time.Hour)
	defer syncer.Close()
	l := openLog(t, logDir(t), wal.Options{FS: disk, Syncer: syncer, SegmentBytes: 300})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
	}
	many := l.Stats().Segments
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpSync && strings.HasSuffix(c.Name, ".cursor") {
			return waltest.Fault{Err: syscall.EIO}
		}
		return waltest.Fault{}
	})
	require.NoError(t, l.SaveProgress("e", l.End(), nil))
	require.Equal(t, many, l.Stats().Segments)
	require.NotZero(t, l.Stats().WriteErrors)
	disk.Hook(nil)
	require.Equal(t, many-1, l.Prune(), "the next attempt")
	require.Zero(t, l.Stats().SamplesTruncated)
}

// A commit waits for no sync, also not for that of a cursor before segments are removed.
func TestASlowSyncOfACursorDelaysNoCommit(t *testing.T) {
	disk := new(waltest.FS)
	syncer := wal.NewSyncer(time.Hour)
	defer syncer.Close()
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{FS: disk, Syncer: syncer, SegmentBytes: 300, Now: c.Now})
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	for ts := int64(1); ts <= 20; ts++ {
		commitFloats(t, l, 2, ts)
	}
	stuck, release := make(chan struct{}), make(chan struct{})
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpSync {
			close(stuck)
			<-release
		}
		return waltest.Fault{}
	})
	saved := make(chan error, 1)
	go func() { saved <- l.SaveProgress("e", l.End(), nil) }()
	select {
	case <-stuck:
	case err := <-saved:
		require.FailNow(t, "what was sent went without a sync", err)
	}
	for ts := int64(21); ts <= 40; ts++ {
		c.pass(time.Minute)
		commitFloats(t, l, 2, ts)
	}
	require.Greater(t, l.Stats().Segments, 4, "what the disk does not know stays")
	disk.Hook(nil)
	close(release)
	require.NoError(t, <-saved)
}

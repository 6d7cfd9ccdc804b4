package wal_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

func TestTheWindowOfAPowerLossDoesNotGrowWithTheNumberOfLogs(t *testing.T) {
	for name, together := range map[string]bool{"one call for all": true, "file by file": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const logs = 800
				disk, syncer, parent := new(waltest.FS), wal.NewSyncer(time.Second), t.TempDir()
				var all []*wal.Log
				for i := range logs {
					l, err := wal.Open(filepath.Join(parent, fmt.Sprint(i)), wal.Options{FS: disk, Syncer: syncer})
					require.NoError(t, err)
					all = append(all, l)
				}
				var calls atomic.Int64
				disk.Hook(func(c waltest.Call) waltest.Fault {
					switch {
					case c.Op == waltest.OpSyncFS && !together:
						return waltest.Fault{Err: errors.ErrUnsupported}
					case c.Op == waltest.OpSyncFS, c.Op == waltest.OpSync:
						calls.Add(1)
						<-time.After(5 * time.Millisecond)
					}
					return waltest.Fault{}
				})
				var oldest time.Duration
				for ts := range int64(4) {
					for _, l := range all {
						commitFloats(t, l, 1, ts)
					}
					for range 10 {
						<-time.After(100 * time.Millisecond)
						oldest = max(oldest, syncer.OldestUnsynced())
					}
				}
				require.NotZero(t, oldest)
				require.LessOrEqual(t, oldest, 1300*time.Millisecond)
				if together {
					require.LessOrEqual(t, calls.Load(), int64(5))
				}
				for syncer.OldestUnsynced() > 0 { // a flush that waits for time would hold up Close
					<-time.After(100 * time.Millisecond)
				}
				for _, l := range all {
					require.NoError(t, l.Close())
				}
				syncer.Close()
			})
		})
	}
}

func TestWhenSyncingTogetherFailsEachLogLearnsItsOwnErrors(t *testing.T) {
	disk, syncer, parent := new(waltest.FS), wal.NewSyncer(time.Millisecond), t.TempDir()
	defer syncer.Close()
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpSyncFS || c.Op == waltest.OpSync && filepath.Base(filepath.Dir(c.Name)) == "7" {
			return waltest.Fault{Err: errors.New("lost a page")}
		}
		return waltest.Fault{}
	})
	var all []*wal.Log
	for i := range 20 {
		all = append(all, openLog(t, filepath.Join(parent, fmt.Sprint(i)), wal.Options{FS: disk, Syncer: syncer}))
	}
	var writers sync.WaitGroup
	for _, l := range all {
		writers.Go(func() {
			app := l.AppenderV2(t.Context())
			_, err := app.Append(0, metric(1), 0, 1, 1, nil, nil, storage.AOptions{})
			if err = errors.Join(err, app.Commit()); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	require.Eventually(t, func() bool { return all[7].Stats().WriteErrors > 0 && syncer.OldestUnsynced() == 0 }, 10*time.Second, time.Millisecond)
	disk.Hook(nil)
	for i, l := range all {
		if i != 7 {
			require.Zero(t, l.Stats().WriteErrors)
		}
	}
}

func TestTheNameOfTheDirectoryIsMadeDurableOnce(t *testing.T) {
	for _, policy := range []wal.SyncPolicy{wal.SyncInterval, wal.SyncEachCommit} {
		disk := new(waltest.FS)
		dir := logDir(t)
		parents := 0
		disk.Hook(func(c waltest.Call) waltest.Fault {
			if c.Op == waltest.OpSyncDir && c.Name == filepath.Dir(dir) {
				parents++
			}
			return waltest.Fault{}
		})
		l, err := wal.Open(dir, wal.Options{FS: disk, Sync: policy, SegmentBytes: 100})
		require.NoError(t, err)
		for ts := range int64(5) {
			commitFloats(t, l, 3, ts)
		}
		require.NoError(t, l.Close())
		require.Equal(t, 1, parents)
	}
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/wal"
)

const (
	// pruneInterval is how late the cap on age may be in a log into which nothing is committed.
	pruneInterval = time.Minute
	// DefaultOrphanAge is how long a log without a config is kept. It is wal_cleanup_age of Grafana
	// Agent.
	DefaultOrphanAge = 12 * time.Hour
)

// Upkeep keeps the logs within their caps also where nothing is committed or sent, and removes
// orphans: logs whose config is gone, after they were left alone for OrphanAge. wanted says whether
// a config of that name is known; unknown is an error, and then nothing is removed. It returns when
// ctx is over.
func (f *Factory) Upkeep(ctx context.Context, wanted func(ctx context.Context) (names map[string]bool, err error)) {
	ticker := time.NewTicker(pruneInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.logs.prune()
			began := time.Now()
			err := f.removeOrphans(ctx, wanted)
			f.cleaner.managed.Set(float64(len(f.logs.names())))
			f.cleaner.seconds.Observe(time.Since(began).Seconds())
			if err != nil {
				f.cleaner.errors.Inc()
				f.options.Logger.Warn("cannot check for orphaned WALs", zap.Error(err))
			}
		}
	}
}

// removeOrphans gives up logs that nobody will send any more.
func (f *Factory) removeOrphans(ctx context.Context, wanted func(context.Context) (map[string]bool, error)) error {
	entries, err := os.ReadDir(f.options.WALDirectory)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	var candidates []string
	for _, entry := range entries {
		if entry.IsDir() && f.leftAlone(filepath.Join(f.options.WALDirectory, entry.Name())) {
			candidates = append(candidates, entry.Name())
		}
	}
	if len(candidates) == 0 {
		f.cleaner.abandoned.Set(0)
		return nil
	}
	names, err := wanted(ctx)
	if err != nil {
		return fmt.Errorf("list configs: %w", err)
	}
	kept := make(map[string]bool, len(names))
	for name := range names {
		kept[config.DirectoryName(name)] = true
	}
	var problems []error
	abandoned := 0
	for _, candidate := range candidates {
		if !kept[candidate] {
			abandoned++
			problems = append(problems, f.removeOrphan(filepath.Join(f.options.WALDirectory, candidate)))
		}
	}
	f.cleaner.abandoned.Set(float64(abandoned))
	return errors.Join(problems...)
}

// leftAlone reports whether a directory is a log in which nothing was written for OrphanAge. What
// else there may be below the WAL directory, such as the logs of Grafana Agent, is not ours to
// remove.
func (f *Factory) leftAlone(directory string) bool {
	if ours, err := wal.IsLog(directory); err != nil || !ours {
		return false
	}
	newest := time.Time{}
	err := filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return err
	})
	return err == nil && time.Since(newest) >= f.options.OrphanAge
}

// removeOrphan opens the log to be sure that nobody else has it, and to count what is lost with it.
func (f *Factory) removeOrphan(directory string) error {
	f.looking.Lock()
	defer f.looking.Unlock()
	log, err := wal.Open(directory, wal.Options{FS: f.options.FS, Syncer: f.syncer})
	if errors.Is(err, wal.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	f.options.Logger.Warn("removed the WAL of a deleted config", zap.String("directory", directory),
		zap.Uint64("samples_lost", unsentIn(log)), zap.Duration("age", f.options.OrphanAge))
	if err := log.Remove(); err != nil {
		return err
	}
	f.cleaner.removed.Inc()
	return nil
}

package pipeline

import (
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// Leftovers returns those of the units that have a log here in which something was not sent, and
// that is not open. To send it, open the unit's pipeline, drain it without starting it, and close
// it. The log of one of the units in which everything was sent is removed: ask about units that run
// elsewhere only. slices is how many slices each config has: slices beyond that, which the config
// once had, are looked for too, except for names that are too long for a directory. It lists the
// WAL directory once, and looks into nothing but the logs of these units.
func (f *Factory) Leftovers(units []messages.Unit, slices map[string]int) []messages.Unit {
	entries, err := os.ReadDir(f.options.WALDirectory)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			f.options.Logger.Warn("cannot list the WALs of units that run on other nodes", zap.Error(err))
		}
		return nil
	}
	directories := make(map[string]bool, len(entries))
	for _, entry := range entries {
		directories[entry.Name()] = entry.IsDir()
	}
	open := f.logs.names()
	var found []messages.Unit
	asked := map[messages.Unit]bool{}
	for _, unit := range append(surplus(directories, slices), units...) {
		if asked[unit] {
			continue
		}
		asked[unit] = true
		if key := unit.Key(); open[key] || !directories[config.DirectoryName(key)] {
			continue
		}
		unsent, err := f.settleLog(f.directory(unit.Key()))
		if err != nil {
			f.options.Logger.Warn("cannot read the WAL of a unit that runs on another node", zap.String("instance", unit.Key()), zap.Error(err))
		}
		if unsent {
			found = append(found, unit)
		}
	}
	return found
}

// surplus are the units that have a directory and whose config has not so many slices.
func surplus(directories map[string]bool, slices map[string]int) (units []messages.Unit) {
	for name, isDirectory := range directories {
		key, ok := config.NameOfDirectory(name)
		if !ok || !isDirectory {
			continue
		}
		unit, ok := messages.ParseUnit(key)
		if n, known := slices[unit.Config]; ok && known && unit.Slice >= n {
			units = append(units, unit)
		}
	}
	return units
}

// settleLog reports whether there is something to send in a log that nobody has open; if there is
// nothing, it is removed. A directory that is no log, or is not ours, stays as it is.
func (f *Factory) settleLog(directory string) (unsent bool, err error) {
	f.looking.Lock()
	defer f.looking.Unlock()
	if ours, err := wal.IsLog(directory); err != nil || !ours {
		return false, err
	}
	log, err := wal.Open(directory, wal.Options{FS: f.options.FS, Syncer: f.syncer})
	if errors.Is(err, wal.ErrLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if unsentIn(log) > 0 {
		return true, log.Close()
	}
	if err := log.Remove(); err != nil {
		return false, fmt.Errorf("remove log that was sent: %w", err)
	}
	return false, nil
}

// unsentIn is how many samples the endpoint that is behind most has not sent.
func unsentIn(log *wal.Log) (unsent uint64) {
	end := log.End().Seq
	for _, cursor := range log.Cursors() {
		unsent = max(unsent, end-cursor.Seq)
	}
	return unsent
}

package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	// probeFile is written and removed by Probe. Two processes never have one WAL directory.
	probeFile = ".probe"
	// probeBytes is the room that a log needs at least for its next records.
	probeBytes = 64 << 10
)

// Probe tries what every instance needs of its node: a file descriptor, and room to write where the
// logs are. What it writes is gone before the system has carried it to the disk, as a rule. An
// error is a fault of the node and of no config.
func (f *Factory) Probe() error {
	path := filepath.Join(f.options.WALDirectory, probeFile)
	if err := os.MkdirAll(f.options.WALDirectory, 0o700); err != nil {
		return fmt.Errorf("make the WAL directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("try to write where the logs are: %w", err)
	}
	_, err = file.Write(make([]byte, probeBytes))
	if err = errors.Join(err, file.Close(), os.Remove(path)); err != nil {
		return fmt.Errorf("try to write where the logs are: %w", err)
	}
	return nil
}

package pipeline_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/pipeline"
)

func TestAProbeOfTheNodeFailsWhereNothingCanBeWrittenAndLeavesNothing(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "data")
	f, err := pipeline.NewFactory(pipeline.Options{WALDirectory: directory, Logger: zap.NewNop()})
	require.NoError(t, err)
	require.NoError(t, f.Probe(), "the directory is made")
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	require.Empty(t, entries)

	require.NoError(t, os.Remove(directory))
	require.NoError(t, os.WriteFile(directory, nil, 0o600))
	require.ErrorIs(t, f.Probe(), syscall.ENOTDIR)
}

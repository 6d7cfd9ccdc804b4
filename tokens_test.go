package ringmaster

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// logTo is a logger whose lines end up in out.
func logTo(out *bytes.Buffer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(out), zapcore.InfoLevel))
}

func TestTokensAreKeptOverARestart(t *testing.T) {
	path, log := TokensPath(filepath.Join(t.TempDir(), "wal")), &bytes.Buffer{}
	tokens := OwnTokens(path, "a", 128, logTo(log))
	require.Len(t, tokens, 128)
	require.True(t, slices.IsSorted(tokens))
	require.Equal(t, tokens, OwnTokens(path, "a", 128, logTo(log)))
	require.Empty(t, log.String())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")
}

func TestAnotherNumberOfTokensKeepsWhatItCan(t *testing.T) {
	path := TokensPath(t.TempDir())
	before := OwnTokens(path, "a", 64, zap.NewNop())
	more := OwnTokens(path, "a", 128, zap.NewNop())
	require.Len(t, more, 128)
	require.Subset(t, more, before)
	fewer := OwnTokens(path, "a", 16, zap.NewNop())
	require.Len(t, fewer, 16)
	require.Subset(t, more, fewer)
	require.NotEqual(t, more[:16], fewer, "the lowest would leave the rest of the ring to others")
	require.Equal(t, fewer, OwnTokens(path, "a", 16, zap.NewNop()))
}

func TestTokensThatCannotBeUsedAreReplacedWithAWarning(t *testing.T) {
	for name, c := range map[string]struct{ text, reason string }{
		"damaged":        {`{"tokens":[1,`, "damaged"},
		"not tokens":     {`{"tokens":["x"]}`, "damaged"},
		"too large":      {`{"tokens":[4294967296]}`, "damaged"},
		"empty":          {`{}`, "has none"},
		"double":         {`{"tokens":[7,7]}`, "twice"},
		"another node's": {`{"node":"b","tokens":[1,2]}`, `node \"b\"`},
	} {
		path, log := filepath.Join(t.TempDir(), "tokens.json"), &bytes.Buffer{}
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		tokens := OwnTokens(path, "a", 2, logTo(log))
		require.Len(t, tokens, 2, name)
		require.Contains(t, log.String(), c.reason, name)
		require.Contains(t, log.String(), path, name)
		require.Equal(t, tokens, OwnTokens(path, "a", 2, zap.NewNop()), name)
	}
}

func TestTokensOfGrafanaAgentAreTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"tokens":[9,3]}`), 0o600))
	require.Equal(t, []uint32{3, 9}, OwnTokens(path, "a", 2, zap.NewNop()))
}

func TestANodeWorksWithTokensThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	log := &bytes.Buffer{}
	require.Len(t, OwnTokens(filepath.Join(file, "tokens.json"), "a", 4, logTo(log)), 4)
	require.Contains(t, log.String(), "cannot save this node's ring tokens")
}

func TestTokensAreNeverTakenForALog(t *testing.T) {
	directory := t.TempDir()
	path := TokensPath(directory)
	OwnTokens(path, "a", 1, zap.NewNop())
	taken, err := wal.IsLog(filepath.Dir(path))
	require.NoError(t, err)
	require.False(t, taken)
	for _, name := range []string{".ring", "ring", "%2ering"} {
		require.NotEqual(t, filepath.Base(filepath.Dir(path)), config.DirectoryName(name))
	}
}

package configsync_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/configsync"
)

func TestAFileIsToldEverythingThatIsWrongWithIt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"t1", "t\u200b1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("name: bogus\nfoo: 1\n"), 0o600))
	}
	files, err := configsync.ReadDirectory(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		require.ErrorContains(t, f.Err, "foo: unknown key")
		require.ErrorContains(t, f.Err, `the text says "bogus", but the config is uploaded as`)
	}
	require.ErrorContains(t, files[1].Err, "the name has a character that is not seen")
}

package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestABrokenFileTellsEverythingAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/broken.yaml")
	require.NoError(t, err)
	_, err = LoadAgent("agent.yaml", text, LoadOptions{})
	var errs Errors
	require.ErrorAs(t, err, &errs)
	if *update {
		require.NoError(t, os.WriteFile("testdata/broken.golden", []byte(err.Error()+"\n"), 0o644))
	}
	golden, readErr := os.ReadFile("testdata/broken.golden")
	require.NoError(t, readErr)
	require.Equal(t, string(golden), err.Error()+"\n")
	require.Greater(t, len(errs), 40)

	lines := strings.Split(string(text), "\n")
	for _, e := range errs {
		require.NotContains(t, e.Problem+e.Hint, "hun%ter2", "an error repeats a secret")
		key := e.Field[strings.LastIndex(e.Field, ".")+1:]
		if key, _, isItem := strings.Cut(key, "["); !isItem {
			require.Contains(t, lines[e.Line-1], key, "%s points at the wrong line", e.Field)
		}
	}
}

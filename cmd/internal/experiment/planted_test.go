package experiment

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The planted bug: a unit is claimed although another node has the claim, so before that one has
// released it.
const (
	plantedIn  = "actors/reshard/decide.go"
	plantedOld = "\tcase !v.Cluster.anothers(claim):\n"
	plantedNew = "\tcase claim.Revision >= 0:\n"
)

// TestAClaimBeforeTheReleaseIsFoundAndNamed builds an agent with the bug, beside the code, and
// plays the experiment in which units move.
func TestAClaimBeforeTheReleaseIsFoundAndNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an agent and takes a minute: run it without -short")
	}
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	require.NoError(t, err)
	file := filepath.Join(root, filepath.FromSlash(plantedIn))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), plantedOld), "the code that the bug changes is another")
	directory := t.TempDir()
	mutant, overlay, program := filepath.Join(directory, "mutant.go"), filepath.Join(directory, "overlay.json"), filepath.Join(directory, "agent")
	require.NoError(t, os.WriteFile(mutant, []byte(strings.Replace(string(text), plantedOld, plantedNew, 1)), 0o600))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutant}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	build := exec.Command("go", "build", "-tags", "light", "-overlay", overlay, "-o", program, "./cmd/agent")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	e, err := Parse("rolling-restart.yaml", rollingRestart(t, root))
	require.NoError(t, err)
	lab := startLab(t, program, 60) // so many move that some tick falls between a claim and the news of it
	report, err := Run(t.Context(), lab, e, func(what string) { t.Log(what) })
	require.NoError(t, err)
	require.False(t, report.Holds(), report.Sentence())
	require.Contains(t, report.Sentence(), "ticks were taken twice, at most 0 may be")
	html, err := report.Write("html")
	require.NoError(t, err)
	require.Contains(t, string(html), "ticks were taken twice, at most 0 may be")
}

func rollingRestart(t *testing.T, root string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", "chaos", "rolling-restart.yaml"))
	require.NoError(t, err)
	return text
}

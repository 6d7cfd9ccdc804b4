package migrate

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/config"
	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFilesOfOthersBecomeOurs compares with testdata/NAME.golden: the notes, the main file, and
// each config.
func TestFilesOfOthersBecomeOurs(t *testing.T) {
	for _, name := range []string{"prometheus", "agent"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".yml"))
		require.NoError(t, err)
		result, err := Convert(name+".yml", text)
		require.NoError(t, err)
		problems := result.Check(t.TempDir(), config.LoadOptions{ExpandEnv: name == "agent", ForeignDiscoveries: true})
		require.Empty(t, problems)

		var b strings.Builder
		for _, note := range result.Notes {
			b.WriteString("note: " + note + "\n")
		}
		b.WriteString("--- agent.yaml\n" + result.Main)
		for _, c := range result.Configs {
			b.WriteString("--- configs/" + c.Name + ".yaml\n" + c.Text)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), b.String())
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestWhatIsThereIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	result, err := Convert("p.yml", []byte("scrape_configs: [{job_name: a}, {job_name: A}]"))
	require.NoError(t, err)
	written, err := result.Write(dir)
	require.NoError(t, err)
	require.Equal(t, []string{
		filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "configs", "a.yaml"), filepath.Join(dir, "configs", "A-2.yaml"),
	}, written)
	_, err = result.Write(dir)
	require.ErrorContains(t, err, "there is such a file already")
}

func TestFilesThatAreNeitherAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "it has no blocks",
		"a: [":                        "read x.yml",
		"groups: []":                  "neither a Prometheus config",
		"metrics: {}\nprometheus: {}": "both prometheus and metrics",
		"scrape_configs: [{}]":        "line 1: this scrape config has no job_name",
	} {
		_, err := Convert("x.yml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

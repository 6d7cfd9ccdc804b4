package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateBack = flag.Bool("back", false, "write anew what is stored of the corpus of uploads") //nolint:forbidigo // of the test

// corpus reads the files of one folder of testdata/migration, by their names without extension.
func corpus(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "migration", folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		texts[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(text)
	}
	return texts
}

func TestWhatGrafanaAgentStoredRunsHere(t *testing.T) {
	for name, text := range corpus(t, "stored") {
		i, err := ParseInstance(name, text, InstanceOptions{})
		require.NoError(t, err, name)
		require.Equal(t, name, i.Name)
		require.NotEmpty(t, i.ScrapeConfigs)
		line, _, err := NameLine(name, name, text)
		require.NoError(t, err)
		require.Empty(t, line, "it is stored again as it is")
	}
	for name, text := range corpus(t, "files") {
		a, err := LoadAgent(name+".yaml", []byte(text), LoadOptions{ExpandEnv: true})
		require.NoError(t, err, name)
		require.True(t, a.Metrics.ScrapingService.Enabled || len(a.Metrics.Configs) > 0)
	}
}

// The way back. Grafana Agent decodes strictly and takes the name from the text: back.txt has its
// verdict about each config as it is stored here. What it refuses has a key that it does not know,
// and migration.md names the key.
func TestWhatIsStoredHereRunsInGrafanaAgent(t *testing.T) {
	verdicts, err := os.ReadFile(filepath.Join("testdata", "migration", "back.txt"))
	require.NoError(t, err)
	guide, err := os.ReadFile(filepath.Join("..", "docs", "migration.md"))
	require.NoError(t, err)
	var judged []string
	for folder, runs := range map[string]bool{"uploads": true, "ours": false} {
		for name, text := range corpus(t, folder) {
			_, err := ParseInstance(name, text, InstanceOptions{})
			require.NoError(t, err, name)
			line, at, err := NameLine(name, name, text)
			require.NoError(t, err, name)
			stored := text[:at] + line + text[at:]
			golden := filepath.Join("testdata", "migration", "back", name+".yaml")
			if *updateBack {
				require.NoError(t, os.WriteFile(golden, []byte(stored), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), stored, "go test ./config -args -back, then task predecessor for the verdict")
			if *updateBack {
				continue // the verdicts are to be made anew
			}
			verdict := name + ": runs as " + name + "\n"
			if !runs {
				verdict = name + ": refused: "
				require.True(t, strings.Contains(string(guide), "`"+name+"`"), "migration.md does not name %s", name)
			}
			require.Contains(t, "\n"+string(verdicts), "\n"+verdict)
			judged = append(judged, name)
		}
	}
	require.True(t, *updateBack || len(judged) == strings.Count(string(verdicts), "\n"), "%v\n%s", judged, verdicts)
}

// Forward: what Grafana Agent made of an upload, with its defaults, and the upload itself are one
// config here, apart from the names of endpoints and one default.
func TestAStoredConfigIsWhatWasUploaded(t *testing.T) {
	uploads, stored := corpus(t, "uploads"), corpus(t, "stored")
	require.Len(t, stored, len(uploads))
	for name, text := range uploads {
		uploaded, kept := mustParse(t, name, text), mustParse(t, name, stored[name])
		if name == "lost" {
			requireWhatWasLost(t, kept)
			continue
		}
		require.Equal(t, uploaded.ScrapeConfigs, kept.ScrapeConfigs, name)
		require.Len(t, kept.RemoteWrite, len(uploaded.RemoteWrite))
		for n, rw := range kept.RemoteWrite {
			own := *uploaded.RemoteWrite[n]
			own.Name, own.HTTPClientConfig.EnableHTTP2 = rw.Name, true // which was the default
			require.Equal(t, own, *rw, name)
		}
		require.Equal(t, uploaded.HostFilter, kept.HostFilter)
		require.Equal(t, uploaded.HostFilterRelabelConfigs, kept.HostFilterRelabelConfigs)
		require.Equal(t, uploaded.WriteStaleOnShutdown, kept.WriteStaleOnShutdown)
		require.Equal(t, uploaded.MaxWALTime, kept.MaxWALTime)
		require.Equal(t, uploaded.RemoteFlushDeadline, kept.RemoteFlushDeadline)
	}
}

// requireWhatWasLost is about what Grafana Agent did not store: migration.md has a row about it.
func requireWhatWasLost(t *testing.T, kept *Instance) {
	t.Helper()
	require.Equal(t, "http://user:xxxxx@proxy.example:3128", kept.ScrapeConfigs[0].HTTPClientConfig.ProxyURL.String())
	require.True(t, kept.RemoteWrite[0].SendExemplars)
	require.True(t, kept.RemoteWrite[0].QueueConfig.RetryOnRateLimit)
}

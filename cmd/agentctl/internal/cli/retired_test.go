package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

// TestEveryFlagOfTheRetiredAgentctlWorks gives each flag of Grafana Agent's agentctl in each spelling
// that pflag takes, and checks what it changes.
func TestEveryFlagOfTheRetiredAgentctlWorks(t *testing.T) {
	a := startAgent(t, web.Options{ReadAPI: true}, map[string]string{"old": configText("old", "x")})
	files := directory(t, map[string]string{"old.yaml": configText("old", "y"), "env.yaml": "server: {log_level: '${LEVEL:-debug}'}\n"})
	changed := directory(t, map[string]string{"old.yaml": configText("old", "y")})
	log := filepath.Join(t.TempDir(), "data-agent", "api")
	writeLog(t, log)
	for _, tc := range []struct {
		code int
		args []string
		want string
	}{
		{3, []string{"config-sync", changed, "-a", a.URL, "-d"}, "1 to update"},
		{3, []string{"config-sync", "-a=" + a.URL, "--dry-run", changed}, "1 to update"},
		{3, []string{"config-sync", "--addr", a.URL, "--dry-run=true", changed}, "1 to update"},
		{0, []string{"config-sync", "--addr=" + a.URL, "-d=false", changed}, "1 updated"},
		{0, []string{"config-check", "-e", filepath.Join(files, "env.yaml")}, "is valid"},
		{0, []string{"config-check", filepath.Join(files, "env.yaml"), "--expand-env"}, "is valid"},
		{1, []string{"config-check", "--expand-env=false", filepath.Join(files, "env.yaml")}, ""},
		{0, []string{"wal-stats", log}, "Total Series:       3"},
		{0, []string{"target-stats", "-j", "node", "-i", "10.0.0.7:9101", log}, "up      1"},
		{0, []string{"target-stats", log, "--job=node", "--instance=10.0.0.7:9100"}, "load    1"},
		{0, []string{"target-stats", "--job", "node", "--instance", "10.0.0.7:9100", log}, "load    1"},
		{0, []string{"sample-stats", log}, `{__name__="load", instance="10.0.0.7:9100", job="node"}`},
		{0, []string{"sample-stats", log, "-s", "load"}, `{__name__="load", instance="10.0.0.7:9100", job="node"}`},
		{0, []string{"sample-stats", "--selector={__name__=\"load\"}", log}, "Total Samples:      1"},
		{0, []string{"sample-stats", "--selector", "{job=~\"no.e\"}", log}, "Total Samples:      3"},
		{0, []string{"--version"}, "version"},
		{0, []string{"-v"}, "version"},
		{0, []string{"config-sync", "-h"}, "--dry-run"},
	} {
		code, out, errs := agentctl(t, tc.args...)
		require.Equal(t, tc.code, code, "%v\n%s%s", tc.args, out, errs)
		require.Contains(t, out, tc.want, tc.args)
	}
	require.Equal(t, configText("old", "y"), a.stored(t)["old"], "-d=false has done it, and -d nothing")
}

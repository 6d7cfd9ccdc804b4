package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// flagsOfGrafanaAgent are the names that Grafana Agent has registered, each with whether it is a
// switch: one that does not take the argument after it.
func flagsOfGrafanaAgent(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("testdata/grafana-agent-flags.txt")
	require.NoError(t, err)
	flags := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if kind, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && kind != "#" {
			require.Contains(t, []string{"switch", "value"}, kind, line)
			require.NotContains(t, flags, name)
			flags[name] = kind == "switch"
		}
	}
	require.NotEmpty(t, flags)
	return flags
}

func TestEachFlagOfGrafanaAgentTakesTheArgumentsThatItTookThere(t *testing.T) {
	for name, isSwitch := range flagsOfGrafanaAgent(t) {
		if name == "config.file" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			args := []string{"-" + name, plausible(name), "--config.file=a.yaml"}
			if isSwitch {
				args = []string{"--" + name, "-config.file=a.yaml"}
			}
			f, err := parseFlags(args, io.Discard)
			require.NoError(t, err, args)
			require.Equal(t, "a.yaml", f.configFile, args)
		})
	}
}

func plausible(name string) string {
	switch name {
	case "config.file.type":
		return "yaml"
	case "enable-features":
		return "extra-scrape-metrics"
	case "server.http.conn-limit":
		return "5"
	}
	return "5s"
}

func TestAFlagWithoutItsValueDoesNotTakeTheNextFlagForIt(t *testing.T) {
	for name, isSwitch := range flagsOfGrafanaAgent(t) {
		if isSwitch {
			continue
		}
		for _, next := range []string{"-config.file=a.yaml", "--config.expand-env", "-no.such.flag", "--"} {
			_, err := parseFlags([]string{"-" + name, next}, io.Discard)
			require.ErrorContains(t, err, "flag needs an argument: -"+name+"; a value that begins with a dash is written -"+name+"=VALUE")
			require.NotContains(t, err.Error(), next, "it may be a password")
		}
		_, err := parseFlags([]string{"-" + name}, io.Discard)
		require.ErrorContains(t, err, "flag needs an argument: -"+name+";")
	}
	f, err := parseFlags([]string{"-metrics.service.etcd.password=-x", "-metrics.wal-directory=-y"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "-x", f.overrides[0].Value)
	require.Equal(t, "-y", f.walDirectory)
}

func TestAFlagOfAFamilyThatNobodyKnowsIsAcceptedOnlyIfItsEndIsPlain(t *testing.T) {
	for _, name := range []string{
		"server.grpc.later", "metrics.service-client.later", "server.log.source-ips.later", "metrics.service.config-store.multi.later",
		"config.url.later",
	} {
		f, err := parseFlags([]string{"-" + name + "=x", "-config.file=a.yaml"}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "a.yaml", f.configFile)
		require.Len(t, f.ignored, 1)
		_, err = parseFlags([]string{"-" + name, "-config.file=a.yaml"}, io.Discard)
		require.ErrorContains(t, err, "-"+name+": this agent does not know whether it takes a value; write -"+name+"=VALUE, or leave it out, since it has no effect here")
	}
	_, err := parseFlags([]string{"-metrics.service.grpc-later=x"}, io.Discard)
	require.ErrorContains(t, err, "not defined: -metrics.service.grpc-later")
}

func TestNoFlagIsIgnoredThatGrafanaAgentDidNotHave(t *testing.T) {
	known := flagsOfGrafanaAgent(t)
	for _, family := range withoutEffect() {
		for _, prefix := range family.prefixes {
			for _, name := range strings.Fields(family.switches + " " + family.values) {
				require.Contains(t, known, prefix+name)
			}
		}
	}
	for name := range legacyFlags() {
		require.Contains(t, known, name)
	}
}

package main

import (
	"bytes"
	"flag"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFlagsTakeEverySpellingOfTheFlagPackage(t *testing.T) {
	for _, args := range [][]string{
		{"-config.file=a.yaml", "-config.expand-env", "-server.graceful-shutdown-timeout", "5s"},
		{"--config.file", "a.yaml", "--config.expand-env=true", "--server.graceful-shutdown-timeout=5s"},
	} {
		f, err := parseFlags(args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "a.yaml", f.configFile)
		require.True(t, f.expandEnv)
		require.Equal(t, 5*time.Second, f.shutdownTimeout)
		require.Equal(t, "127.0.0.1:12345", f.httpAddress)
	}
}

func TestRetiredFlagsAreAcceptedAndNamed(t *testing.T) {
	f, err := parseFlags([]string{
		"-server.grpc.address", "127.0.0.1:1", "-disable-reporting", "-config.file=a.yaml",
		"--server.grpc.in-memory-addr=x", "-metrics.service.enabled=true", "-server.http.network=tcp",
	}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"-server.grpc.address", "-disable-reporting", "-server.grpc.in-memory-addr", "-metrics.service.enabled", "-server.http.network"}, f.ignored)
	require.Equal(t, "a.yaml", f.configFile)
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"not defined: -no.such.flag":        {"-no.such.flag"},
		"unexpected argument":               {"agent.yaml"},
		"needs -config.file":                {"-config.check"},
		"is unknown; there are":             {"-enable-features=warp"},
		"must be positive":                  {"-server.graceful-shutdown-timeout=0s"},
		"flag needs an argument":            {"-config.file"},
		`invalid boolean value "maybe" for`: {"-config.expand-env=maybe"},
	} {
		_, err := parseFlags(args, io.Discard)
		require.ErrorContains(t, err, name)
	}
}

func TestHelpShowsEveryFlag(t *testing.T) {
	var out bytes.Buffer
	_, err := parseFlags([]string{"-help"}, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out.String(), "-server.web-config")
	require.Contains(t, out.String(), "type-and-unit-labels")
}

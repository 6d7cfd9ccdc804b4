package main

import (
	"io"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/common/version"
	"github.com/stretchr/testify/require"
)

func TestTheVersionIsNeverEmpty(t *testing.T) {
	before, branch := version.Version, version.Branch
	defer func() { version.Version, version.Branch = before, branch }()
	for _, c := range []struct {
		set   string
		build *debug.BuildInfo
		shown string
	}{
		{"", nil, "unknown"},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"v9", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v9"},
	} {
		version.Version = c.set
		completeVersion(c.build, c.build != nil)
		require.Equal(t, c.shown, version.Version)
	}
	var out strings.Builder
	require.Equal(t, exitDone, execute([]string{"-version"}, &out, io.Discard))
	require.Contains(t, out.String(), "agent, version v9")
}

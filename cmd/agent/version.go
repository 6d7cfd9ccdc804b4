package main

import (
	"runtime/debug"

	"github.com/prometheus/common/version"
)

// completeVersion fills in, from what the Go tool recorded, the version that a build without
// -ldflags has not set. The version metric, the command line and the log all show it.
func completeVersion(build *debug.BuildInfo, ok bool) {
	if version.Version == "" {
		version.Version = "unknown"
		if ok && build.Main.Version != "" {
			version.Version = build.Main.Version // a tag, a pseudo-version, or (devel)
		}
	}
	if version.Branch == "" {
		version.Branch = "unknown"
	}
}

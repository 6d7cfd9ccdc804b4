package remotewrite

import (
	"runtime/debug"
	"strings"
)

// UserAgent is the header of a program of this version. RFC 9110 has a product's version without
// blanks and parentheses, and what reads such headers looks for a number: a build that knows none
// is 0.0.0.
func UserAgent(version string) string {
	version = strings.Trim(strings.TrimPrefix(version, "v"), "() ")
	if version == "" {
		version = "unknown"
	}
	if version[0] < '0' || version[0] > '9' {
		version = "0.0.0-" + version
	}
	return "Ringmaster/" + version
}

// builtVersion is what the binary says of itself.
func builtVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

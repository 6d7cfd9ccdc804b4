package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// flags is the command line. The syntax is that of the standard flag package: one dash or two, -x=y or -x y.
type flags struct {
	configFile      string
	expandEnv       bool
	check           bool
	version         bool
	readAPI         bool
	httpAddress     string
	webConfig       string
	shutdownTimeout time.Duration
	walDirectory    string
	features        []string

	// ignored are flags of the retired service that mean nothing here, in the order they were given.
	ignored []string
}

// knownFeatures may be named in -enable-features.
var knownFeatures = []string{featureCreatedTimestamps, featureTypeAndUnitLabels}

// The features that -enable-features turns on. They are named as in Prometheus.
const (
	featureCreatedTimestamps = "created-timestamp-zero-ingestion"
	featureTypeAndUnitLabels = "type-and-unit-labels"
)

// parseFlags reads a command line without the program's name. flag.ErrHelp means that help was asked for and printed.
func parseFlags(args []string, out io.Writer) (flags, error) {
	args, ignored := withoutRetired(args)
	parsed := flags{ignored: ignored}
	var features string
	set := flag.NewFlagSet("agent", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&parsed.configFile, "config.file", "", "agent.yaml to load; without it the agent is a scraping service of one on the embedded store")
	set.BoolVar(&parsed.expandEnv, "config.expand-env", false, "expand ${VAR} and ${VAR:-default} in the config file")
	set.BoolVar(&parsed.check, "config.check", false, "validate the config file, print every error, and exit")
	set.BoolVar(&parsed.readAPI, "config.enable-read-api", false, "let the API show configs, with secrets masked")
	set.StringVar(&parsed.httpAddress, "server.http.address", "127.0.0.1:12345", "address of the HTTP API and pages")
	set.StringVar(&parsed.webConfig, "server.web-config", "", "Prometheus web config file with TLS and basic authentication of the listener")
	set.DurationVar(&parsed.shutdownTimeout, "server.graceful-shutdown-timeout", 30*time.Second, "time to send what is left before the process exits")
	set.StringVar(&parsed.walDirectory, "metrics.wal-directory", "", "directory of the write-ahead logs, in place of the config file's")
	set.StringVar(&features, "enable-features", "", "comma-separated features: "+strings.Join(knownFeatures, ", "))
	set.BoolVar(&parsed.version, "version", false, "print the version and exit")
	if err := set.Parse(args); err != nil {
		return flags{}, err
	}
	if set.NArg() > 0 {
		return flags{}, fmt.Errorf("unexpected argument %q: the agent takes flags only", set.Arg(0))
	}
	if parsed.check && parsed.configFile == "" {
		return flags{}, errors.New("-config.check needs -config.file")
	}
	if parsed.shutdownTimeout <= 0 {
		return flags{}, fmt.Errorf("-server.graceful-shutdown-timeout is %s: it must be positive", parsed.shutdownTimeout)
	}
	return parsed, parsed.setFeatures(features)
}

func (f *flags) setFeatures(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if !slices.Contains(knownFeatures, name) {
			return fmt.Errorf("-enable-features: %q is unknown; there are %s", name, strings.Join(knownFeatures, ", "))
		}
		f.features = append(f.features, name)
	}
	return nil
}

// retiredFlags are accepted so that a command line need not change with the binary. A trailing dot stands for all flags
// below it.
var retiredFlags = []string{
	"server.grpc.", "metrics.service.", "prometheus.service.",
	"disable-reporting", "disable-support-bundle", "server.http.network", "server.http.in-memory-addr",
}

// withoutRetired takes retired flags and their values off the command line.
func withoutRetired(args []string) (kept, ignored []string) {
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || !isRetired(name) {
			kept = append(kept, args[i])
			continue
		}
		ignored = append(ignored, "-"+name)
		if !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return kept, ignored
}

func isRetired(name string) bool {
	return slices.ContainsFunc(retiredFlags, func(retired string) bool {
		return name == retired || (strings.HasSuffix(retired, ".") && strings.HasPrefix(name, retired))
	})
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/daemon"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/web"
)

// flags is the command line. The syntax is that of the standard flag package: one dash or two, -x=y
// or -x y.
type flags struct {
	configFile      string
	expandEnv       bool
	check           bool
	version         bool
	health          bool
	readAPI         bool
	httpAddress     string
	webConfig       string
	shutdownTimeout time.Duration
	walDirectory    string
	chaos           bool
	features        scrape.Features
	environment     environment // at the start

	// http is how the listener treats its clients.
	http daemon.HTTPLimits
	// useTLS is nil unless the command line says something.
	useTLS *bool

	// overrides are keys of the main file that flags of Grafana Agent set.
	overrides []config.Override
	// ignored are flags of Grafana Agent that mean nothing here, each with why, in the order they
	// were given.
	ignored []string
	// shown is the whole command line, what was not given with its default.
	shown []web.Setting
}

// feature is what a name in -enable-features turns on.
type feature struct {
	name string
	set  func(*scrape.Features)
}

// features are what -enable-features can turn on. They are named as in Prometheus.
var features = []feature{
	{"created-timestamp-zero-ingestion", startTimestamps},
	{"st-storage", startTimestamps},
	{"st-synthesis", func(f *scrape.Features) { f.SynthesizeStartTimestamps = true }},
	{"type-and-unit-labels", func(f *scrape.Features) { f.TypeAndUnitLabels = true }},
	{"extra-scrape-metrics", func(f *scrape.Features) { f.ExtraScrapeMetrics = true }},
	{"openmetrics2", func(f *scrape.Features) { f.OpenMetrics2 = true }},
	{"zstd-scrape", func(f *scrape.Features) { f.ZstdScrape = true }},
}

// startTimestamps takes start timestamps in. Prometheus has two features for it, by what its
// storage does with them then.
func startTimestamps(f *scrape.Features) { f.ParseStartTimestamps, f.ProtobufFirst = true, true }

func featureNames() string {
	var names []string
	for _, f := range features {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// agentFeatures are features of Grafana Agent that are accepted without effect, each with what
// became of it.
var agentFeatures = map[string]string{
	"integrations-next": "this agent embeds no exporters",
	"dynamic-config":    "the config is one file of YAML",
	"remote-configs":    "the config is read from a file",
	"agent-management":  "configs are managed through the API or agentctl",
}

// parseFlags reads a command line without the program's name. flag.ErrHelp means that help was
// asked for and printed.
func parseFlags(args []string, out io.Writer) (flags, error) {
	var parsed flags
	var enabled, fileType string
	set := flag.NewFlagSet("agent", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&parsed.configFile, "config.file", "", "agent.yaml to load; without it the agent is a scraping service of one on the embedded store")
	set.BoolVar(&parsed.expandEnv, "config.expand-env", false, "expand ${VAR} and ${VAR:-default} in the config file")
	set.BoolVar(&parsed.check, "config.check", false, "validate the config file, print every error, and exit")
	set.BoolVar(&parsed.readAPI, "config.enable-read-api", false, "let the API show configs, with secrets masked")
	set.StringVar(&parsed.httpAddress, "server.http.address", "127.0.0.1:12345", "address of the HTTP API and pages")
	set.StringVar(&parsed.webConfig, "server.web-config", "", "Prometheus web config file with TLS and basic authentication of the listener")
	setTLS := func(text string) error {
		on, err := strconv.ParseBool(text)
		parsed.useTLS = &on
		return err
	}
	set.BoolFunc("server.http.enable-tls", "serve TLS by server.http_tls_config; without the flag, TLS is on if the file has that block", setTLS)
	set.BoolFunc("server.http.tls-enabled", "the older name of -server.http.enable-tls", setTLS)
	set.DurationVar(&parsed.http.Read, "server.http.read-timeout", 0, "time to read one request; 0: one minute")
	set.DurationVar(&parsed.http.Write, "server.http.write-timeout", 0, "time to answer one request; 0: two minutes")
	set.DurationVar(&parsed.http.Idle, "server.http.idle-timeout", 0, "time to keep an idle connection; 0: two minutes")
	set.IntVar(&parsed.http.Connections, "server.http.conn-limit", 0, "most connections at once; 0: a quarter of the files that the process may have open")
	set.DurationVar(&parsed.shutdownTimeout, "server.graceful-shutdown-timeout", 30*time.Second, "time to send what is left before the process exits")
	set.StringVar(&parsed.walDirectory, "metrics.wal-directory", "", "directory of the write-ahead logs, in place of the config file's")
	set.StringVar(&fileType, "config.file.type", "yaml", "type of the config file: yaml")
	set.StringVar(&enabled, "enable-features", "", "comma-separated features: "+featureNames())
	set.BoolVar(&parsed.chaos, "chaos.enabled", false, "let whoever may upload configs break this agent on purpose; see docs/chaos.md")
	set.BoolVar(&parsed.health, "health", false, "ask the agent that listens on -server.http.address whether it is healthy, and exit with 0 or 1")
	set.BoolVar(&parsed.version, "version", false, "print the version and exit")
	args, err := parsed.legacy(args, set)
	if err != nil {
		return flags{}, err
	}
	if err := set.Parse(args); err != nil {
		return flags{}, err
	}
	if set.NArg() > 0 {
		return flags{}, fmt.Errorf("unexpected argument %q: the agent takes flags only", set.Arg(0))
	}
	set.VisitAll(func(f *flag.Flag) {
		parsed.shown = append(parsed.shown, web.Setting{Name: f.Name, Value: redact.Text(f.Value.String())})
	})
	if parsed.check && parsed.configFile == "" {
		return flags{}, errors.New("-config.check needs -config.file")
	}
	if fileType != "yaml" {
		return flags{}, fmt.Errorf("-config.file.type is %q: this agent reads yaml only", fileType)
	}
	if strings.Contains(parsed.configFile, "://") {
		return flags{}, fmt.Errorf("-config.file is %q: this agent reads files only; fetch it before the start", redact.URLText(parsed.configFile))
	}
	if h := parsed.http; min(h.Read, h.Write, h.Idle) < 0 || h.Connections < 0 {
		return flags{}, errors.New("the flags -server.http.read-timeout, write-timeout, idle-timeout and conn-limit must not be negative")
	}
	if parsed.shutdownTimeout <= 0 {
		return flags{}, fmt.Errorf("-server.graceful-shutdown-timeout is %s: it must be positive", parsed.shutdownTimeout)
	}
	return parsed, parsed.setFeatures(enabled)
}

func (f *flags) setFeatures(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if why := agentFeatures[name]; why != "" {
			f.ignored = append(f.ignored, fmt.Sprintf("-enable-features=%s: %s", name, why))
			continue
		}
		i := slices.IndexFunc(features, func(known feature) bool { return known.name == name })
		if i < 0 {
			return fmt.Errorf("-enable-features: %q is unknown; there are %s", name, featureNames())
		}
		features[i].set(&f.features)
	}
	return nil
}

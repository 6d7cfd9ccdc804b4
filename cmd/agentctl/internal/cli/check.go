package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/config"
)

// errInvalid says that a file is not valid, which was told on Process.Err.
var errInvalid = errors.New("the file is not valid")

const checkLong = `Validate an agent's main config file, as the agent itself does at its start, or one instance config, as it does on upload.
Which of them a file is, its keys tell; a prometheus.yml is recognised, and what to do with it is said.

Every error is printed, with its line, the field, what is wrong and what to do. agentctl contains the discoveries
static, file, http, dns and consul; the blocks of others are checked by the agent itself: agent -config.check -config.file=FILE.

Exit status: 0 the file is valid, 1 it is not, 2 wrong usage.`

func configCheckCommand(p Process) *cobra.Command {
	expandEnv := false
	var output string
	cmd := &cobra.Command{
		Use:     "config-check [flags] FILE",
		Short:   "Validate an agent's main file or an instance config",
		Long:    checkLong,
		Example: "  agentctl config-check agent.yaml\n  agentctl config-check api.yaml\n  PASSWORD=x agentctl config-check --expand-env agent.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			switch kindOf(text) {
			case prometheusFile:
				return fmt.Errorf("%s is a config of Prometheus, not of an agent: agentctl import %s DIR makes a main file and instance configs of it", args[0], args[0])
			case instanceFile:
				return checkInstance(p, output, args[0], string(text))
			}
			agent, err := config.LoadAgent(args[0], text, config.LoadOptions{ExpandEnv: expandEnv, LookupEnv: p.LookupEnv, ForeignDiscoveries: true})
			var all config.Errors
			if errors.As(err, &all) {
				return tellAll(p, output, checked{File: args[0], Kind: "agent"}, all)
			}
			if err != nil {
				return err
			}
			for _, warning := range agent.Warnings {
				fmt.Fprintf(p.Err, "note: %s\n", warning)
			}
			return printDone(p, output, args[0]+" is valid", checked{args[0], "agent", true, []finding{}})
		},
	}
	cmd.Flags().BoolVarP(&expandEnv, "expand-env", "e", false, "expand ${VAR} and ${VAR:-default} in the file")
	addOutputFlag(cmd, &output)
	return cmd
}

// checked is what is found out about a file, for programs.
type checked struct {
	File   string    `json:"file"`
	Kind   string    `json:"kind"`
	Valid  bool      `json:"valid"`
	Errors []finding `json:"errors"`
}

// finding is one thing that is wrong with a file.
type finding struct {
	Line    int    `json:"line"`
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

func tellAll(p Process, output string, what checked, all config.Errors) error {
	for _, e := range all {
		fmt.Fprintf(p.Err, "error: %v\n", e)
		what.Errors = append(what.Errors, finding{e.Line, e.Field, e.Problem, e.Hint})
	}
	if output != asTable {
		if err := printValue(p.Out, output, what); err != nil {
			return err
		}
	}
	return errInvalid
}

// fileKind is what a YAML file is a config of.
type fileKind int

const (
	mainFile fileKind = iota
	instanceFile
	prometheusFile
)

// The keys that only a main file has, and those that only Prometheus has, at the top.
var (
	mainKeys       = []string{"server", "metrics", "prometheus", "integrations", "logs", "loki", "traces", "tempo"}
	prometheusKeys = []string{"global", "rule_files", "alerting", "remote_read", "storage", "runtime", "otlp", "scrape_config_files"}
)

// kindOf goes by the keys at the top. What it can't tell is a main file, whose errors say what is
// wrong.
func kindOf(text []byte) fileKind {
	var top map[string]yaml.Node
	if err := yaml.Unmarshal(text, &top); err != nil {
		return mainFile
	}
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(key string) bool {
			_, there := top[key]
			return there
		})
	}
	switch {
	case has(mainKeys...):
		return mainFile
	case has(prometheusKeys...):
		return prometheusFile
	case has("scrape_configs", "remote_write", "host_filter"):
		return instanceFile
	}
	return mainFile
}

// checkInstance validates an instance config. The file's name without its extension is the config's
// name.
func checkInstance(p Process, output, file, text string) error {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	_, _, _, err := config.ParseUpload(name, text, config.InstanceOptions{Origin: file, AllowFiles: true, AllowAmbient: true, ForeignDiscoveries: true})
	var all config.Errors
	if errors.As(err, &all) {
		return tellAll(p, output, checked{File: file, Kind: "instance"}, all)
	}
	if err != nil {
		return err
	}
	sentence := fmt.Sprintf("%s is a valid instance config; upload it with: agentctl configs put %s %s", file, name, file)
	return printDone(p, output, sentence, checked{file, "instance", true, []finding{}})
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/experiment"
)

const runLong = `Play an experiment on a running cluster, and say whether its hypothesis holds.

The file says what holds (hypothesis), what is broken when (method), and how long it may take to heal; docs/chaos.md has the fields,
examples/chaos ten of them. Whatever happens, all faults end before the command does.

Over the API a node can't be killed or paused, so steps with a command are refused; and nobody counts ticks that were taken twice, so a
hypothesis about them can't be confirmed, unless --ignore-unknown is given.

Exit status: 0 the hypothesis holds, 1 it does not, or something failed, 2 wrong usage.`

// errRefuted says that the hypothesis does not hold. It was told already.
var errRefuted = errors.New("the hypothesis does not hold")

func chaosRunCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var report string
	var ignoreUnknown bool
	var output string
	cmd := &cobra.Command{
		Use: "run [flags] EXPERIMENT", Short: "Play an experiment", Long: runLong,
		Example: `  # Play an experiment and keep a page that shows what happened.
  agentctl chaos run skewed-clock.yaml --report report.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			told := p.Out
			if output != asTable {
				told = io.Discard
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			e, err := experiment.Parse(args[0], text)
			if err != nil {
				return usageError{err}
			}
			for _, s := range e.Method {
				if s.Command != "" {
					return fmt.Errorf("%s: agentctl can't %s node %s: nodes are reached over their API only", args[0], s.Command, s.Node)
				}
			}
			format := strings.TrimPrefix(filepath.Ext(report), ".")
			if format == "xml" {
				format = "junit"
			}
			if _, err := (experiment.Report{Observations: make([]experiment.Observation, 1)}).Write(format); report != "" && err != nil {
				return usageError{fmt.Errorf("--report %s: %w", report, err)}
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				lab := newRemote(api, c)
				defer lab.close()
				began := time.Now()
				result, err := experiment.Run(ctx, lab.api(), e, func(what string) {
					fmt.Fprintf(told, "%5.1f s  %s\n", time.Since(began).Seconds(), what)
				})
				if err != nil {
					return err
				}
				if ignoreUnknown {
					result.Unknown = nil
				}
				if report != "" {
					text, err := result.Write(format)
					if err == nil {
						err = os.WriteFile(report, text, 0o644)
					}
					if err != nil {
						return fmt.Errorf("write the report: %w", err)
					}
				}
				if err := printReport(p, output, result); err != nil {
					return err
				}
				if !result.Holds() {
					return errRefuted
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&report, "report", "", "write a report: a file that ends in .html, .json or .xml (JUnit)")
	cmd.Flags().BoolVar(&ignoreUnknown, "ignore-unknown", false, "let a hypothesis hold of which a part can't be looked at")
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

// printReport says how an experiment ended: a sentence for people, the whole report for programs.
func printReport(p Process, output string, result experiment.Report) error {
	if output == asTable {
		fmt.Fprintln(p.Out, result.Sentence())
		return nil
	}
	text, err := result.Write("json")
	if err != nil {
		return err
	}
	return printValue(p.Out, output, json.RawMessage(text))
}

// remote is a cluster that is reached over the API of its agents.
type remote struct {
	options apiclient.Options
	first   *apiclient.Client
	clients map[string]*apiclient.Client
}

func newRemote(o apiclient.Options, first *apiclient.Client) *remote {
	o.Retries, o.Wait = 0, 0 // the experiment is what makes requests fail
	return &remote{options: o, first: first, clients: map[string]*apiclient.Client{o.Address: first}}
}

func (r *remote) close() {
	for _, c := range r.clients {
		c.Close()
	}
}

func (r *remote) api() experiment.API {
	return experiment.API{Bases: r.bases, Do: func(ctx context.Context, base, method, path, body string) ([]byte, error) {
		c := r.clients[base]
		if c == nil {
			o := r.options
			o.Address = base
			made, err := apiclient.New(o)
			if err != nil {
				return nil, err
			}
			c = made
			r.clients[base] = c
		}
		return c.Raw(ctx, method, path, body)
	}}
}

// bases are the agent that was named, and the other members of its cluster as it knows them.
func (r *remote) bases(ctx context.Context) []string {
	bases := []string{r.options.Address}
	text, err := r.first.Raw(ctx, http.MethodGet, "/agent/api/v1/cluster", "")
	if err != nil {
		return bases
	}
	var cluster struct {
		Data struct {
			Node    string
			Members []struct{ Node, Scheme, Address string }
		}
	}
	if json.Unmarshal(text, &cluster) != nil {
		return bases
	}
	for _, m := range cluster.Data.Members {
		if m.Node != cluster.Data.Node && m.Address != "" {
			bases = append(bases, m.Scheme+"://"+m.Address)
		}
	}
	return bases
}

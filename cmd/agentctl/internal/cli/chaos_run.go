package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/experiment"
)

const runLong = `Play an experiment on a running cluster, and say whether its hypothesis holds.

The file says what holds (hypothesis), what is broken when (method), and how long it may take to heal; docs/chaos.md has the fields,
examples/chaos ten of them. Whatever happens, all faults end before the command does.

Steps with a command (kill, stop, start, restart, pause, resume, cut, connect) need --commands: a YAML file that says by which program each
is carried out on this machine, as 'kill: [ssh, "{host}", systemctl, kill, -s, KILL, agent]'. No shell reads it. Each program has 30 s. What
undoes a command has to be there too, and is carried out in the end.

Nodes don't count ticks that were taken twice. With --probe agentctl does: it uploads configs whose targets and receiver are in agentctl itself,
counts their ticks and samples, and deletes them in the end. Without it a hypothesis about such ticks can't be confirmed, unless
--ignore-unknown is given.

Exit status: 0 the hypothesis holds, 1 it does not, or something failed, 2 wrong usage.`

// errRefuted says that the hypothesis does not hold. It was told already.
var errRefuted = errors.New("the hypothesis does not hold")

func chaosRunCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var play played
	var output string
	cmd := &cobra.Command{
		Use: "run [flags] EXPERIMENT", Short: "Play an experiment", Long: runLong,
		Example: `  # Play an experiment and keep a page that shows what happened.
  agentctl chaos run skewed-clock.yaml --report report.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			play.told = p.Out
			if output != asTable {
				play.told = io.Discard
			}
			if err := play.read(args[0]); err != nil {
				return err
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				result, err := play.run(ctx, newRemote(api, c))
				if err != nil {
					return err
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
	cmd.Flags().StringVar(&play.report, "report", "", "write a report: a file that ends in .html, .json or .xml (JUnit)")
	cmd.Flags().BoolVar(&play.ignoreUnknown, "ignore-unknown", false, "let a hypothesis hold of which a part can't be looked at")
	cmd.Flags().StringVar(&play.commandsFile, "commands", "", "file that says by which programs of this machine nodes are killed, paused and so on; they are run")
	cmd.Flags().StringVar(&play.probe, "probe", "", "host:port of this machine that agents reach: listen there, and count the ticks and samples of configs that are uploaded")
	cmd.Flags().IntVar(&play.probeConfigs, "probe-configs", 12, "how many configs --probe uploads, at most 1000")
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

// played is an experiment, and how it is played.
type played struct {
	report, commandsFile, probe string
	probeConfigs                int
	ignoreUnknown               bool
	told                        io.Writer

	experiment experiment.Experiment
	commands   experiment.Commands
	format     string
}

// maxProbeConfigs bounds --probe-configs.
const maxProbeConfigs = 1000

// read reads the files, before anything is done.
func (p *played) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if p.experiment, err = experiment.Parse(file, text); err != nil {
		return usageError{err}
	}
	if p.commandsFile != "" {
		if text, err = os.ReadFile(p.commandsFile); err != nil {
			return err
		}
		if p.commands, err = experiment.ParseCommands(p.commandsFile, text); err != nil {
			return usageError{err}
		}
	}
	if err := p.commands.Check(p.experiment); err != nil {
		return usageError{fmt.Errorf("%s: %w; a file of --commands says it", file, err)}
	}
	p.format = strings.TrimPrefix(filepath.Ext(p.report), ".")
	if p.format == "xml" {
		p.format = "junit"
	}
	if _, err := (experiment.Report{Observations: make([]experiment.Observation, 1)}).Write(p.format); p.report != "" && err != nil {
		return usageError{fmt.Errorf("--report %s: %w", p.report, err)}
	}
	if p.probe != "" && (p.probeConfigs < 1 || p.probeConfigs > maxProbeConfigs) {
		return usageError{fmt.Errorf("--probe-configs is %d: give a number from 1 to %d", p.probeConfigs, maxProbeConfigs)}
	}
	return nil
}

// run plays it and writes the report.
func (p *played) run(ctx context.Context, cluster *remote) (result experiment.Report, err error) {
	defer cluster.close()
	lab := cluster.api()
	lab.Commands, lab.Host = p.commands, cluster.host
	if p.probe != "" {
		probe, end, err := p.startProbe(ctx, cluster)
		if err != nil {
			return result, err
		}
		defer func() {
			if ended := end(); err == nil {
				err = ended
			}
		}()
		lab.Probe = probe
	}
	began := time.Now()
	result, err = experiment.Run(ctx, lab, p.experiment, func(what string) {
		fmt.Fprintf(p.told, "%5.1f s  %s\n", time.Since(began).Seconds(), what)
	})
	if err != nil {
		return result, err
	}
	if p.ignoreUnknown {
		result.Unknown = nil
	}
	if p.report == "" {
		return result, nil
	}
	text, err := result.Write(p.format)
	if err == nil {
		err = os.WriteFile(p.report, text, 0o644)
	}
	if err != nil {
		return result, fmt.Errorf("write the report: %w", err)
	}
	return result, nil
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
	// members are the base URLs of the members that were ever known, by name: one that is down for a
	// while is no member, and is still to be reached.
	members map[string]string
	// self is the name of the agent that was named; empty: not known yet.
	self string
}

func newRemote(o apiclient.Options, first *apiclient.Client) *remote {
	o.Retries, o.Wait = 0, 0 // the experiment is what makes requests fail
	return &remote{options: o, first: first, clients: map[string]*apiclient.Client{o.Address: first}, members: map[string]string{}}
}

func (r *remote) close() {
	for _, c := range r.clients {
		c.Close()
	}
}

func (r *remote) api() experiment.API { return experiment.API{Bases: r.bases, Do: r.do} }

func (r *remote) do(ctx context.Context, base, method, path, body string) ([]byte, error) {
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
}

// bases are the agent that was named, and the other members of its cluster.
func (r *remote) bases(ctx context.Context) []string {
	self := r.learn(ctx)
	bases := []string{r.options.Address}
	for _, name := range slices.Sorted(maps.Keys(r.members)) {
		if name != self {
			bases = append(bases, r.members[name])
		}
	}
	return bases
}

// learn asks the agent that was named for the members, or another if it does not answer. It returns
// the name of the one that was named, as far as it was ever known.
func (r *remote) learn(ctx context.Context) (self string) {
	for _, base := range append([]string{r.options.Address}, slices.Sorted(maps.Values(r.members))...) {
		text, err := r.do(ctx, base, http.MethodGet, "/agent/api/v1/cluster", "")
		if err != nil {
			continue
		}
		var cluster struct {
			Data struct {
				Node    string
				Members []struct{ Node, Scheme, Address string }
			}
		}
		if json.Unmarshal(text, &cluster) != nil {
			continue
		}
		for _, m := range cluster.Data.Members {
			if m.Address != "" {
				r.members[m.Node] = m.Scheme + "://" + m.Address
			}
		}
		if base == r.options.Address {
			r.self = cluster.Data.Node
		}
		break
	}
	return r.self
}

// host is the host of a node; empty if it is not known.
func (r *remote) host(ctx context.Context, node string) string {
	if r.members[node] == "" {
		r.learn(ctx)
	}
	u, err := url.Parse(r.members[node])
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// remove deletes a config by any agent that answers: the one that was named may be down.
func (r *remote) remove(ctx context.Context, name string) error {
	var problems []error
	for _, base := range r.bases(ctx) {
		_, err := r.do(ctx, base, http.MethodDelete, "/agent/api/v1/config/"+url.PathEscape(name), "")
		if err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

// lookCommands only look.
func lookCommands(p Process) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(p), targetsCommand(p), endpointsCommand(p), unitsCommand(p), clusterCommand(p), planCommand(p), scrapeCommand(p), relabelCommand(p),
	}
}

// listing is a command that prints a list.
type listing struct {
	use, short, example string
	path                string
	columns             []column
	none                string
	// flags are parameters of the query: flag → parameter and what it picks.
	flags []parameter
}

type parameter struct{ flag, name, usage string }

func (l listing) command(p Process, change func(cmd *cobra.Command, query url.Values)) *cobra.Command {
	var api apiclient.Options
	var output string
	var watch time.Duration
	values := make([]string, len(l.flags))
	cmd := &cobra.Command{
		Use: l.use + " [flags]", Short: l.short, Example: l.example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			query := url.Values{}
			for i, f := range l.flags {
				if values[i] != "" {
					query.Set(f.name, values[i])
				}
			}
			if change != nil {
				change(cmd, query)
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				return watching(ctx, p, watch, func(ctx context.Context, p Process) error {
					items, missing, err := c.Walk(ctx, l.path, query)
					if err != nil {
						return err
					}
					if err := printItems(p, output, items, l.columns, l.none); err != nil {
						return err
					}
					return tellMissing(p, missing)
				})
			})
		},
	}
	for i, f := range l.flags {
		cmd.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	addWatchFlag(cmd.Flags(), &watch)
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func targetsCommand(p Process) *cobra.Command {
	down := false
	cmd := listing{
		use: "targets", short: "List the targets of all nodes, those that are down first", path: "/targets", none: "There are no such targets.",
		example: "  # What is down, and why?\n  agentctl targets --down\n\n  # The targets of one config that match a word.\n  agentctl targets --config team/api --search eu-1",
		columns: []column{
			{"TARGET", "endpoint", nil}, {"STATE", "state", nil}, {"CONFIG", "instance", nil}, {"JOB", "target_group", nil}, {"NODE", "node", nil},
			{"SCRAPED", "last_scrape", since}, {"SAMPLES", "samples", nil}, {"ERROR", "scrape_error", nil},
		},
		flags: []parameter{
			{"state", "state", "up, down or unknown"}, {"config", "instance", "of this config"}, {"job", "job", "of this job"}, {"node", "node", "of this node"},
			{"label", "label", "with this label, as name=value"}, {"search", "q", "with these words in its URL, labels or error"},
		},
	}.command(p, func(_ *cobra.Command, query url.Values) {
		if down {
			query.Set("state", "down")
		}
	})
	cmd.Flags().BoolVar(&down, "down", false, "those that are down")
	return cmd
}

func endpointsCommand(p Process) *cobra.Command {
	return listing{
		use: "endpoints", short: "List the remote_write endpoints of all nodes, those that are refused first", path: "/receivers", none: "There are no such endpoints.",
		example: "  # Who refuses us, and in which words?\n  agentctl endpoints --state refused",
		columns: []column{
			{"CONFIG", "config", nil}, {"ENDPOINT", "name", nil}, {"STATE", "state", nil}, {"NODE", "node", nil}, {"RECEIVER", "url", nil},
			{"SENT", "samples_sent", nil}, {"DROPPED", "samples_dropped", sum}, {"PENDING", "samples_pending", nil}, {"LAG", "lag_seconds", seconds},
			{"LAST ERROR", "last_error", nil},
		},
		flags: []parameter{
			{"state", "state", "failing, refused, lagging, idle or accepted"}, {"config", "config", "of this config"}, {"node", "node", "of this node"},
			{"url", "url", "to this receiver"}, {"search", "q", "with these words"},
		},
	}.command(p, nil)
}

func unitsCommand(p Process) *cobra.Command {
	return listing{
		use: "units", short: "List who should run each config, slice and replica, and who does", path: "/agent/api/v1/cluster/units", none: "There are no such units.",
		example: "  # What does nobody run?\n  agentctl units --state unclaimed",
		columns: []column{
			{"CONFIG", "config", nil}, {"UNIT", "unit", nil}, {"STATE", "state", nil}, {"OWNER", "owner", nil}, {"RUN BY", "claimed_by", nil}, {"FOR", "since", since},
			{"WAITS", "hold", nil},
		},
		flags: []parameter{{"state", "state", "claimed, moving, unclaimed, held or local"}, {"node", "node", "that this node should run or runs"}, {"name", "name", "whose config's name begins so"}},
	}.command(p, nil)
}

func configsListCommand(p Process) *cobra.Command {
	return listing{
		use: "list", short: "List the configs of all nodes, failures first", path: "/configs", none: "There are no such configs.",
		example: "  agentctl configs list --state quarantined",
		columns: []column{
			{"CONFIG", "name", nil}, {"UNIT", "unit", nil}, {"STATE", "state", nil}, {"NODE", "node", nil}, {"UP", "targets.up", nil}, {"DOWN", "targets.down", nil},
			{"PENDING", "samples_pending", nil}, {"LAG", "lag_seconds", seconds}, {"WAITS", "hold", nil}, {"LAST ERROR", "last_error", nil},
		},
		flags: []parameter{
			{"state", "state", "unowned, quarantined, failed, invalid, refused, down, lagging, waiting, held, preparing, draining or running"},
			{"node", "node", "on this node"}, {"search", "q", "with these words"},
		},
	}.command(p, nil)
}

// question is what a command asks, and table how the answer is shown to people.
type (
	question func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error)
	table    func(p Process, data json.RawMessage) error
)

// answering is a command that asks once and prints the answer.
func answering(p Process, cmd *cobra.Command, ask question, show func(data json.RawMessage) error) *cobra.Command {
	return asking(p, cmd, nil, ask, func(_ Process, data json.RawMessage) error { return show(data) })
}

// watchable is one that can ask again and again.
func watchable(p Process, cmd *cobra.Command, ask question, show table) *cobra.Command {
	var watch time.Duration
	addWatchFlag(cmd.Flags(), &watch)
	return asking(p, cmd, &watch, ask, show)
}

func asking(p Process, cmd *cobra.Command, watch *time.Duration, ask question, show table) *cobra.Command {
	var api apiclient.Options
	var output string
	if watch == nil {
		watch = new(time.Duration)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
			return watching(ctx, p, *watch, func(ctx context.Context, p Process) error {
				data, err := ask(ctx, c, args)
				if err != nil {
					return err
				}
				if output == asTable {
					return show(p, data)
				}
				return printValue(p.Out, output, data)
			})
		})
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func statusCommand(p Process) *cobra.Command {
	return watchable(p, &cobra.Command{
		Use: "status [flags]", Short: "Say in one sentence how the cluster is, and what is wrong first",
		Example: "  agentctl status -a agent-1:12345",
	}, func(ctx context.Context, c *apiclient.Client, _ []string) (json.RawMessage, error) {
		return c.Ask(ctx, http.MethodGet, "/", url.Values{"format": {"json"}}, nil)
	}, func(p Process, data json.RawMessage) error {
		var status struct {
			Sentence    string
			Problems    []json.RawMessage
			Unreachable []apiclient.Missing
		}
		if err := json.Unmarshal(data, &status); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		fmt.Fprintln(p.Out, status.Sentence)
		if len(status.Problems) > 0 {
			fmt.Fprintln(p.Out)
			columns := []column{{"STATE", "state", nil}, {"WHAT", "what", nil}, {"NODE", "node", nil}, {"WHY", "text", nil}}
			if err := printItems(p, asTable, status.Problems, columns, ""); err != nil {
				return err
			}
		}
		return tellMissing(p, status.Unreachable)
	})
}

func clusterCommand(p Process) *cobra.Command {
	return watchable(p, &cobra.Command{
		Use: "cluster [flags]", Short: "List the members of the cluster, what is held, and what moved last", Example: "  agentctl cluster",
	}, func(ctx context.Context, c *apiclient.Client, _ []string) (json.RawMessage, error) {
		return c.Ask(ctx, http.MethodGet, "/agent/api/v1/cluster", url.Values{"limit": {"20"}}, nil)
	}, func(p Process, data json.RawMessage) error {
		var cluster struct {
			Node                    string
			Settled                 bool
			Problem                 string
			Configs, Units, Unowned int
			Members, Moves          []json.RawMessage
			Held, Cordons           []json.RawMessage
		}
		if err := json.Unmarshal(data, &cluster); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		fmt.Fprintf(p.Out, "%d configs, %d units, %d of them run by nobody, as %s sees it.\n", cluster.Configs, cluster.Units, cluster.Unowned, cluster.Node)
		if cluster.Problem != "" {
			fmt.Fprintln(p.Out, cluster.Problem)
		}
		fmt.Fprintln(p.Out)
		err := printItems(p, asTable, cluster.Members, []column{
			{"MEMBER", "node", nil}, {"STATE", "state", nil}, {"ADDRESS", "address", nil}, {"ZONE", "zone", nil}, {"VERSION", "version", nil},
			{"SHARE", "share", percentage}, {"RUNS", "claimed", nil}, {"ORDER", "cordon", orderText}, {"CAN'T RUN", "unfit", nil}, {"REMARKS", "problem", nil},
		}, "There are no members.")
		if err == nil && len(cluster.Held) > 0 {
			fmt.Fprintln(p.Out)
			err = printItems(p, asTable, cluster.Held, []column{
				{"HELD", "name", nil}, {"SINCE", "since", since}, {"BY", "by", nil}, {"WHY", "reason", nil}, {"REMARKS", "problem", nil},
			}, "")
		}
		if err == nil && len(cluster.Cordons) > 0 {
			fmt.Fprintln(p.Out)
			err = printItems(p, asTable, cluster.Cordons, []column{
				{"NODE", "name", nil}, {"ORDER", "order", nil}, {"SINCE", "since", since}, {"BY", "by", nil}, {"WHY", "reason", nil}, {"REMARKS", "problem", nil},
			}, "")
		}
		if err != nil || len(cluster.Moves) == 0 {
			return err
		}
		fmt.Fprintln(p.Out)
		return printItems(p, asTable, cluster.Moves, []column{
			{"MOVED", "at", nil}, {"CONFIG", "config", nil}, {"UNIT", "unit", nil}, {"FROM", "from", nil}, {"TO", "to", nil}, {"HOW", "reason", nil},
		}, "")
	})
}

func planCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan", Short: "Tell what a change of members would move; nothing is changed", Example: "  agentctl plan leave node-2\n  agentctl plan join 1",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	ask := func(parameter string) func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error) {
		return func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error) {
			return c.Ask(ctx, http.MethodGet, "/agent/api/v1/cluster/plan", url.Values{parameter: {args[0]}}, nil)
		}
	}
	show := func(data json.RawMessage) error { return showPlan(p, data) }
	cmd.AddCommand(
		answering(p, &cobra.Command{Use: "leave [flags] NODE", Short: "A node leaves", Example: "  agentctl plan leave node-2"}, ask("leave"), show),
		answering(p, &cobra.Command{Use: "join [flags] NUMBER", Short: "So many nodes join", Example: "  agentctl plan join 1"}, ask("join"), show),
	)
	return cmd
}

func showPlan(p Process, data json.RawMessage) error {
	var plan struct {
		Units, Moved int
		Estimate     *struct{ Least, Most, Draws int }
		Nodes        []json.RawMessage
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	fmt.Fprintf(p.Out, "%d of %d units would move", plan.Moved, plan.Units)
	if e := plan.Estimate; e != nil {
		fmt.Fprintf(p.Out, " (an estimate: at least %d, at most %d in %d draws of tokens)", e.Least, e.Most, e.Draws)
	}
	fmt.Fprint(p.Out, ". Nothing has been changed.\n\n")
	return printItems(p, asTable, plan.Nodes, []column{{"NODE", "node", nil}, {"NOW", "before", nil}, {"THEN", "after", nil}}, "There are no nodes.")
}

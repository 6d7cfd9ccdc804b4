package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

const chaosLong = `Break a running agent on purpose, and see what it does.

The agent has to be started with -chaos.enabled. Every fault ends by itself; docs/chaos.md has the points and what must happen.`

// errUntold says that some nodes could not be told.
var errUntold = errors.New("some nodes could not be told")

func chaosCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "chaos", Short: "Break an agent on purpose", Long: chaosLong,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(chaosPointsCommand(p), chaosInjectCommand(p), chaosListCommand(p), chaosClearCommand(p), chaosRunCommand(p))
	return cmd
}

// withAgent runs f with a client of the agent that the flags say.
func withAgent(cmd *cobra.Command, api *apiclient.Options, f func(context.Context, *apiclient.Client) error) error {
	if err := checkAPIFlags(*api); err != nil {
		return usageError{err}
	}
	if api.OnWait == nil {
		api.OnWait = func(address string) {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: the agent at %s does not answer yet; waiting for %s at most (--wait)\n", address, api.Wait)
		}
	}
	client, err := apiclient.New(*api)
	if errors.Is(err, apiclient.ErrAddress) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer client.Close()
	return f(cmd.Context(), client)
}

func chaosPointsCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var output string
	cmd := &cobra.Command{
		Use: "points [flags]", Example: "  agentctl chaos points", Short: "List the points at which an agent can be broken",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				points, messages, err := c.Points(ctx)
				if err != nil {
					return err
				}
				if output != asTable {
					return printValue(p.Out, output, map[string]any{"points": points, "messages": messages})
				}
				table := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "POINT\tACTIONS\tSCOPES\tWHAT")
				for _, i := range points {
					var actions []string
					for _, a := range i.Actions {
						actions = append(actions, string(a))
					}
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", i.Point, strings.Join(actions, " "), strings.Join(append([]string{"nodes"}, i.Scopes...), " "), i.What)
				}
				if err := table.Flush(); err != nil {
					return err
				}
				fmt.Fprintf(p.Out, "\nMessages: %s\n", strings.Join(messages, " "))
				return nil
			})
		},
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

const injectExample = `  # The actors of a tenth of all configs panic at every hundredth message, for two minutes, on all nodes.
  agentctl chaos inject actor.receive panic --share 0.1 --probability 0.01 --duration 2m --all

  # The disk of node a is full for half a minute.
  agentctl chaos inject disk.write error --error ENOSPC --nodes a --duration 30s --all`

func chaosInjectCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var all bool
	var output string
	rule := fault.Rule{}
	cmd := &cobra.Command{
		Use: "inject [flags] POINT ACTION", Short: "Put a fault in force", Example: injectExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			rule.Point, rule.Action = fault.Point(args[0]), fault.Action(args[1])
			if rule.Name == "" {
				rule.Name = fmt.Sprintf("%s %s", rule.Point, rule.Action)
			}
			if err := rule.Validate(); err != nil {
				return usageError{err}
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				faults, err := c.Inject(ctx, rule, all)
				if err != nil {
					return err
				}
				if err := printDone(p, output, fmt.Sprintf("%s is in force for %s", rule.Name, rule.Duration), faults); err != nil {
					return err
				}
				return untold(p, faults)
			})
		},
	}
	addRuleFlags(cmd.Flags(), &rule)
	cmd.Flags().BoolVar(&all, "all", false, "on all nodes of the cluster, as far as --nodes has them")
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func addRuleFlags(f *pflag.FlagSet, r *fault.Rule) {
	f.StringVar(&r.Name, "name", "", "name of the fault (default POINT ACTION); one of the same name is replaced")
	f.StringSliceVar(&r.Nodes, "nodes", nil, "nodes on which it applies (default all that are told)")
	f.StringVar(&r.Units, "units", "", "pattern of configs, as app-*")
	f.Float64Var(&r.Share, "share", 0, "part of the configs, from 0 to 1, chosen by --seed")
	f.StringVar(&r.Actors, "actors", "", "pattern of actors: supervisor, instance, configs, registry, ring")
	f.StringVar(&r.Messages, "messages", "", "pattern of messages, of the store's keys, or of discoveries")
	f.StringSliceVar(&r.Peers, "peers", nil, "patterns of the other side: nodes, or host:port")
	f.Float64Var(&r.Probability, "probability", 0, "how likely an event is hit, from 0 to 1; 0: each is")
	f.Uint64Var(&r.Seed, "seed", 0, "what chance comes from")
	f.IntVar(&r.Skip, "skip", 0, "events that are spared at first")
	f.IntVar(&r.Count, "count", 0, "events that are hit at most; 0: any number")
	f.DurationVar((*time.Duration)(&r.Start), "start", 0, "time until it begins")
	f.DurationVar((*time.Duration)(&r.Duration), "duration", 30*time.Second, "how long it lasts, at most 1h")
	f.DurationVar((*time.Duration)(&r.Delay), "delay", 0, "for delay, reorder, skew and suspend")
	f.StringVar(&r.Error, "error", "", "ENOSPC, EIO, EMFILE, EROFS or any text")
	f.IntVar(&r.Status, "status", 0, "HTTP status (default 503)")
	f.IntVar(&r.Bytes, "bytes", 0, "memory to hold (default 256 MiB)")
}

// untold says which nodes could not be told.
func untold(p Process, f apiclient.Faults) error {
	for _, u := range f.Unreachable {
		fmt.Fprintf(p.Err, "error: node %s was not told: %s\n", u.Node, u.Error)
	}
	if len(f.Unreachable) > 0 {
		return errUntold
	}
	return nil
}

func chaosListCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var output string
	cmd := &cobra.Command{
		Use: "list [flags]", Example: "  agentctl chaos list", Short: "List the faults that are in force on an agent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				faults, err := c.Faults(ctx)
				if err != nil {
					return err
				}
				if output != asTable {
					return printValue(p.Out, output, faults)
				}
				return showFaults(p.Out, faults.Rules)
			})
		},
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func showFaults(out io.Writer, rules []fault.State) error {
	if len(rules) == 0 {
		fmt.Fprintln(out, "nothing is broken on purpose")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tPOINT\tACTION\tUNTIL\tHITS")
	for _, r := range rules {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d of %d\n", r.Name, r.Point, r.Action, r.Until.Format(time.TimeOnly), r.Hits, r.Seen)
	}
	return table.Flush()
}

func chaosClearCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var here bool
	var output string
	cmd := &cobra.Command{
		Use: "clear [flags] [NAME]", Example: "  agentctl chaos clear", Short: "End one fault, or all, on all nodes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			name := strings.Join(args, "")
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				faults, err := c.EndFault(ctx, name, !here)
				if err != nil {
					return err
				}
				if err := printDone(p, output, "ended", faults); err != nil {
					return err
				}
				return untold(p, faults)
			})
		},
	}
	cmd.Flags().BoolVar(&here, "here", false, "only on the agent that is asked")
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

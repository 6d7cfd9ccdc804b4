package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

const holdLong = `Stop a config on all nodes until it is released.

Scraping ends and its series get their staleness markers; what its logs hold goes on being sent. The hold is kept in the store: it outlasts
restarts, and changes of the config. agentctl cluster lists what is held.`

const drainLong = `Have a node give its units to the other nodes, each from one tick to the next, and take none until it is uncordoned.

The agent stays up, and stays drained over restarts. It is refused if the other nodes are too few; with --force the node keeps what they
can't take.`

const cordonLong = `Let a node take no units that it does not run. What it runs stays, until it is drained, restarted or stopped.

Nodes of earlier versions don't know cordons. While members have different versions a cordon is refused, unless it is forced.`

// orderCommands are what people order of the cluster until they take it back.
func orderCommands(p Process) []*cobra.Command {
	return []*cobra.Command{
		orderCommand(p, "held %s on all nodes", &cobra.Command{
			Use: "hold [flags] CONFIG", Short: "Stop a config on all nodes until it is released", Long: holdLong,
			Example: "  agentctl hold team/api --reason 'it floods the receiver'",
		}),
		orderCommand(p, "released %s", &cobra.Command{
			Use: "release [flags] CONFIG", Short: "End the hold of a config", Example: "  agentctl release team/api",
		}),
		orderCommand(p, "cordoned %s: it takes no more units", &cobra.Command{
			Use: "cordon [flags] NODE", Short: "Let a node take no more units", Long: cordonLong, Example: "  agentctl cordon node-1",
		}),
		orderCommand(p, "%s gives its units to the others; agentctl units --node shows what it has left", &cobra.Command{
			Use: "drain [flags] NODE", Short: "Have a node give its units to the others", Long: drainLong,
			Example: "  agentctl drain node-1 --force --reason 'new disk'",
		}),
		orderCommand(p, "uncordoned %s", &cobra.Command{
			Use: "uncordon [flags] NODE", Short: "End a cordon or a drain", Example: "  agentctl uncordon node-1",
		}),
	}
}

func orderCommand(p Process, done string, cmd *cobra.Command) *cobra.Command {
	var api apiclient.Options
	o := apiclient.Order{Kind: cmd.Name()}
	var output string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		o.Name = args[0]
		if user, set := p.LookupEnv("USER"); o.By == "" && set {
			o.By = user
		}
		return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
			if err := c.Order(ctx, o); err != nil {
				return err
			}
			return printDone(p, output, fmt.Sprintf(done, o.Name), map[string]string{"order": o.Kind, "name": o.Name})
		})
	}
	switch o.Kind {
	case "hold", "cordon", "drain":
		cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for people to see")
		cmd.Flags().StringVar(&o.By, "by", "", "who, for people to see (default $USER)")
	}
	switch o.Kind {
	case "drain":
		cmd.Flags().BoolVar(&o.Force, "force", false, "also if the other nodes are too few")
	case "cordon":
		cmd.Flags().BoolVar(&o.Force, "force", false, "also if nodes of another version are there")
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/configsync"
)

func configsCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "configs", Short: "Look at single configs, and change them", Example: "  agentctl configs list\n  agentctl configs put team/api api.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configsListCommand(p), configsNamesCommand(p), configsGetCommand(p), configsPutCommand(p), configsDeleteCommand(p), configsRetryCommand(p),
		configsDiffCommand(p), configsHistoryCommand(p))
	return cmd
}

// doing is a command that talks to an agent and prints by itself.
func doing(cmd *cobra.Command, do func(ctx context.Context, c *apiclient.Client, output string, args []string) error) *cobra.Command {
	var api apiclient.Options
	var output string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error { return do(ctx, c, output, args) })
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func configsGetCommand(p Process) *cobra.Command {
	return doing(&cobra.Command{
		Use: "get [flags] NAME", Short: "Print a stored config, without its secrets", Example: "  agentctl configs get team/api",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		text, err := c.Get(ctx, args[0])
		if err != nil {
			return err
		}
		exact := p // the text may go into a file
		exact.Out = exactly(p.Out)
		return printDone(exact, output, strings.TrimSuffix(text, "\n"), map[string]string{"name": args[0], "value": text})
	})
}

func configsPutCommand(p Process) *cobra.Command {
	return doing(&cobra.Command{
		Use: "put [flags] NAME FILE", Short: "Store a config; - reads it from the standard input", Example: "  agentctl configs put team/api api.yaml",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		text, err := readFile(p, args[1])
		if err != nil {
			return err
		}
		err = c.Put(ctx, args[0], text, apiclient.Condition{})
		var refusal *apiclient.Refusal
		if errors.As(err, &refusal) && len(refusal.Problems) > 0 {
			for _, problem := range refusal.Problems {
				fmt.Fprintf(p.Err, "error: %s:%d: %s: %s\n", args[1], problem.Line, problem.Field, strings.TrimSuffix(problem.Problem+"; "+problem.Hint, "; "))
			}
			return errInvalid
		}
		if err != nil {
			return err
		}
		return printDone(p, output, "stored "+args[0], map[string]string{"stored": args[0]})
	})
}

const namesLong = `Print the name of every key in the store below the prefix of configs, one a line.

These are also the names that agents refuse to run and that others wrote into the store. With --escaped, each name is printed as it stands in a URL: what is not printable or not UTF-8 can be copied into agentctl configs delete --escaped.`

func configsNamesCommand(p Process) *cobra.Command {
	var escaped bool
	cmd := doing(&cobra.Command{
		Use: "names [flags]", Short: "Print the names of all stored configs", Long: namesLong, Example: "  agentctl configs names --escaped",
	}, func(ctx context.Context, c *apiclient.Client, output string, _ []string) error {
		l, err := c.List(ctx)
		if err != nil {
			return err
		}
		names := []string{}
		for _, config := range l.Configs {
			switch {
			case escaped:
				names = append(names, url.PathEscape(config.Name))
			case output == asTable:
				names = append(names, configsync.Printable(config.Name))
			default:
				names = append(names, config.Name)
			}
		}
		if output != asTable {
			return printValue(p.Out, output, names)
		}
		for _, name := range names {
			fmt.Fprintln(p.Out, name)
		}
		return nil
	})
	cmd.Flags().BoolVar(&escaped, "escaped", false, "as they stand in URLs")
	return cmd
}

func configsDeleteCommand(p Process) *cobra.Command {
	var escaped bool
	cmd := doing(&cobra.Command{
		Use: "delete [flags] NAME", Short: "Delete a stored config", Example: "  agentctl configs delete team/api",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		name := args[0]
		if escaped {
			var err error
			if name, err = url.PathUnescape(name); err != nil {
				return usageError{err}
			}
		}
		if err := c.Remove(ctx, name); err != nil {
			return err
		}
		return printDone(p, output, "deleted "+configsync.Printable(name), map[string]string{"deleted": name})
	})
	cmd.Flags().BoolVar(&escaped, "escaped", false, "NAME is as configs names --escaped prints it")
	return cmd
}

func configsRetryCommand(p Process) *cobra.Command {
	return answering(p, &cobra.Command{
		Use: "retry [flags] NAME", Short: "Start a config at once that is quarantined or in backoff", Example: "  agentctl configs retry team/api",
	}, func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error) {
		return c.Ask(ctx, http.MethodPost, "/agent/api/v1/metrics/instance/"+url.PathEscape(args[0])+"/retry", nil, nil)
	}, func(data json.RawMessage) error {
		var out struct {
			Retried     []string
			Unreachable []apiclient.Missing
		}
		if err := json.Unmarshal(data, &out); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		fmt.Fprintf(p.Out, "tried again on %s\n", strings.Join(out.Retried, ", "))
		return tellMissing(p, out.Unreachable)
	})
}

const diffLong = `Compare a stored config with a file, or with the standard input if FILE is -.

Secrets are masked on both sides; that they differ is told all the same. A diff needs an agent that runs with -config.enable-read-api.

Exit status: 0 they are equal, 1 something failed, 2 wrong usage, 3 they differ.`

func configsDiffCommand(p Process) *cobra.Command {
	return doing(&cobra.Command{
		Use: "diff [flags] NAME FILE", Short: "Show how a stored config differs from a file", Long: diffLong, Example: "  agentctl configs diff team/api api.yaml",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		text, err := readFile(p, args[1])
		if err != nil {
			return err
		}
		diff, err := configsync.Compare(ctx, c, args[0], text)
		if err != nil {
			return err
		}
		sentence := args[0] + " is as in " + args[1]
		if diff.Differs {
			sentence = strings.TrimSuffix(diff.Text, "\n")
		}
		if err := printDone(p, output, sentence, diff); err != nil {
			return err
		}
		if diff.Differs {
			return configsync.ErrDiffers
		}
		return nil
	})
}

func configsHistoryCommand(p Process) *cobra.Command {
	return doing(&cobra.Command{
		Use: "history [flags] NAME", Short: "List what has happened to a config, newest first", Example: "  agentctl configs history team/api",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		doc, err := askConfig(ctx, c, args[0])
		if err != nil {
			return err
		}
		var items []json.RawMessage
		for _, e := range doc.History {
			item, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("encode: %w", err)
			}
			items = append(items, item)
		}
		columns := []column{{"AT", "at", nil}, {"AGO", "at", since}, {"WHAT", "text", nil}}
		if err := printItems(p, output, items, columns, "Nothing is known to have happened to it."); err != nil {
			return err
		}
		return tellMissing(p, doc.Unreachable)
	})
}

const forgetLong = `Remove what a dead member has left in the store: its record and its session with all its claims, so that others take over what it ran.

The agent refuses it unless the member is dead by the evidence that nodes ask of each other. Without --yes nothing is done.`

func forgetCommand(p Process) *cobra.Command {
	yes := false
	cmd := doing(&cobra.Command{
		Use: "forget [flags] NODE", Short: "Remove a dead member", Long: forgetLong, Example: "  agentctl forget node-2 --yes",
	}, func(ctx context.Context, c *apiclient.Client, output string, args []string) error {
		if !yes {
			return usageError{fmt.Errorf("forgetting %s can't be undone: say --yes if you mean it", args[0])}
		}
		if err := c.Forget(ctx, args[0]); err != nil {
			return err
		}
		return printDone(p, output, "forgot "+args[0], map[string]string{"forgot": args[0]})
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

const scrapeLong = `Ask a target once, as the node that has it would scrape it, and show what it answers.

TARGET is the target's URL, or any part of it that only one target of the config has. Nothing of the answer is stored. A body that is no
metrics is not shown.`

func scrapeCommand(p Process) *cobra.Command {
	return answering(p, &cobra.Command{
		Use: "scrape [flags] CONFIG TARGET", Short: "Show what a target answers now", Long: scrapeLong,
		Example: "  agentctl scrape team/api 10.0.0.7:9100",
	}, func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error) {
		form, err := findTarget(ctx, c, args[0], args[1])
		if err != nil {
			return nil, err
		}
		return c.Ask(ctx, http.MethodPost, "/target", nil, form)
	}, func(data json.RawMessage) error {
		var answer struct {
			Node   string
			Target struct{ Endpoint string }
			Scrape struct {
				Error, Status, Body, Note string
				Seconds                   float64
				Bytes, Samples            int
				Headers                   []struct{ Name, Value string }
				Limits                    []string
			}
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		s := answer.Scrape
		fmt.Fprintf(p.Out, "%s, asked by %s: %s, %d bytes, %d samples, %.3f s\n", answer.Target.Endpoint, answer.Node, s.Status, s.Bytes, s.Samples, s.Seconds)
		for _, h := range s.Headers {
			fmt.Fprintf(p.Out, "%s: %s\n", h.Name, h.Value)
		}
		for _, text := range slices.Concat(s.Limits, []string{s.Note}) {
			if text != "" {
				fmt.Fprintln(p.Out, text)
			}
		}
		if s.Body != "" {
			fmt.Fprintf(p.Out, "\n%s\n", strings.TrimRight(s.Body, "\n"))
		}
		if s.Error != "" {
			return fmt.Errorf("a scrape would fail: %s", s.Error)
		}
		return nil
	})
}

// findTarget finds the one target of a config that is called so.
func findTarget(ctx context.Context, c *apiclient.Client, config, target string) (form url.Values, err error) {
	items, _, err := c.Walk(ctx, "/targets", url.Values{"instance": {config}})
	if err != nil {
		return nil, err
	}
	type found struct{ Node, ID, Unit, Endpoint string }
	var exact, similar []found
	for _, item := range items {
		var t found
		if err := json.Unmarshal(item, &t); err != nil {
			return nil, fmt.Errorf("decode answer: %w", err)
		}
		if t.Endpoint == target {
			exact = append(exact, t)
		}
		if strings.Contains(t.Endpoint, target) {
			similar = append(similar, t)
		}
	}
	if len(exact) > 0 {
		similar = exact[:1]
	}
	switch len(similar) {
	case 1:
		t := similar[0]
		return url.Values{"config": {config}, "unit": {t.Unit}, "node": {t.Node}, "id": {t.ID}}, nil
	case 0:
		return nil, fmt.Errorf("config %q has no target %q; agentctl targets --config %s lists those it has", config, target, config)
	}
	return nil, usageError{fmt.Errorf("%d targets of config %q match %q; give more of the URL, as %s", len(similar), config, target, similar[0].Endpoint)}
}

const relabelLong = `Take labels through relabelling rules, and show the labels after each rule.

RULES is a file with the YAML list, as under relabel_configs, or - for the standard input. The agent that is asked does the work.`

func relabelCommand(p Process) *cobra.Command {
	var given []string
	cmd := answering(p, &cobra.Command{
		Use: "relabel [flags] RULES", Short: "Show what relabelling rules make of labels, step by step", Long: relabelLong,
		Example: "  agentctl relabel --label '__address__=\"10.0.0.7:9100\"' --label 'job=\"node\"' rules.yaml",
	}, func(ctx context.Context, c *apiclient.Client, args []string) (json.RawMessage, error) {
		if len(given) == 0 {
			return nil, usageError{errors.New("give at least one --label")}
		}
		rules, err := readFile(p, args[0])
		if err != nil {
			return nil, err
		}
		return c.Ask(ctx, http.MethodPost, "/relabel", url.Values{"format": {"json"}}, url.Values{"labels": {strings.Join(given, "\n")}, "rules": {rules}})
	}, func(data json.RawMessage) error {
		var out struct {
			Before  map[string]string
			Dropped int
			Steps   []struct {
				Number           int
				Rule             string
				Labels           map[string]string
				Dropped, Changed bool
			}
		}
		if err := json.Unmarshal(data, &out); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		table := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "RULE\tSAYS\tLABELS\n0\t\t%s\n", labelText(out.Before))
		for _, s := range out.Steps {
			after := labelText(s.Labels)
			if s.Dropped {
				after = "dropped"
			}
			fmt.Fprintf(table, "%d\t%s\t%s\n", s.Number, strings.ReplaceAll(s.Rule, "\n", ", "), after)
		}
		return table.Flush()
	})
	cmd.Flags().StringArrayVarP(&given, "label", "l", nil, `a label, as name="value"; may be repeated`)
	return cmd
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for name, value := range labels {
		parts = append(parts, fmt.Sprintf("%s=%q", name, value))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ", ") + "}"
}

func readFile(p Process, name string) (string, error) {
	if name != "-" {
		text, err := os.ReadFile(name)
		return string(text), err
	}
	if p.In == nil {
		return "", errors.New("there is no standard input")
	}
	text, err := io.ReadAll(p.In)
	return string(text), err
}

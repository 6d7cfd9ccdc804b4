package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

// errPartial says that some nodes did not answer, which was told on Process.Err.
var errPartial = errors.New("some nodes did not answer")

// The values of --output.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
)

// column is one of a table. Field is the path of the value in an item, as targets.up.
type column struct {
	header, field string
	// of is how the value is shown. Nil: as it is.
	of func(value any) string
}

func addOutputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", asTable, "table for people; json or yaml for programs")
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{asTable, asJSON, asYAML}, cobra.ShellCompDirectiveNoFileComp))
}

// printDone says what was done: a sentence for people, a value for programs.
func printDone(p Process, output, sentence string, value any) error {
	if output != asTable {
		return printValue(p.Out, output, value)
	}
	fmt.Fprintln(p.Out, sentence)
	return nil
}

func checkOutput(output string) error {
	switch output {
	case asTable, asJSON, asYAML:
		return nil
	}
	return usageError{fmt.Errorf("--output is %q: want table, json or yaml", output)}
}

// printItems writes a listing.
func printItems(p Process, output string, items []json.RawMessage, columns []column, none string) error {
	if output != asTable {
		if items == nil {
			items = []json.RawMessage{}
		}
		return printValue(p.Out, output, items)
	}
	if len(items) == 0 {
		fmt.Fprintln(p.Out, none)
		return nil
	}
	var headers []string
	for _, c := range columns {
		headers = append(headers, c.header)
	}
	rows := make([][]string, 0, len(items))
	for _, item := range items {
		var fields map[string]any
		if err := json.Unmarshal(item, &fields); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		cells := make([]string, 0, len(columns))
		for _, c := range columns {
			cells = append(cells, c.cell(fields))
		}
		rows = append(rows, cells)
	}
	return writeTable(p.Out, p.colours(), headers, rows)
}

func (c column) cell(fields map[string]any) string {
	var value any = fields
	for name := range strings.SplitSeq(c.field, ".") {
		within, _ := value.(map[string]any)
		value = within[name]
	}
	text := ""
	switch {
	case c.of != nil:
		text = c.of(value)
	case value != nil:
		text = plain(value)
	}
	if text == "" {
		return "-"
	}
	return text
}

// plain is a value without an exponent.
func plain(value any) string {
	if n, isNumber := value.(float64); isNumber {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
	}
	return fmt.Sprint(value)
}

// since is how long ago an instant was.
func since(value any) string {
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.IsZero() {
		return ""
	}
	return time.Since(at).Round(time.Second).String()
}

func percentage(value any) string {
	n, _ := value.(float64)
	return fmt.Sprintf("%.1f%%", 100*n)
}

func seconds(value any) string {
	n, _ := value.(float64)
	return time.Duration(n * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// orderText is whether a node is cordoned or drained.
func orderText(value any) string {
	order, _ := value.(map[string]any)
	kind, _ := order["order"].(string)
	return map[string]string{"cordon": "cordoned", "drain": "drained"}[kind]
}

// sum adds what is told by reason.
func sum(value any) string {
	byReason, _ := value.(map[string]any)
	total := 0.0
	for _, n := range byReason {
		f, _ := n.(float64)
		total += f
	}
	return plain(total)
}

// printValue writes a value for programs.
func printValue(w io.Writer, output string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if output == asYAML {
		var decoded any
		if err := yaml.Unmarshal(text, &decoded); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if text, err = yaml.Marshal(decoded); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	fmt.Fprintln(exactly(w), strings.TrimRight(string(text), "\n"))
	return nil
}

// tellMissing says which nodes did not answer.
func tellMissing(p Process, missing []apiclient.Missing) error {
	for _, m := range missing {
		fmt.Fprintf(p.Err, "error: node %s did not answer, so what it has is missing: %s\n", m.Node, m.Error)
	}
	if len(missing) > 0 {
		return errPartial
	}
	return nil
}

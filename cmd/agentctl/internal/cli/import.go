package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/migrate"
	"github.com/ringmaster-agent/ringmaster/config"
)

const importLong = `Make a main file and configs of a Prometheus or Grafana Agent (static mode) config file.

From prometheus.yml: DIR/agent.yaml has the global block and the remote_write blocks; DIR/configs has one config for each
scrape config, for agentctl config-sync. What Prometheus does and an agent does not (rules, alerting, storage) is left out.

From Grafana Agent's agent.yaml: DIR/agent.yaml has its server and metrics blocks, with metrics.compatibility: agent, so that
series keep their names and labels. What this agent does not do (logs, traces, integrations) is left out.

A line on standard error tells each thing that is left out. FILE is not changed, and no file in DIR is overwritten.

Exit status: 0 the new files are valid, 1 they are not or can't be written, 2 wrong usage.`

func importCommand(p Process) *cobra.Command {
	expandEnv := false
	var output string
	cmd := &cobra.Command{
		Use:     "import [flags] FILE DIR",
		Short:   "Take over a config file of Prometheus or Grafana Agent",
		Long:    importLong,
		Example: "  agentctl import grafana-agent.yaml ./new\n  agentctl import prometheus.yml ./fresh",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			result, err := migrate.Convert(args[0], text)
			if err != nil {
				return err
			}
			for _, note := range result.Notes {
				fmt.Fprintf(p.Err, "note: %s\n", note)
			}
			written, err := result.Write(args[1])
			if err != nil {
				return err
			}
			problems := result.Check(args[1], config.LoadOptions{ExpandEnv: expandEnv, LookupEnv: p.LookupEnv, ForeignDiscoveries: true})
			texts := []string{}
			for _, problem := range problems {
				fmt.Fprintf(p.Err, "error: %v\n", problem)
				texts = append(texts, problem.Error())
			}
			if output != asTable {
				err := printValue(p.Out, output, map[string]any{"written": written, "notes": result.Notes, "errors": texts})
				if err != nil {
					return err
				}
				written = nil
			}
			for _, path := range written {
				fmt.Fprintf(p.Out, "wrote %s\n", path)
			}
			if len(problems) > 0 {
				return errInvalid
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&expandEnv, "expand-env", "e", false, "expand ${VAR} and ${VAR:-default} when the new main file is checked")
	addOutputFlag(cmd, &output)
	return cmd
}

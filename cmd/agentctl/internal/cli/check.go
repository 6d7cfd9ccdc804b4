package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/config"
)

// errInvalid says that a file is not valid, which was told on Process.Err.
var errInvalid = errors.New("the file is not valid")

const checkLong = `Validate an agent's main config file, as the agent itself does at its start.

Every error is printed, with its line, the field, what is wrong and what to do.

Exit status: 0 the file is valid, 1 it is not, 2 wrong usage.`

func configCheckCommand(p Process) *cobra.Command {
	expandEnv := false
	cmd := &cobra.Command{
		Use:     "config-check [flags] FILE",
		Short:   "Validate an agent's config file",
		Long:    checkLong,
		Example: "  agentctl config-check agent.yaml\n  PASSWORD=x agentctl config-check --expand-env agent.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			_, err = config.LoadAgent(args[0], text, config.LoadOptions{ExpandEnv: expandEnv, LookupEnv: p.LookupEnv})
			var all config.Errors
			if errors.As(err, &all) {
				for _, e := range all {
					fmt.Fprintf(p.Err, "error: %v\n", e)
				}
				return errInvalid
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(p.Out, "%s is valid\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVarP(&expandEnv, "expand-env", "e", false, "expand ${VAR} and ${VAR:-default} in the file")
	return cmd
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/configsync"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitDiffers = 3
)

// Process is what the command line needs of the process it runs in.
type Process struct {
	// Args are the arguments without the program's name.
	Args     []string
	Out, Err io.Writer
	// LookupEnv finds a variable of the environment.
	LookupEnv func(name string) (value string, set bool)
	Version   string
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// Main runs one command and returns the process's exit code: 0 done, 1 failed, 2 usage, 3 a dry run found differences.
func Main(ctx context.Context, p Process) int {
	// Whatever cobra refuses before a command's own code runs is a mistake in the command line.
	started := false
	root := &cobra.Command{
		Use:           "agentctl",
		Short:         "Look after an agent's configs",
		Version:       p.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			started = true
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(configSyncCommand(p), configCheckCommand(p))
	root.SetArgs(p.Args)
	root.SetOut(p.Out)
	root.SetErr(p.Err)

	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, configsync.ErrDiffers):
		return exitDiffers
	case !started, errors.As(err, &usage):
		fmt.Fprintf(p.Err, "error: %v\n\n%s", err, cmd.UsageString())
		return exitUsage
	case errors.Is(err, configsync.ErrFailed), errors.Is(err, errInvalid):
		// It was told already.
	default:
		fmt.Fprintf(p.Err, "error: %v\n", err)
	}
	return exitFailed
}

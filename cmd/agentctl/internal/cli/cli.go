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
	// OutTerminal and ErrTerminal: a person looks at Out and Err.
	OutTerminal, ErrTerminal bool
	// In is the standard input. Nil: there is none.
	In io.Reader
	// LookupEnv finds a variable of the environment.
	LookupEnv func(name string) (value string, set bool)
	Version   string
}

// Main runs one command and returns the process's exit code: 0 done, 1 failed, 2 usage, 3 a
// comparison found differences.
func Main(ctx context.Context, p Process) int {
	p.Out, p.Err = visibly(p.Out), visibly(p.Err)
	// Whatever cobra refuses before a command's own code runs is a mistake in the command line.
	started := false
	root := newRoot(p)
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(p.Args)

	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, configsync.ErrDiffers):
		return exitDiffers
	case !started, errors.As(err, &usage):
		fmt.Fprintf(p.Err, "error: %v (see %s --help)\n", err, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, configsync.ErrFailed), errors.Is(err, errInvalid), errors.Is(err, errUntold), errors.Is(err, errPartial), errors.Is(err, errRefuted):
		// It was told already.
	default:
		fmt.Fprintf(p.Err, "error: %v\n", err)
	}
	return exitFailed
}

// newRoot is the command line with all its commands.
func newRoot(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:           "agentctl",
		Short:         "Look after agents and their configs",
		Version:       p.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(configSyncCommand(p), configCheckCommand(p), importCommand(p), chaosCommand(p), configsCommand(p), forgetCommand(p))
	root.AddCommand(tailCommand(p), supportCommand(p))
	root.AddCommand(lookCommands(p)...)
	root.AddCommand(orderCommands(p)...)
	root.AddCommand(logCommands(p)...)
	root.SetOut(exactly(p.Out)) // help, and scripts for shells
	root.SetErr(p.Err)
	checkUsage(root, p.Args)
	addCompletion(root)
	return root
}

// addCompletion adds cobra's command, with examples.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		for _, shell := range cmd.Commands() {
			shell.Example = "  agentctl completion " + shell.Name()
		}
	}
}

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// maxTypos is how many letters may be wrong in a name that is suggested for it.
const maxTypos = 2

// checkUsage makes a command, and all below it, say in one line what is wrong with its arguments
// and flags. What the arguments are is said by cobra.Command.Use. args are those of the process.
func checkUsage(cmd *cobra.Command, args []string) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return explainFlag(cmd, args, err) })
	if cmd.HasSubCommands() {
		cmd.Args = knownCommand
	} else {
		cmd.Args = knownArguments
	}
	for _, below := range cmd.Commands() {
		checkUsage(below, args)
	}
}

// knownCommand refuses what is no command, with those that are nearly called so.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = maxTypos
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		text += "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usageError{errors.New(text)}
}

// knownArguments refuses arguments that are missing or too many, by the name that they have in
// cobra.Command.Use.
func knownArguments(cmd *cobra.Command, args []string) error {
	var names []string
	required := 0
	for _, name := range strings.Fields(cmd.Use)[1:] {
		if name == "[flags]" {
			continue
		}
		names = append(names, name)
		if !strings.HasPrefix(name, "[") {
			required++
		}
	}
	if len(args) < required {
		return usageError{fmt.Errorf("missing %s: %s %s", strings.Join(names[len(args):required], " and "), cmd.CommandPath(), strings.Join(names, " "))}
	}
	if len(args) > len(names) {
		wanted := "takes no arguments"
		if len(names) > 0 {
			wanted = "takes " + strings.Join(names, " ")
		}
		return usageError{fmt.Errorf("unexpected argument %q: %s %s", args[len(names)], cmd.CommandPath(), wanted)}
	}
	return nil
}

// explainFlag names the flag that was probably meant. A command that is not there has no flags, so
// what is said of it is its name.
func explainFlag(cmd *cobra.Command, args []string, err error) error {
	if cmd.HasSubCommands() {
		if _, rest, findErr := cmd.Root().Find(args); findErr == nil {
			if name := commandIn(cmd, rest); name != "" {
				return knownCommand(cmd, []string{name})
			}
		}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return usageError{err}
	}
	var similar []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if typos(unknown.GetSpecifiedName(), f.Name) <= maxTypos {
			similar = append(similar, "--"+f.Name)
		}
	})
	if len(similar) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(similar, " or "))
	}
	return usageError{err}
}

// commandIn is the first of the arguments after a command that is no flag and no value of one; empty
// if there is none.
func commandIn(cmd *cobra.Command, args []string) string {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if !strings.HasPrefix(args[i], "-") {
			return args[i]
		}
		if !strings.Contains(args[i], "=") && takesValue(cmd, args[i]) {
			i++
		}
	}
	return ""
}

// takesValue reports whether a flag of the command, or of one below it, takes the next argument.
func takesValue(cmd *cobra.Command, flag string) bool {
	var known *pflag.Flag
	if name, long := strings.CutPrefix(flag, "--"); long {
		known = cmd.Flags().Lookup(name)
	} else if len(flag) == 2 {
		known = cmd.Flags().ShorthandLookup(flag[1:])
	}
	if known != nil {
		return known.NoOptDefVal == ""
	}
	return slices.ContainsFunc(cmd.Commands(), func(below *cobra.Command) bool { return takesValue(below, flag) })
}

// typos is how many letters have to be added, removed, replaced or swapped with the next to make b
// of a.
func typos(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		twoBefore := before
		before = slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			wrong := 1
			if a[i] == b[j] {
				wrong = 0
			}
			row[j+1] = min(before[j]+wrong, before[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], twoBefore[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

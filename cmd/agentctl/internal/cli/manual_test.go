package cli

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the man page and the completions of packaging anew")

// TestTheManPageAndTheCompletionsFollowTheCommands compares what the packages install with the
// commands that there are.
func TestTheManPageAndTheCompletionsFollowTheCommands(t *testing.T) {
	root := newRoot(Process{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Version: "v"})
	root.InitDefaultCompletionCmd()
	var bash, zsh, fish bytes.Buffer
	require.NoError(t, root.GenBashCompletionV2(&bash, true))
	require.NoError(t, root.GenZshCompletion(&zsh))
	require.NoError(t, root.GenFishCompletion(&fish, true))
	for path, text := range map[string]string{
		"completion/agentctl.bash": bash.String(), "completion/agentctl.zsh": zsh.String(), "completion/agentctl.fish": fish.String(),
		"man/agentctl.1": manual(root),
	} {
		file := filepath.Join("..", "..", "..", "..", "packaging", filepath.FromSlash(path))
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), text, "go test ./cmd/agentctl/internal/cli -args -update writes packaging/%s anew", path)
	}
}

// manual is the man page in section 1, in roff.
func manual(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH AGENTCTL 1 \"\" Ringmaster \"User Commands\"\n.SH NAME\nagentctl \\- %s\n", roff(root.Short))
	b.WriteString(".SH SYNOPSIS\n.B agentctl\n.I COMMAND\n[\\fIFLAGS\\fR] [\\fIARGUMENTS\\fR]\n.SH COMMANDS\n")
	describeCommands(&b, root)
	b.WriteString(".SH EXIT STATUS\n0: done; 1: failed; 2: wrong usage; 3: a comparison found differences.\n.SH SEE ALSO\nringmaster\\-agent(8)\n")
	return b.String()
}

// describeCommands describes each command, and those below it.
func describeCommands(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "completion" || c.Name() == "help" {
			continue
		}
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(c.UseLine()), paragraphs(cmp.Or(c.Long, c.Short)))
		c.Flags().VisitAll(func(f *pflag.Flag) {
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(name), roff(f.Usage))
		})
		if c.Example != "" {
			fmt.Fprintf(b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", roff(c.Example))
		}
		describeCommands(b, c)
	}
}

func paragraphs(text string) string { return strings.ReplaceAll(roff(text), "\n\n", "\n.PP\n") }

// roff escapes what roff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

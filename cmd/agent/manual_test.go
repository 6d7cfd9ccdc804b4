package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the man page of packaging anew")

// TestTheManPageFollowsTheFlags compares what the package installs with the flags that there are.
func TestTheManPageFollowsTheFlags(t *testing.T) {
	var help bytes.Buffer
	_, err := parseFlags([]string{"-help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	var b strings.Builder
	b.WriteString(".TH RINGMASTER\\-AGENT 8 \"\" Ringmaster \"System Administration\"\n.SH NAME\nringmaster\\-agent \\- clustered Prometheus scraping agent\n")
	b.WriteString(".SH SYNOPSIS\n.B ringmaster\\-agent\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n" +
		"Agents on one key\\-value store share the scraping of many small configs and send the samples by Prometheus remote write.\n" +
		"SIGTERM hands everything over to other agents and sends what is left; SIGHUP reads the config file again.\n.SH OPTIONS\n")
	for line := range strings.Lines(help.String()) {
		line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSuffix(line, "\n"))
		switch {
		case strings.HasPrefix(line, "Usage"):
		case strings.HasPrefix(line, "  "+`\-`):
			name, usage, _ := strings.Cut(strings.TrimSpace(line), "\t")
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n", name)
			if usage != "" {
				b.WriteString(usage + "\n")
			}
		default:
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	b.WriteString(".SH FILES\n/etc/ringmaster/agent.yaml, /etc/default/ringmaster\\-agent, /var/lib/ringmaster\n.SH SEE ALSO\nagentctl(1)\n")
	file := filepath.Join("..", "..", "packaging", "man", "ringmaster-agent.8")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "go test ./cmd/agent -args -update writes packaging/man anew")
}

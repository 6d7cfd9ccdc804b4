// Command agentctl is the operator's command line: it brings a directory of configs and a running
// agent's store into step, and checks an agent's config file before it is deployed.
// docs/agentctl.md is its reference.
//
// It links the service discoveries that cost little. What a config says of others is left to the
// agent, which refuses an upload that is wrong.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/cli"
	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light" // the discoveries whose configs are checked here
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Process{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv, Version: version(),
		OutTerminal: isTerminal(os.Stdout), ErrTerminal: isTerminal(os.Stderr),
	})
	stop()
	os.Exit(code)
}

// isTerminal says whether a person looks at a file. The null device is no terminal, though it is a
// character device too.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// release is the version that a release sets by -ldflags -X.
var release string

// version is that of the release, or else the module's as the Go tool recorded it: a tag, or the
// commit it was built from.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

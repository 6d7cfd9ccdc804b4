// Command agentctl is the operator's command line: it brings a directory of configs and a running agent's store into step,
// and checks an agent's config file before it is deployed. docs/agentctl.md is its reference.
//
// It links every service discovery, since it validates configs that use them; the build tag light leaves the heavy
// ones out.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Process{
		Args: os.Args[1:], Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv, Version: version(),
	})
	stop()
	os.Exit(code)
}

// version is the module's version as the Go tool recorded it: a tag, or the commit it was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/daemon"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
)

// runAgent is the agent of a process that the demo has started, with some of the flags of the real
// one. It ends when it is told to, or when its standard input does: then the demo is gone.
func runAgent(args []string) (exitCode int) {
	set := flag.NewFlagSet(agentCommand, flag.ExitOnError)
	file := set.String("config.file", "", "agent.yaml")
	address := set.String("server.http.address", "127.0.0.1:0", "address of API and pages")
	timeout := set.Duration("server.graceful-shutdown-timeout", 5*time.Second, "bound of an orderly end")
	chaos := set.Bool("chaos.enabled", false, "let it be broken on purpose")
	_ = set.Parse(args) // it exits
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := serveAgent(ctx, *file, *address, *timeout, *chaos); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		return 1
	}
	return 0
}

func serveAgent(ctx context.Context, file, address string, timeout time.Duration, chaos bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read agent.yaml: %w", err)
	}
	settings, err := config.LoadAgent(file, text, config.LoadOptions{})
	if err != nil {
		return err
	}
	logger, err := logging.New(os.Stderr, settings.Server.LogLevel, settings.Server.LogFormat)
	if err != nil {
		return err
	}
	return daemon.Run(ctx, daemon.Options{Agent: settings, ListenAddress: address, ShutdownTimeout: timeout, Logger: logger, Chaos: chaos, Exit: func() { os.Exit(1) }})
}

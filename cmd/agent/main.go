package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/prometheus/common/version"
	"go.uber.org/zap"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/daemon"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

func execute(args []string, out, problems io.Writer) (exitCode int) {
	completeVersion(debug.ReadBuildInfo())
	f, err := parseFlags(args, problems)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintln(problems, "agent:", err)
		return exitUsage
	}
	if f.version {
		fmt.Fprintln(out, version.Print("agent"))
		return exitDone
	}
	agent, err := f.load()
	if err != nil {
		fmt.Fprintln(problems, err)
		return exitUsage
	}
	if f.check {
		for _, warning := range agent.Warnings {
			fmt.Fprintln(problems, "warning:", warning)
		}
		fmt.Fprintln(out, f.configFile, "is valid")
		return exitDone
	}
	return serve(f, agent, problems)
}

// load reads the config as the flags ask for it.
func (f flags) load() (*config.Agent, error) {
	if f.configFile == "" {
		return config.Default(f.walDirectory), nil
	}
	text, err := os.ReadFile(f.configFile)
	if err != nil {
		return nil, fmt.Errorf("read -config.file: %w", err)
	}
	return config.LoadAgent(f.configFile, text, config.LoadOptions{
		ExpandEnv: f.expandEnv, LookupEnv: os.LookupEnv, WALDirectory: f.walDirectory,
	})
}

// gcPercent makes the collector come earlier than by default. What an agent holds is labels that live long, and thousands of
// instances make much of it: with 1,000 instances of 100 series the process is a sixth smaller, for a seventh more of very little CPU.
const gcPercent = 50

// collectEarly leaves the collector alone if the operator has said something about it.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// serve runs the agent until a signal comes or something fails.
func serve(f flags, agent *config.Agent, logs io.Writer) (exitCode int) {
	logger, err := logging.New(logs, agent.Server.LogLevel, agent.Server.LogFormat)
	if err != nil {
		fmt.Fprintln(logs, "agent:", err)
		return exitUsage
	}
	for _, name := range f.ignored {
		logger.Warn("flag of the retired service has no meaning here and is ignored", zap.String("flag", name))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	// Those that come during a reload are one. They are taken until the end, or one during a shutdown would cut it short.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	bridgeGRPC(logger.Logger)
	collectEarly()
	options := f.options(agent, logger)
	options.ReloadRequests = hangups
	if err := daemon.Run(ctx, options); err != nil {
		logger.Error("agent failed", zap.Error(err))
		return exitFailed
	}
	logger.Info("agent stopped")
	return exitDone
}

// bridgeGRPC makes etcd's transport log as everything else does. It says of each attempt to connect what the store says once, so only
// its errors are let through, as by default.
func bridgeGRPC(logger *zap.Logger) {
	grpclog.SetLoggerV2(zapgrpc.NewLogger(logger.Named("grpc").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))))
}

func (f flags) options(agent *config.Agent, logger *logging.Logger) daemon.Options {
	options := daemon.Options{
		Agent:             agent,
		ListenAddress:     f.httpAddress,
		WebConfigFile:     f.webConfig,
		ReadAPI:           f.readAPI,
		Hostname:          hostname(),
		Version:           version.Version,
		CreatedTimestamps: slices.Contains(f.features, featureCreatedTimestamps),
		TypeAndUnitLabels: slices.Contains(f.features, featureTypeAndUnitLabels),
		ShutdownTimeout:   f.shutdownTimeout,
		Logger:            logger,
	}
	if f.configFile != "" {
		options.Reload = f.load
	}
	return options
}

// hostname is $HOSTNAME, which containers and their discoveries agree on, or else what the system says.
func hostname() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

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
	"syscall"
	"time"

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
	f.environment = currentEnvironment()
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
	if f.health {
		if err := probe(f.httpAddress); err != nil {
			fmt.Fprintln(problems, "agent:", err)
			return exitFailed
		}
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
	var (
		text []byte
		err  error
		file = f.configFile
	)
	switch {
	case file == "" && len(f.overrides) == 0:
		return config.Default(f.walDirectory), nil
	case file == "":
		file = "command line"
	default:
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read -config.file: %w", err)
		}
	}
	agent, err := config.LoadAgent(file, text, config.LoadOptions{
		ExpandEnv: f.expandEnv, LookupEnv: f.environment.lookup, WALDirectory: f.walDirectory, Overrides: f.overrides, Exists: exists,
	})
	if err != nil || f.useTLS == nil {
		return agent, err
	}
	if *f.useTLS && agent.Server.HTTPTLS == nil {
		return nil, errors.New("-server.http.enable-tls needs server.http_tls_config in the config file")
	}
	if !*f.useTLS {
		agent.Server.HTTPTLS = nil
	}
	return agent, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serve runs the agent until a signal comes or something fails.
func serve(f flags, agent *config.Agent, logs io.Writer) (exitCode int) {
	logger, err := logging.New(logs, agent.Server.LogLevel, agent.Server.LogFormat)
	if err != nil {
		fmt.Fprintln(logs, "agent:", err)
		return exitUsage
	}
	for _, flag := range f.ignored {
		logger.Warn("flag of Grafana Agent has no effect here", zap.String("flag", flag))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	// Those that come during a reload are one. They are taken until the end, or one during a
	// shutdown would cut it short.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	bridgeGRPC(logger.Logger)
	collectEarly()
	limitMemory(f.environment.lookup, os.ReadFile)
	start := time.AfterFunc(startTime, func() { forgetStart(logger.Logger) })
	defer start.Stop()
	options := f.options(agent, logger)
	options.ReloadRequests = hangups
	if err := daemon.Run(ctx, options); err != nil {
		logger.Error("agent failed", zap.Error(err))
		return exitFailed
	}
	logger.Info("agent stopped")
	return exitDone
}

// bridgeGRPC makes etcd's transport log as everything else does. It says of each attempt to connect
// what the store says once, so only its errors are let through, as by default.
func bridgeGRPC(logger *zap.Logger) {
	grpclog.SetLoggerV2(zapgrpc.NewLogger(logger.Named("grpc").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))))
}

func (f flags) options(agent *config.Agent, logger *logging.Logger) daemon.Options {
	options := daemon.Options{
		Agent:           agent,
		ListenAddress:   f.httpAddress,
		HTTP:            f.http,
		WebConfigFile:   f.webConfig,
		ReadAPI:         f.readAPI,
		Hostname:        hostname(),
		Version:         version.Version,
		Flags:           f.shown,
		Features:        f.features,
		ShutdownTimeout: f.shutdownTimeout,
		Logger:          logger,
		MemoryLimit:     memoryLimit(),

		Chaos: f.chaos,
		Exit:  func() { os.Exit(exitFailed) },
	}
	options.Seal = f.environment.seal
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

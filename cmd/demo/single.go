package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/oklog/run"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/daemon"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
)

// configs is how many the agent of a single node runs.
const configs = 3

// showSingle runs one agent in this process until a signal comes, ctx is over or something fails.
func showSingle(ctx context.Context, out io.Writer) error {
	directory, err := os.MkdirTemp("", "ringmaster-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer os.RemoveAll(directory)
	toys, err := newWorld(configs)
	if err != nil {
		return err
	}
	agent, err := agentOptions(directory)
	if err != nil {
		return err
	}
	serving := make(chan net.Addr, 1)
	agent.Serving = func(address net.Addr) { serving <- address }

	var group run.Group
	ctx, cancel := context.WithCancel(ctx)
	group.Add(run.SignalHandler(ctx, os.Interrupt, syscall.SIGTERM))
	agentCtx, stopAgent := context.WithCancel(context.Background())
	agentStopped := make(chan struct{})
	group.Add(func() error {
		defer close(agentStopped)
		return daemon.Run(agentCtx, agent)
	}, func(error) {
		stopAgent()
		<-agentStopped // the toys outlive the agent, so that it can send what is left
	})
	group.Add(func() error { return narrate(ctx, out, toys, serving) }, func(error) { cancel() })
	toys.addTo(&group)
	err = group.Run()
	fmt.Fprint(out, toys.closing())
	return err
}

// agentOptions is the agent as it runs without any flag, but in a directory and on a port of its own.
func agentOptions(directory string) (daemon.Options, error) {
	logger, err := logging.New(os.Stderr, "warn", logging.FormatLogfmt)
	if err != nil {
		return daemon.Options{}, err
	}
	settings := config.Default(filepath.Join(directory, "wal"))
	return daemon.Options{
		Agent:           settings,
		ListenAddress:   "127.0.0.1:0",
		ShutdownTimeout: 10 * time.Second,
		Logger:          logger,
	}, nil
}

// narrate uploads the configs once the agent serves, and tells what happens to their samples.
func narrate(ctx context.Context, out io.Writer, toys *world, serving <-chan net.Addr) error {
	var agent *client
	select {
	case <-ctx.Done():
		return nil
	case address := <-serving:
		agent = newClient(address.String())
	}
	for i, target := range toys.targetURLs {
		if err := agent.putConfig(ctx, configName(i), instanceConfig(target, toys.receiverURL)); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "An agent runs %d configs here:  %s/\nIt scrapes %d toy targets every second and sends to a toy receiver. Open the page; Ctrl-C ends it.\n\n",
		configs, agent.base, len(toys.targetURLs))
	screen := newScreen(out)
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := report(ctx, screen, agent, toys); err != nil {
				return err
			}
		}
	}
}

func report(ctx context.Context, out *screen, agent *client, toys *world) error {
	accounts, err := agent.accounts(ctx)
	if errors.Is(err, context.Canceled) {
		return nil // the demo is ending
	}
	if err != nil {
		return err
	}
	var total account
	now, missed, doubled := time.Now(), 0, 0
	rows := [][]string{{"CONFIG", "SCRAPES", "SAMPLES SCRAPED", "SENT", "PENDING", "TICKS MISSED", "DOUBLED"}}
	for i, target := range toys.targets {
		a := accounts[configName(i)]
		total.add(a)
		m, d := toys.ticks(i, now)
		missed, doubled = missed+m, doubled+d
		rows = append(rows, []string{configName(i), count(float64(target.Scrapes())), count(a.scraped), count(a.sent), count(a.pending), strconv.Itoa(m), strconv.Itoa(d)})
	}
	received := toys.receiver.Totals()
	rows = append(rows, []string{"together", count(float64(toys.scrapes())), count(total.scraped), count(total.sent), count(total.pending), strconv.Itoa(missed), strconv.Itoa(doubled)})
	out.show(rows, fmt.Sprintf("The receiver has %d samples of %d series.", received.Samples, received.Series),
		fmt.Sprintf("scrapes %5d   samples scraped %6.0f   sent %6.0f   pending %4.0f   received %6d in %d series   ticks missed %d, doubled %d",
			toys.scrapes(), total.scraped, total.sent, total.pending, received.Samples, received.Series, missed, doubled))
	return nil
}

func count(n float64) string { return fmt.Sprintf("%.0f", n) }

// configName is that of the i-th target.
func configName(i int) string { return fmt.Sprintf("toy-%d", i+1) }

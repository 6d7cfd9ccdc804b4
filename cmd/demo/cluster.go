package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/run"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

const (
	configsPerNode = 8
	interval       = time.Second
	readyPatience  = time.Minute
	leavePatience  = 20 * time.Second // for one that hands over
	endPatience    = 4 * time.Second  // for all of them, in the end
)

// clusterOf is how many nodes there are, 3 or 5, so that the store outlives the loss of one or two;
// and the file of the experiment that is played on them, if there is one.
type clusterOf struct {
	nodes int
	chaos string
}

// cluster is what runs.
type cluster struct {
	board   *board
	nodes   []*node.Node
	address string // of the demo itself: targets, receiver, commands
	configs []string
	ticks   *ticks
	// state is what is with a node that runs, by the commands so far; empty if nothing is.
	state map[*node.Node]string
	// ended is how a node ended that does not run.
	ended map[*node.Node]string
	// chosen is the number of the node that keys are about, from 1; 0: none.
	chosen atomic.Int32
	// single: keys are pressed without Enter.
	single bool
	// redraw has a slot: something is to be seen.
	redraw chan struct{}
	// chaos is the file of an experiment; empty: there is none.
	chaos string
	// commands come from keys and over HTTP, and are carried out one by one.
	commands chan command
}

// show runs the cluster until a signal comes or something fails.
func (n clusterOf) show(ctx context.Context, out io.Writer) error {
	directory, err := os.MkdirTemp("", "ringmaster-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer os.RemoveAll(directory)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for targets, receiver and commands: %w", err)
	}
	c := &cluster{
		board: newBoard(out), chaos: n.chaos, address: listener.Addr().String(), commands: make(chan command),
		state: map[*node.Node]string{}, ended: map[*node.Node]string{}, redraw: make(chan struct{}, 1),
	}
	for i := range n.nodes * configsPerNode {
		c.configs = append(c.configs, fmt.Sprintf("toy-%02d", i+1))
	}
	c.ticks = newTicks(c.configs)
	if err := c.prepare(n.nodes, directory); err != nil {
		return errors.Join(err, listener.Close())
	}

	ctx, forgetSignals := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer forgetSignals() // not before: a second Ctrl-C would leave the directory behind
	ctx, stopNarrating := context.WithCancel(ctx)
	var group run.Group
	group.Add(func() error {
		<-ctx.Done()
		return nil
	}, func(error) { stopNarrating() })
	narrated := make(chan struct{})
	group.Add(func() error {
		defer close(narrated)
		defer func() { c.board.say("%s", c.ticks.closing()) }()
		defer c.end()
		return c.narrate(ctx)
	}, func(error) {
		stopNarrating()
		<-narrated // the receiver outlives the agents, so that they can send what is left
	})
	server := &http.Server{Handler: c.handler(ctx), ReadHeaderTimeout: 10 * time.Second}
	group.Add(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the toys: %w", err)
		}
		return nil
	}, func(error) { _ = server.Close() })
	restore, single := c.typing(os.Stdin)
	defer restore()
	if c.single = single; single {
		go c.readSingleKeys(ctx, os.Stdin, stopNarrating)
	} else {
		go c.readKeys(ctx, os.Stdin)
	}
	return group.Run()
}

// prepare makes the nodes, named a, b, c …, which form a quorum of embedded stores.
func (c *cluster) prepare(count int, directory string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the demo's own program: %w", err)
	}
	var peers []node.Peer
	for i := range count {
		address, err := loopback.FreeAddress()
		if err != nil {
			return err
		}
		peers = append(peers, node.Peer{Name: string(rune('a' + i)), Address: address})
	}
	for _, p := range peers {
		address, err := loopback.FreeAddress()
		if err != nil {
			return err
		}
		settings := node.Settings{Name: p.Name, Receiver: "http://" + c.address + receiverPath, Peers: peers, Args: []string{"-chaos.enabled"}}
		n, err := node.New(settings, filepath.Join(directory, p.Name), address, self, agentCommand)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	return nil
}

// narrate starts everything, and tells what happens to the ticks.
func (c *cluster) narrate(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // called off
		}
		return err
	}
	c.welcome()
	if c.chaos != "" {
		return c.experiment(ctx)
	}
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ordered := <-c.commands:
			ordered.answer <- c.carryOut(ordered)
		case <-c.redraw:
			c.draw(time.Now())
		case now := <-ticker.C:
			c.board.say("%s", c.ticks.effect(now))
			c.draw(now)
		}
	}
}

// begin starts the nodes, and uploads the configs once they are ready.
func (c *cluster) begin(ctx context.Context) error {
	c.board.say("Starting %d agents …\n", len(c.nodes))
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for _, n := range c.nodes {
		if err := awaitReady(limited, n); err != nil {
			return err
		}
	}
	for i, name := range c.configs {
		if err := c.nodes[i%len(c.nodes)].Put(ctx, name, c.config(name)); err != nil {
			return err
		}
	}
	return nil
}

func awaitReady(ctx context.Context, n *node.Node) error {
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for !n.Ready(ctx) {
		if !n.Running() {
			log, _ := os.ReadFile(n.LogFile())
			return fmt.Errorf("agent %s has ended:\n%s", n.Name, log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("agent %s does not get ready: %w", n.Name, ctx.Err())
		case <-poll.C:
		}
	}
	return nil
}

// config is what a user would write into a file. The receiver is in agent.yaml.
func (c *cluster) config(name string) string {
	return fmt.Sprintf("scrape_configs:\n  - job_name: %s\n    metrics_path: %s%s\n    scrape_interval: %s\n    static_configs:\n      - targets: [%q]\n",
		name, toy.TargetsPath, name, interval, c.address)
}

func (c *cluster) welcome() {
	c.board.say("\n%d agents share %d configs, each with one target that is scraped every second:\n", len(c.nodes), len(c.configs))
	for _, n := range c.nodes {
		c.board.say("  %s  %s/\n", n.Name, n.URL())
	}
	keys := `Each key with Enter, alone or with a name, as in "k b":
  k  kills an agent (kill -9)         p  pauses one (SIGSTOP)
  c  cuts one off from the store      s  stops one in order
  r  brings it back: it is started, woken or mended`
	if c.single {
		keys = "The keys are below the table."
	}
	c.board.say(`
Break one, and see what it does to the ticks. %s
The same over HTTP:  curl -X POST 'http://%s/kill?node=b'     also /pause /cut /stop /start
The page Cluster of an agent that is well shows who is dead, and what moved. Ctrl-C ends it all.
A tick is one scrape of one target; it is missed if nobody took it, doubled if two did.

`, keys, c.address)
}

// running says which nodes there are, in order, and what is with them.
func (c *cluster) running() (agents []agentState) {
	for _, n := range c.nodes {
		if n.Running() {
			agents = append(agents, agentState{n.Name, c.state[n]})
		}
	}
	return agents
}

// end stops all agents at once, and leaves no process.
func (c *cluster) end() {
	var names []string
	for _, a := range c.running() {
		names = append(names, a.name)
	}
	c.board.end()
	c.board.say("Stopping %s …\n", strings.Join(names, ", "))
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	var ended sync.WaitGroup
	for _, n := range c.nodes {
		if c.state[n] == paused {
			_ = c.signal(ctx, "resume", n) // or it hears of nothing
		}
		ended.Go(func() {
			_ = n.Stop(ctx) // at the end of all nobody takes over, and what is unsent is not missed
			n.Kill()
		})
	}
	ended.Wait()
}

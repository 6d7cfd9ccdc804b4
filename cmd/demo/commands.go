package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// receiverPath is where the receiver takes remote write.
const receiverPath = "/api/v1/write"

// What a command may be.
const (
	kill  = "kill"
	start = "start"
	stop  = "stop"
)

// command is something to be done to a node: one named, or whichever it can be done to.
type command struct {
	verb, node string
	answer     chan<- error
}

// carryOut does it.
func (c *cluster) carryOut(o command) error {
	n := c.candidate(o)
	if n == nil {
		return fmt.Errorf("there is no agent %s to %s", o.node, o.verb)
	}
	stamp := time.Now().Format(time.TimeOnly)
	switch o.verb {
	case kill:
		n.Kill()
		fmt.Fprintf(c.out, "%s  agent %s is killed\n", stamp, n.Name)
	case stop:
		ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s  agent %s has handed over and ended\n", stamp, n.Name)
	case start:
		if err := n.Start(); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s  agent %s is started\n", stamp, n.Name)
	}
	return nil
}

// candidate is the node to do it to: one that runs, or to be started one that does not. The last
// one if nobody said which.
func (c *cluster) candidate(o command) (found *node.Node) {
	for _, n := range c.nodes {
		if n.Running() == (o.verb != start) && (o.node == "" || o.node == n.Name) {
			found = n
		}
	}
	return found
}

// order has a command carried out.
func (c *cluster) order(ctx context.Context, verb, name string) error {
	answer := make(chan error, 1)
	select {
	case c.commands <- command{verb, name, answer}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readKeys carries out what is typed, a line each, until there are no more lines.
func (c *cluster) readKeys(ctx context.Context, in io.Reader) {
	verbs := map[string]string{"k": kill, "r": start, "s": stop}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := append(strings.Fields(lines.Text()), "", "")
		verb, known := verbs[words[0]]
		if words[0] == "" {
			continue
		}
		if !known {
			fmt.Fprintln(c.out, "There are k, r and s, each with a name or without.")
			continue
		}
		if err := c.order(ctx, verb, words[1]); err != nil && ctx.Err() == nil {
			fmt.Fprintln(c.out, "That can't be done:", err)
		}
	}
}

// handler serves targets, receiver and commands.
func (c *cluster) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, &c.ticks.targets)
	mux.Handle(receiverPath, &c.ticks.ledger)
	for _, verb := range []string{kill, start, stop} {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			if err := c.order(ctx, verb, r.URL.Query().Get("node")); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			fmt.Fprintln(w, "done")
		})
	}
	return mux
}

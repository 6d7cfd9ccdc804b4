package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/experiment"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// receiverPath is where the receiver takes remote write.
const receiverPath = "/api/v1/write"

// What a command may be.
const (
	kill  = "kill"
	pause = "pause"
	cut   = "cut"
	stop  = "stop"
	start = "start" // undoes whatever was done
)

// verbs are the commands by their keys.
var verbs = map[string]string{"k": kill, "p": pause, "c": cut, "s": stop, "r": start}

// cutFor bounds a cut: faults on purpose end by themselves.
const cutFor = 10 * time.Minute

// cuts are the faults of a node that is cut off from its store: whatever it asks fails, it hears of
// nothing, and its session is not renewed any more.
var cuts = []fault.Rule{
	{Point: fault.StoreRead, Action: fault.Error},
	{Point: fault.StoreWrite, Action: fault.Error},
	{Point: fault.StoreWatch, Action: fault.Drop},
	{Point: fault.StoreSession, Action: fault.Error},
	{Point: fault.StoreSession, Action: fault.Hang},
}

// command is something to be done to a node: one named, or whichever it can be done to.
type command struct {
	verb, node string
	answer     chan<- error
}

// carryOut does it, and says what to look at.
func (c *cluster) carryOut(o command) error {
	n := c.candidate(o)
	if n == nil {
		return fmt.Errorf("there is no agent %s to %s", o.node, o.verb)
	}
	ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
	defer cancel()
	began := time.Now() // the effect of a stop begins with it, and not when it is over
	done, look, err := c.do(ctx, o.verb, n)
	if err != nil {
		return err
	}
	c.board.say("%s", c.ticks.interrupted(began))
	c.ticks.did(began, "agent "+n.Name+" "+done)
	c.board.say("%s  agent %s %s. %s\n", began.Format(time.TimeOnly), n.Name, done, look)
	if other := c.page(n); other != "" {
		c.board.say("          %s/cluster\n", other)
	}
	return nil
}

// do does it to a node, and says what was done and what there is to see.
func (c *cluster) do(ctx context.Context, verb string, n *node.Node) (done, look string, err error) {
	switch verb {
	case kill:
		n.Kill()
		c.state[n], c.ended[n] = "", "was killed"
		return "was killed (kill -9)", "The others find that it is dead, and take its configs over after some four seconds:", nil
	case pause:
		if err := c.signal(ctx, "pause", n); err != nil {
			return "", "", err
		}
		c.state[n] = paused
		return "is paused (SIGSTOP); r wakes it", "The others take its configs over. Once it wakes, it scrapes none that it has lost:", nil
	case cut:
		for _, rule := range cuts {
			if err := c.inject(ctx, n, rule); err != nil {
				return "", "", errors.Join(err, c.heal(ctx, n))
			}
		}
		c.state[n] = isCut
		return "is cut off from the store; r mends it", "It stops by itself before its session can end, tells the others, and they take its configs over:", nil
	case stop:
		if err := c.wake(ctx, n); err != nil {
			return "", "", err
		}
		c.ended[n] = "was stopped"
		return "has handed over and ended", "No tick is missed, and none is taken twice:", n.Stop(ctx)
	}
	if n.Running() {
		return "is well again", "It takes its place again, and its configs move back, from one tick to the next:", c.wake(ctx, n)
	}
	return "is started", "It joins, and its configs move back, from one tick to the next:", n.Start()
}

// inject breaks a node by a rule, for a while.
func (c *cluster) inject(ctx context.Context, n *node.Node, rule fault.Rule) error {
	rule.Name, rule.Duration = "cut-"+string(rule.Point)+"-"+string(rule.Action), fault.Duration(cutFor)
	if rule.Action == fault.Error {
		rule.Error = "cut off"
	}
	text, err := json.Marshal(rule)
	if err != nil {
		return err
	}
	_, err = n.Ask(ctx, http.MethodPut, "/agent/api/v1/chaos/rules/"+rule.Name, string(text))
	return err
}

// heal ends all that was broken on a node.
func (c *cluster) heal(ctx context.Context, n *node.Node) error {
	_, err := n.Ask(ctx, http.MethodPost, "/agent/api/v1/chaos/clear", "")
	return err
}

// signal pauses a node's process or lets it go on.
func (c *cluster) signal(ctx context.Context, verb string, n *node.Node) error {
	_, err := experiment.Processes{Nodes: c.nodes}.Command(ctx, verb, n.Name)
	return err
}

// wake undoes a pause or a cut.
func (c *cluster) wake(ctx context.Context, n *node.Node) (err error) {
	switch c.state[n] {
	case paused:
		err = c.signal(ctx, "resume", n)
	case isCut:
		err = c.heal(ctx, n)
	}
	c.state[n] = ""
	return err
}

// page is an agent to look at that is not this one; empty if there is none.
func (c *cluster) page(not *node.Node) string {
	for _, n := range c.nodes {
		if n != not && n.Running() && c.state[n] == "" {
			return n.URL()
		}
	}
	return ""
}

// What may be with a node that runs.
const (
	paused = "paused"
	isCut  = "cut off"
)

// candidate is the node to do it to: a well one, or to be started or woken one that is not. The last
// one if nobody said which.
func (c *cluster) candidate(o command) (found *node.Node) {
	for _, n := range c.nodes {
		well := n.Running() && c.state[n] == ""
		fits := well
		switch o.verb {
		case start:
			fits = !well
		case kill, stop:
			fits = n.Running() && (well || o.node != "")
		}
		if fits && (o.node == "" || o.node == n.Name) {
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
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := append(strings.Fields(lines.Text()), "", "")
		verb, known := verbs[words[0]]
		if words[0] == "" {
			continue
		}
		if !known {
			c.board.say("There are k, p, c, s and r, each with a name or without.\n")
			continue
		}
		if err := c.order(ctx, verb, words[1]); err != nil && ctx.Err() == nil {
			c.board.say("That can't be done: %v\n", err)
		}
	}
}

// handler serves targets, receiver and commands.
func (c *cluster) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, &c.ticks.targets)
	mux.Handle(receiverPath, &c.ticks.ledger)
	for _, verb := range verbs {
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

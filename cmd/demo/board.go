package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

// mostSaid is how many lines of what happened stand below the table of agents.
const mostSaid = 12

// board is what a cluster shows: on a terminal a table of its agents in place, with what happened
// last below it; elsewhere a line for each thing that happens.
type board struct {
	screen *screen

	mu   sync.Mutex
	said []string
	// began: the table stands there, and what is said goes below it.
	began bool
}

func newBoard(out io.Writer) *board {
	s := newScreen(out)
	s.align = 0
	return &board{screen: s}
}

// say tells something. It may have several lines.
func (b *board) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if text == "" {
		return
	}
	if !b.began {
		fmt.Fprint(b.screen.out, text)
		return
	}
	b.said = append(b.said, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	b.said = b.said[max(0, len(b.said)-mostSaid):]
}

// draw shows the agents and the ticks; line says the same where there is no terminal. What was said
// first makes room, since what has left the screen at the top can't be replaced.
func (b *board) draw(rows [][]string, ticks, keys, line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began = b.screen.terminal; !b.began {
		fmt.Fprintln(b.screen.out, line)
		return
	}
	_, height := b.screen.size()
	for {
		below := append([]string{"", ticks, ""}, b.said...)
		text := b.screen.text(rows, strings.Join(append(below, "", keys), "\n"))
		if strings.Count(text, "\n") <= height || len(b.said) == 0 {
			b.screen.replace(text)
			return
		}
		b.said = b.said[1:]
	}
}

// end has all that is said from now on stand below the table.
func (b *board) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = false
	b.screen.leave()
}

// draw shows how the agents are, and the ticks.
func (c *cluster) draw(now time.Time) {
	line := c.ticks.report(now, c.running())
	shares := c.ticks.perNode(now)
	rows := [][]string{{"", "AGENT", "STATE", "CONFIGS", "PAGES"}}
	for i, n := range c.nodes {
		mark, pages := strconv.Itoa(i+1), n.URL()+"/"
		if c.chosen.Load() == int32(i+1) {
			mark += " ▸"
		}
		if !n.Running() {
			pages = ""
		}
		rows = append(rows, []string{mark, n.Name, c.stateOf(n), strconv.Itoa(shares[n.Name]), pages})
	}
	c.board.draw(rows, c.ticks.sums()+"   "+c.ticks.unowned(now), c.help(), line)
}

// stateOf says in one word how an agent is.
func (c *cluster) stateOf(n *node.Node) string {
	switch {
	case n.Running() && c.state[n] == "":
		return "runs"
	case n.Running():
		return c.state[n]
	case c.ended[n] == "":
		return "has ended"
	}
	return c.ended[n]
}

func (c *cluster) help() string {
	return fmt.Sprintf("1-%d choose an agent   k kills it   p pauses it   c cuts it off from the store   s stops it in order   "+
		"r brings it back   Ctrl-C ends it all", len(c.nodes))
}

// typing takes single keys, if there is a terminal to type on. Restore gives it back.
func (c *cluster) typing(in *os.File) (restore func(), ok bool) {
	if !c.board.screen.terminal || !term.IsTerminal(int(in.Fd())) {
		return func() {}, false
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return func() {}, false
	}
	c.board.screen.out = returning{c.board.screen.out}
	return func() { _ = term.Restore(int(in.Fd()), before) }, true
}

// returning writes to a terminal that takes a new line for nothing but that.
type returning struct{ io.Writer }

func (r returning) Write(p []byte) (int, error) {
	if _, err := r.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Keys that end it all: Ctrl-C and Ctrl-D, which a raw terminal delivers as they are.
const (
	ctrlC = 3
	ctrlD = 4
)

// readSingleKeys carries out each key as it is pressed, until one ends it all.
func (c *cluster) readSingleKeys(ctx context.Context, in io.Reader, end func()) {
	key := make([]byte, 1)
	for {
		if _, err := in.Read(key); err != nil {
			return
		}
		switch verb, known := verbs[strings.ToLower(string(key))]; {
		case key[0] == ctrlC || key[0] == ctrlD:
			end()
			return
		case key[0] > '0' && int(key[0]-'0') <= len(c.nodes):
			c.choose(int32(key[0] - '0'))
		case known:
			name := ""
			if i := c.chosen.Load(); i > 0 {
				name = c.nodes[i-1].Name
			}
			if err := c.order(ctx, verb, name); err != nil && ctx.Err() == nil {
				c.board.say("That can't be done: %v\n", err)
			}
		}
		select {
		case c.redraw <- struct{}{}:
		default: // it will be drawn anyway
		}
	}
}

// choose marks the agent that the next keys are about; that it is marked already takes the mark away.
func (c *cluster) choose(i int32) {
	if !c.chosen.CompareAndSwap(i, 0) {
		c.chosen.Store(i)
	}
}

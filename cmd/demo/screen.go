package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// screen shows a table that is brought up to date in place on a terminal, and one line after the
// other elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	lines    int // of the table that stands there
}

func newScreen(out io.Writer) *screen { return &screen{out: out, terminal: isTerminal(out)} }

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// The control sequences that every terminal knows: some lines up, and clear the rest of the screen.
const (
	linesUp   = "\x1b[%dA"
	clearDown = "\r\x1b[J"
)

// show replaces the table and the sentence below it; where there is no terminal it prints the line.
func (s *screen) show(rows [][]string, below, line string) {
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, linesUp, s.lines)
	}
	b.WriteString(clearDown)
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t")+"\t")
	}
	_ = table.Flush() // into memory
	fmt.Fprintln(&b, below)
	s.lines = len(rows) + 1
	fmt.Fprint(s.out, b.String())
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"
)

// screen shows a table that is brought up to date in place on a terminal, and one line after the
// other elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	align    uint                       // of the columns, as tabwriter has it
	size     func() (width, height int) // in columns, which are runes here, and lines
	lines    int                        // of the table that stands there
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, terminal: isTerminal(out), align: tabwriter.AlignRight, size: func() (int, int) { return sizeOf(out) }}
}

// What a terminal has that does not tell.
const usualWidth, usualHeight = 80, 24

// sizeOf is one column less than a line has, since some terminals break after the last one, and one
// line less than the screen has, for the cursor.
func sizeOf(out io.Writer) (width, height int) {
	if f, ok := out.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 20 && height > 1 {
			return width - 1, height - 1
		}
	}
	return usualWidth - 1, usualHeight - 1
}

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

// show replaces the table and what is below it; where there is no terminal it prints the line.
func (s *screen) show(rows [][]string, below, line string) {
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	s.replace(s.text(rows, below))
}

// text is the table and what is below it, in lines that are no longer than the screen is wide.
func (s *screen) text(rows [][]string, below string) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', s.align)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t")+"\t")
	}
	_ = table.Flush() // into memory
	fmt.Fprintln(&text, below)
	width, _ := s.size()
	return fit(text.String(), width)
}

func (s *screen) replace(text string) {
	if s.lines > 0 {
		text = fmt.Sprintf(linesUp, s.lines) + clearDown + text
	} else {
		text = clearDown + text
	}
	s.lines = strings.Count(text, "\n")
	fmt.Fprint(s.out, text)
}

// leave has what is printed next stand below the table, which stays.
func (s *screen) leave() { s.lines = 0 }

// fit breaks the lines that are longer than the screen is wide, where they have a blank if possible:
// a terminal would break them itself, and the table would stand higher than its lines were counted.
func fit(text string, width int) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		rest := []rune(strings.TrimRight(line, " "))
		for len(rest) > width {
			at := width
			for i := width; i > width/2; i-- {
				if rest[i] == ' ' {
					at = i
					break
				}
			}
			b.WriteString(string(rest[:at]) + "\n")
			rest = []rune("  " + strings.TrimLeft(string(rest[at:]), " "))
		}
		b.WriteString(string(rest) + "\n")
	}
	return b.String()
}

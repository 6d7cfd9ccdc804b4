package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// Control sequences that every terminal knows.
const (
	colourRed    = "\x1b[31m"
	colourGreen  = "\x1b[32m"
	colourYellow = "\x1b[33m"
	colourNone   = "\x1b[0m"
	clearScreen  = "\x1b[H\x1b[2J"
	clearLine    = "\r\x1b[K"
)

// colours says whether tables are coloured: a person looks, and did not say NO_COLOR
// (https://no-color.org).
func (p Process) colours() bool {
	return p.OutTerminal && !p.dumb() && p.env("NO_COLOR") == ""
}

func (p Process) dumb() bool { return p.env("TERM") == "dumb" }

func (p Process) env(name string) string {
	if p.LookupEnv == nil {
		return ""
	}
	value, _ := p.LookupEnv(name)
	return value
}

// colourOf is that of a state; empty: none.
func colourOf(state string) string {
	switch strings.ToLower(state) {
	case "up", "running", "accepted", "claimed", "active":
		return colourGreen
	case "down", "quarantined", "failed", "invalid", "refused", "failing", "unowned", "unclaimed", "dead", "unhealthy":
		return colourRed
	case "lagging", "waiting", "preparing", "draining", "moving", "unknown", "leaving", "joining", "pending":
		return colourYellow
	}
	return ""
}

// writeTable aligns rows under headers. The cells under STATE are coloured, if colours are wanted.
func writeTable(w io.Writer, colours bool, headers []string, rows [][]string) error {
	widths := make([]int, len(headers))
	for _, row := range append([][]string{headers}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cellText(cell)))
		}
	}
	var b strings.Builder
	line := func(row []string, paint bool) {
		var text strings.Builder
		for i, cell := range row {
			cell = cellText(cell)
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			if colour := colourOf(cell); paint && headers[i] == "STATE" && colour != "" {
				cell = colour + cell + colourNone
			}
			text.WriteString(cell + padding)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	line(headers, false)
	for _, row := range rows {
		line(row, colours)
	}
	_, err := io.WriteString(exactly(w), b.String())
	return err
}

// defaultWatch is how often --watch asks if it does not say.
const defaultWatch = 2 * time.Second

func addWatchFlag(f *pflag.FlagSet, every *time.Duration) {
	f.DurationVarP(every, "watch", "w", 0, "show it again and again, every two seconds or as --watch=10s says, until Ctrl-C")
	f.Lookup("watch").NoOptDefVal = defaultWatch.String()
}

// watching shows something once, or again and again until ctx is over. What fails later than the
// first time is shown in its place, because it may be over the next time. A node that does not
// answer ends it at no time.
func watching(ctx context.Context, p Process, every time.Duration, show func(ctx context.Context, p Process) error) error {
	if every < 0 {
		return usageError{fmt.Errorf("--watch=%s: want a duration greater than 0", every)}
	}
	if every == 0 {
		return show(ctx, p)
	}
	for first := true; ; first = false {
		var page bytes.Buffer
		shown := p
		shown.Out, shown.Err = visibly(&page), visibly(&page)
		err := show(ctx, shown)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Ctrl-C is how it ends
		}
		partial := errors.Is(err, errPartial) // it was told already
		if err != nil && first && !partial {
			_, _ = page.WriteTo(exactly(p.Err))
			return err
		}
		if err != nil && !partial {
			fmt.Fprintf(shown.Err, "error: %v\n", err)
		}
		switch {
		case p.OutTerminal && !p.dumb():
			page = *bytes.NewBufferString(clearScreen + page.String())
		case !first:
			page = *bytes.NewBufferString("\n" + page.String())
		}
		if _, err := page.WriteTo(exactly(p.Out)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// A bar is drawn for work that has taken so long, and so often.
const (
	barAfter = time.Second
	barEvery = 100 * time.Millisecond
	barWidth = 30
)

// bar shows on a terminal how far long work is. It clears itself from the line before anything else
// is written.
type bar struct {
	to    io.Writer
	now   func() time.Time
	began time.Time

	mu    sync.Mutex
	drawn time.Time // zero: it does not stand there
	last  time.Time
}

// newBar is nil if nobody looks.
func newBar(p Process) *bar {
	if !p.ErrTerminal || p.dumb() {
		return nil
	}
	return &bar{to: exactly(p.Err), now: time.Now, began: time.Now()}
}

// show draws how much is done.
func (b *bar) show(done, total int) {
	if b == nil || total == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if now.Sub(b.began) < barAfter || now.Sub(b.last) < barEvery && done < total {
		return
	}
	b.drawn, b.last = now, now
	full := barWidth * done / total
	left := ""
	if done > 0 && done < total {
		left = ", " + (now.Sub(b.began) * time.Duration(total-done) / time.Duration(done)).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(b.to, "%s[%s%s] %d of %d%s", clearLine, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done, total, left)
}

// clear takes the bar from its line.
func (b *bar) clear() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.drawn.IsZero() {
		_, _ = io.WriteString(b.to, clearLine)
		b.drawn = time.Time{}
	}
}

// around is a writer beside which the bar may stand.
func (b *bar) around(w io.Writer) io.Writer {
	if b == nil {
		return w
	}
	return barred{b, w}
}

type barred struct {
	bar *bar
	w   io.Writer
}

func (b barred) Write(text []byte) (int, error) {
	b.bar.clear()
	return b.w.Write(text)
}

package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// remembered is how many lines a trace keeps.
const remembered = 120

// trace is the newest lines of what happened, and a hash of everything that did.
type trace struct {
	hash  uint64
	lines []line
	next  int
	// all: nothing is forgotten.
	all bool
}

type line struct {
	at     time.Duration
	who    string
	format string
	args   []any
}

// String is the line for people.
func (l line) String() string {
	who := l.who
	if who == "" {
		who = "-"
	}
	return fmt.Sprintf("%9.3fs  %-4s %s", l.at.Seconds(), who, fmt.Sprintf(l.format, l.args...))
}

// mix adds numbers to the hash, as FNV does.
func (t *trace) mix(numbers ...uint64) {
	for _, x := range numbers {
		t.hash = (t.hash ^ x) * 0x100000001b3
		t.hash ^= t.hash >> 29
	}
}

// say adds a line.
func (w *World) say(who, format string, args ...any) {
	t := &w.trace
	if w.options.Scale {
		return
	}
	for _, s := range []string{who, format} {
		for i := range len(s) {
			t.mix(uint64(s[i]))
		}
	}
	l := line{w.now, who, format, args}
	if t.all || len(t.lines) < remembered {
		t.lines = append(t.lines, l)
		return
	}
	t.lines[t.next] = l
	t.next = (t.next + 1) % remembered
}

// Trace is the newest lines of what happened, oldest first.
func (w *World) Trace(n int) string {
	t := &w.trace
	ordered := append(append([]line(nil), t.lines[t.next:]...), t.lines[:t.next]...)
	var out strings.Builder
	for _, l := range ordered[max(0, len(ordered)-n):] {
		out.WriteString(l.String() + "\n")
	}
	return out.String()
}

// core makes log lines of a node lines of the trace.
type core struct {
	zapcore.LevelEnabler
	node   *node
	fields []zapcore.Field
}

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return c
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return checked
	}
	return checked.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == "scrape permission: evidence changed" {
		c.node.storeless = slices.ContainsFunc(fields, func(f zapcore.Field) bool { return strings.Contains(f.String, "no node reaches the store") })
		c.node.alone = slices.ContainsFunc(fields, func(f zapcore.Field) bool {
			return strings.Contains(f.String, "there is no other node") || strings.Contains(f.String, "told to go on") ||
				// It has gone on since, and can't know of a node that has joined meanwhile.
				c.node.alone && c.node.storeless
		})
	}
	c.node.world.say(c.node.name, "%s%v", e.Message, logged(append(c.fields[:len(c.fields):len(c.fields)], fields...)))
	return nil
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }

// logged is fields that are put into words only when somebody reads them.
type logged []zapcore.Field

// String is the fields as key=value.
func (l logged) String() string {
	var out strings.Builder
	for _, f := range l {
		if f.Key == "stack" {
			continue
		}
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		fmt.Fprintf(&out, " %s=%v", f.Key, values.Fields[f.Key])
	}
	return out.String()
}

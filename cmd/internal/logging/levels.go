package logging

import (
	"fmt"
	"maps"
	"strings"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// Levels says which lines are logged: those of a default level and above, and for some components
// those of a level of their own. A component is the first part of a logger's name, as lines show
// it. Any goroutine may use it.
type Levels struct{ current atomic.Pointer[levels] }

type levels struct {
	standard   zapcore.Level
	components map[string]zapcore.Level
	// lowest of all of them.
	lowest zapcore.Level
}

func newLevels(standard zapcore.Level) *Levels {
	l := &Levels{}
	l.change(func(n *levels) { n.standard = standard })
	return l
}

// change replaces what is in force by a changed copy.
func (l *Levels) change(f func(*levels)) {
	for {
		before := l.current.Load()
		next := levels{components: map[string]zapcore.Level{}}
		if before != nil {
			next.standard = before.standard
			maps.Copy(next.components, before.components)
		}
		f(&next)
		next.lowest = next.standard
		for _, level := range next.components {
			next.lowest = min(next.lowest, level)
		}
		if l.current.CompareAndSwap(before, &next) {
			return
		}
	}
}

// SetDefault sets the level of all components that have none of their own.
func (l *Levels) SetDefault(level string) error {
	parsed, err := parseLevel(level)
	if err != nil {
		return err
	}
	l.change(func(n *levels) { n.standard = parsed })
	return nil
}

// SetComponent gives a component a level of its own; an empty level takes it away again.
func (l *Levels) SetComponent(component, level string) error {
	if level == "" {
		l.change(func(n *levels) { delete(n.components, component) })
		return nil
	}
	parsed, err := parseLevel(level)
	if err != nil {
		return err
	}
	l.change(func(n *levels) { n.components[component] = parsed })
	return nil
}

// All returns the default level and the levels of components that have one of their own.
func (l *Levels) All() (standard string, components map[string]string) {
	now := l.current.Load()
	components = make(map[string]string, len(now.components))
	for name, level := range now.components {
		components[name] = level.String()
	}
	return now.standard.String(), components
}

func (l *Levels) of(name string) zapcore.Level {
	now := l.current.Load()
	component, _, _ := strings.Cut(name, ".")
	if level, ok := now.components[component]; ok {
		return level
	}
	return now.standard
}

func parseLevel(level string) (zapcore.Level, error) {
	switch level {
	case "debug", "info", "warn", "error":
		return zapcore.ParseLevel(level)
	}
	return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
}

// levelled lets the lines pass that the levels in force ask for.
type levelled struct {
	zapcore.Core
	levels *Levels
}

func (c levelled) Enabled(level zapcore.Level) bool { return level >= c.levels.current.Load().lowest }

func (c levelled) With(fields []zapcore.Field) zapcore.Core {
	return levelled{c.Core.With(fields), c.levels}
}

func (c levelled) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Level < c.levels.of(entry.LoggerName) {
		return checked
	}
	return c.Core.Check(entry, checked)
}

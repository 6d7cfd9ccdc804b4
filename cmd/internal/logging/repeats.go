package logging

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// repeatsWindow is the time in which repetitions of a warning or an error are counted together.
	repeatsWindow = time.Minute
	// repeatsShown is how many lines of one message are written in that time, whatever they are
	// about. A hundred receivers that refuse everything say so in twenty lines a minute and one
	// that counts the others.
	repeatsShown = 20
)

// repeats bounds the rate of warnings and errors with the same message: what is over it is counted
// and told in one line when the window ends. Info lines tell of changes and all pass.
type repeats struct {
	mu      sync.Mutex
	windows map[repeated]*window
}

// repeated names lines that are counted together.
type repeated struct {
	component, message string
	level              zapcore.Level
}

type window struct {
	shown, held int
}

func newRepeats() *repeats { return &repeats{windows: map[repeated]*window{}} }

// admit reports whether a line may be written now. The first that may not has core tell the count
// at the end of the window.
func (r *repeats) admit(key repeated, core zapcore.Core) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[key]
	if w == nil {
		w = &window{}
		r.windows[key] = w
		time.AfterFunc(repeatsWindow, func() { r.end(key, core) })
	}
	if w.shown < repeatsShown {
		w.shown++
		return true
	}
	w.held++
	return false
}

func (r *repeats) end(key repeated, core zapcore.Core) {
	r.mu.Lock()
	held := r.windows[key].held
	delete(r.windows, key)
	r.mu.Unlock()
	if held == 0 {
		return
	}
	entry := zapcore.Entry{Level: key.level, Time: time.Now(), LoggerName: key.component, Message: "similar lines were left out"}
	_ = core.Write(entry, []zapcore.Field{zap.String("message", key.message), zap.Int("count", held), zap.Duration("within", repeatsWindow)})
}

// unrepeated is a core whose warnings and errors go through repeats.
type unrepeated struct {
	zapcore.Core
	repeats *repeats
	// root has no fields: it tells the counts.
	root zapcore.Core
}

func (c unrepeated) With(fields []zapcore.Field) zapcore.Core {
	return unrepeated{c.Core.With(fields), c.repeats, c.root}
}

func (c unrepeated) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Level >= zapcore.WarnLevel && entry.Level <= zapcore.ErrorLevel &&
		!c.repeats.admit(repeated{entry.LoggerName, entry.Message, entry.Level}, c.root) {
		return checked
	}
	return c.Core.Check(entry, checked)
}

package etcdstore

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// shiftedCore passes a library's log lines on at another level.
type shiftedCore struct {
	zapcore.Core
	shift func(zapcore.Entry) zapcore.Level
}

func (c shiftedCore) Enabled(l zapcore.Level) bool {
	return c.Core.Enabled(c.shift(zapcore.Entry{Level: l}))
}

func (c shiftedCore) With(fields []zapcore.Field) zapcore.Core {
	return shiftedCore{Core: c.Core.With(fields), shift: c.shift}
}

func (c shiftedCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	e.Level = c.shift(e)
	return c.Core.Check(e, ce)
}

func shifted(l *zap.Logger, shift func(zapcore.Entry) zapcore.Level) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return shiftedCore{c, shift} }))
}

// chatter is the logger of etcd's client: it warns at every single retry, which the monitor sums up.
func chatter(l *zap.Logger) *zap.Logger {
	return shifted(l, func(zapcore.Entry) zapcore.Level { return zapcore.DebugLevel })
}

// serverLog is the logger of an embedded server. The server's information is our debugging, and so
// is all it says while it starts and stops: then it warns about choices made on purpose, and what
// goes wrong is returned as an error. What it takes for fatal would end the process; here it only
// ends the goroutine, and failed is called once with the reason.
type serverLog struct {
	serving atomic.Bool
	// member is true in a quorum. There the server warns at every attempt to reach another member
	// that is away, which the monitor sums up.
	member bool
	failed func(error)
}

func (s *serverLog) logger(l *zap.Logger) *zap.Logger {
	return shifted(l, s.shift).WithOptions(zap.WithFatalHook(s), zap.WithPanicHook(s))
}

func (s *serverLog) shift(e zapcore.Entry) zapcore.Level {
	switch {
	case e.Level <= zapcore.InfoLevel, !s.serving.Load(), s.member && e.Level == zapcore.WarnLevel:
		return zapcore.DebugLevel
	case e.Message == "failed to apply request":
		// It repeats the whole request, and the error is returned to the caller.
		return zapcore.DebugLevel
	case e.Message == "Failed to detect schema version", e.Message == "failed to update storage version":
		// A new server says so once, because it looks before it has written its first entry, and
		// then tries again.
		return zapcore.DebugLevel
	default:
		return min(e.Level, zapcore.ErrorLevel)
	}
}

// OnWrite implements zapcore.CheckWriteHook for the levels Panic and Fatal. It doesn't return.
func (s *serverLog) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(entry.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok {
			err = fmt.Errorf("%s: %w", entry.Message, cause)
		}
	}
	s.failed(err)
	runtime.Goexit()
}

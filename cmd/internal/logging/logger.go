package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// The formats of a log line.
const (
	FormatLogfmt = "logfmt"
	FormatJSON   = "json"
)

// Logger is the process' logger together with the levels that can be changed while it is in use.
type Logger struct {
	*zap.Logger
	Levels *Levels
}

// New makes a logger that writes whole lines to out. level is debug, info, warn or error; format is
// logfmt or json. Warnings and errors that repeat are counted instead of written; see repeats.
func New(out io.Writer, level, format string) (*Logger, error) {
	parsed, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	var core zapcore.Core
	switch format {
	case FormatLogfmt:
		core = newLogfmtCore(out, zapcore.DebugLevel)
	case FormatJSON:
		core = zapcore.NewCore(jsonEncoder(), zapcore.Lock(zapcore.AddSync(out)), zapcore.DebugLevel)
	default:
		return nil, fmt.Errorf("parse log format: %q is neither %s nor %s", format, FormatLogfmt, FormatJSON)
	}
	core = redact.Core(houseNames{core}, redact.Text)
	l := &Logger{Levels: newLevels(parsed)}
	l.Logger = zap.New(levelled{unrepeated{core, newRepeats(), core}, l.Levels})
	return l, nil
}

// SetLevel changes the level of the logger and of all that were derived from it.
func (l *Logger) SetLevel(level string) error { return l.Levels.SetDefault(level) }

func jsonEncoder() zapcore.Encoder {
	return zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey:        "ts",
		LevelKey:       "level",
		NameKey:        "component",
		MessageKey:     "msg",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	})
}

// houseNames writes the key err where zap's own default is error, in every format.
type houseNames struct{ zapcore.Core }

func (c houseNames) With(fields []zapcore.Field) zapcore.Core {
	return houseNames{c.Core.With(renamed(fields))}
}

func (c houseNames) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c houseNames) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(entry, renamed(fields))
}

func renamed(fields []zapcore.Field) []zapcore.Field {
	for i := range fields {
		if fields[i].Type == zapcore.ErrorType && fields[i].Key == "error" {
			fields[i].Key = "err"
		}
	}
	return fields
}

// logfmtCore writes zap's entries through the standard library's logfmt handler, which knows how to
// quote.
type logfmtCore struct {
	zapcore.LevelEnabler
	handler slog.Handler
}

func newLogfmtCore(out io.Writer, level zapcore.LevelEnabler) zapcore.Core {
	return &logfmtCore{LevelEnabler: level, handler: slog.NewTextHandler(out, &slog.HandlerOptions{
		Level:       slog.LevelDebug,
		ReplaceAttr: asPrometheusLogs,
	})}
}

// asPrometheusLogs names the builtin keys as the users' log pipelines know them.
func asPrometheusLogs(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("ts", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("level", lowerLevel(level))
		}
	}
	return a
}

func lowerLevel(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

func (c *logfmtCore) With(fields []zapcore.Field) zapcore.Core {
	return &logfmtCore{LevelEnabler: c.LevelEnabler, handler: c.handler.WithAttrs(attrs(nil, fields))}
}

func (c *logfmtCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c *logfmtCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(entry.Time, slogLevel(entry.Level), entry.Message, 0)
	if entry.LoggerName != "" {
		record.AddAttrs(slog.String("component", entry.LoggerName))
	}
	record.AddAttrs(attrs(make([]slog.Attr, 0, len(fields)), fields)...)
	return c.handler.Handle(context.Background(), record)
}

func (c *logfmtCore) Sync() error { return nil }

func slogLevel(level zapcore.Level) slog.Level {
	switch {
	case level < zapcore.InfoLevel:
		return slog.LevelDebug
	case level < zapcore.WarnLevel:
		return slog.LevelInfo
	case level < zapcore.ErrorLevel:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

func attrs(to []slog.Attr, fields []zapcore.Field) []slog.Attr {
	for _, f := range fields {
		switch f.Type {
		case zapcore.StringType:
			to = append(to, slog.String(f.Key, f.String))
		case zapcore.Int64Type, zapcore.Int32Type:
			to = append(to, slog.Int64(f.Key, f.Integer))
		case zapcore.DurationType:
			to = append(to, slog.Duration(f.Key, time.Duration(f.Integer)))
		default:
			to = appendEncoded(to, f)
		}
	}
	return to
}

// appendEncoded lets zap itself say what the less common fields mean.
func appendEncoded(to []slog.Attr, f zapcore.Field) []slog.Attr {
	encoder := zapcore.NewMapObjectEncoder()
	f.AddTo(encoder)
	for key, value := range encoder.Fields {
		to = append(to, slog.Any(key, value))
	}
	return to
}

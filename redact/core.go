package redact

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Core returns core with every text that is logged through it, be it a message or a part of a
// field, as text renders it. It is not called before something is logged.
func Core(core zapcore.Core, text func(string) string) zapcore.Core {
	return redactingCore{Core: core, text: text}
}

type redactingCore struct {
	zapcore.Core
	text func(string) string
	with []zapcore.Field
}

func (c redactingCore) With(fields []zapcore.Field) zapcore.Core {
	c.with = append(slices.Clip(c.with), fields...)
	return c
}

func (c redactingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c redactingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	entry.Message = c.text(entry.Message)
	shown := make([]zapcore.Field, 0, len(c.with)+len(fields))
	for _, some := range [][]zapcore.Field{c.with, fields} {
		for _, f := range some {
			shown = append(shown, c.field(f))
		}
	}
	return c.Core.Write(entry, shown)
}

func (c redactingCore) field(f zapcore.Field) zapcore.Field {
	switch f.Type {
	case zapcore.StringType:
		f.String = c.text(f.String)
	case zapcore.ErrorType:
		if err, ok := f.Interface.(error); ok {
			f.Interface = errors.New(c.text(err.Error()))
		}
	case zapcore.StringerType, zapcore.ByteStringType, zapcore.ReflectType, zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType:
		encoder := zapcore.NewMapObjectEncoder()
		f.AddTo(encoder)
		if value, ok := encoder.Fields[f.Key]; ok && len(encoder.Fields) == 1 {
			return zap.Any(f.Key, c.value(value))
		}
		return zap.Any(f.Key, c.value(encoder.Fields))
	}
	return f
}

// value is what zap's encoder made of a field: strings, lists and maps of them, or something else,
// of which the text is taken if it holds a secret.
func (c redactingCore) value(value any) any {
	switch v := value.(type) {
	case string:
		return c.text(v)
	case []any:
		for i := range v {
			v[i] = c.value(v[i])
		}
		return v
	case map[string]any:
		for key := range v {
			v[key] = c.value(v[key])
		}
		return v
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, time.Time, time.Duration, nil:
		return v
	}
	text := fmt.Sprint(value)
	if shown := c.text(text); shown != text {
		return shown
	}
	return value
}

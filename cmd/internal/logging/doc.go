// Package logging makes the process' one logger: zap, written as logfmt or JSON.
//
// It owns the format of a line and the level in force, which can be changed while the process runs.
// It does not own what is logged: every component derives its own logger from the one made here,
// and libraries that log through log/slog are bridged into it with go.uber.org/zap/exp/zapslog.
package logging

package gossip

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// note is a line for the log that came up where nothing may block.
type note struct {
	level   zapcore.Level
	message string
	fields  []zap.Field
}

// notes carries lines from memberlist's goroutines to ours. What finds it full is lost.
type notes struct {
	log   *zap.Logger
	queue chan note

	mu   sync.Mutex
	said map[string]time.Time // when a line that may repeat was last said
}

const (
	maxNotes    = 256
	repeatAfter = time.Minute
)

func newNotes(log *zap.Logger) *notes {
	return &notes{log: log, queue: make(chan note, maxNotes), said: map[string]time.Time{}}
}

func (n *notes) add(level zapcore.Level, message string, fields ...zap.Field) {
	if !n.log.Core().Enabled(level) {
		return
	}
	select {
	case n.queue <- note{level, message, fields}:
	default:
	}
}

// addLimited adds at most one line per key and minute.
func (n *notes) addLimited(key string, level zapcore.Level, message string, fields ...zap.Field) {
	n.mu.Lock()
	last, repeated := n.said[key]
	if repeated && time.Since(last) < repeatAfter {
		n.mu.Unlock()
		return
	}
	if len(n.said) >= maxNotes {
		clear(n.said)
	}
	n.said[key] = time.Now()
	n.mu.Unlock()
	n.add(level, message, fields...)
}

func (n *notes) write(line note) {
	if entry := n.log.Check(line.level, line.message); entry != nil {
		entry.Write(line.fields...)
	}
}

// flush writes what is there.
func (n *notes) flush() {
	for {
		select {
		case line := <-n.queue:
			n.write(line)
		default:
			return
		}
	}
}

// otherKey says that a peer's key and ours differ: once a minute for each host, since each
// connection has another port.
func (n *notes) otherKey(address, reason string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	n.addLimited("key "+host, zapcore.WarnLevel, "gossip peer can't be decrypted: its key and this node's differ, or only one of them has one",
		zap.String("address", address), zap.String("reason", reason))
}

// aboutKeys says whether an error of memberlist's is one of keys that differ.
func aboutKeys(text string) bool {
	return strings.Contains(text, "decrypt") || strings.Contains(text, "remote state is encrypted") || strings.Contains(text, "remote state is not encrypted")
}

// Write takes memberlist's log, one line per call. What we say ourselves, and what it says in
// normal operation, is debugging; of what it warns about, each kind comes once a minute.
func (n *notes) Write(p []byte) (int, error) {
	level, text := parseLine(string(p))
	_, from, _ := strings.Cut(text, "from=")
	switch {
	case level < zapcore.WarnLevel:
		n.add(level, "memberlist", zap.String("reason", text))
	case aboutKeys(text):
		n.otherKey(from, text)
	case strings.HasPrefix(text, "ignoring alive message"):
		n.addLimited("stranger", zapcore.WarnLevel, "names that the store does not know are kept out of gossip", zap.String("reason", text))
	case strings.Contains(text, "unacceptable label"):
		n.addLimited("label", zapcore.WarnLevel, "a node of another cluster talks to this one", zap.String("address", from), zap.String("reason", text))
	default:
		n.addLimited(kindOf(text), level, "memberlist warns", zap.String("reason", text))
	}
	return len(p), nil
}

// expected are beginnings of warnings that say what a dead, slow or restarted peer looks like,
// about which the table of peers speaks.
func expected(text string) bool {
	for _, beginning := range []string{
		"Push/Pull with ", "Failed fallback ", "Conflicting address ", "Refuting an alive ", "Got ping for unexpected node", "Failed to send gossip ",
		"Failed to send UDP ping", "Failed to send indirect ", "Failed to send UDP compound ", "Failed to send ack", "Failed to send nack", "Failed to forward ack",
		"Failed to push local state", "Failed to read remote state", "failed to receive and remove the stream label", "Error accepting TCP",
	} {
		if strings.HasPrefix(text, beginning) {
			return true
		}
	}
	return strings.HasPrefix(text, "failed to receive") && !aboutKeys(text)
}

// parseLine splits a line of memberlist's log: "[WARN] memberlist: text".
func parseLine(line string) (zapcore.Level, string) {
	line = strings.TrimSpace(line)
	level := zapcore.WarnLevel
	if mark, rest, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(mark, "[") {
		line = rest
		if mark == "[DEBUG" || mark == "[INFO" {
			level = zapcore.DebugLevel
		}
	}
	text := strings.TrimPrefix(line, "memberlist: ")
	if expected(text) {
		level = zapcore.DebugLevel
	}
	return level, text
}

// kindOf is a line without what varies: its first three words.
func kindOf(text string) string {
	words := strings.Fields(text)
	return fmt.Sprint(words[:min(3, len(words))])
}

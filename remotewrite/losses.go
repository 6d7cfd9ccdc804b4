package remotewrite

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// lossInterval is how often a line about one reason of loss is logged at most.
const lossInterval = 10 * time.Second

// lossLog says what is lost: one line per reason in lossInterval, with the number of samples since
// the line before. The last line is never withheld: what came in between is said when the interval
// is over.
type lossLog struct {
	logger *zap.Logger

	mu     sync.Mutex
	closed bool
	by     [numReasons]loss
}

type loss struct {
	// pending are the samples that no line has told of, total all of them.
	pending, total  uint64
	next            time.Time
	timer           *time.Timer
	series, problem string
}

func newLossLog(logger *zap.Logger) *lossLog { return &lossLog{logger: logger} }

// example keeps a series that is affected and the receiver's words, if none is kept.
func (l *lossLog) example(r Reason, describe func() (series, problem string)) {
	l.mu.Lock()
	known := l.by[r].series != ""
	l.mu.Unlock()
	if known {
		return
	}
	series, problem := describe()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[r].series, l.by[r].problem = series, problem
}

// book tells of what an account has dropped, now or later. What the user's own configuration drops
// is not told of.
func (l *lossLog) book(t *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range numReasons {
		n := t.dropped[r].samples()
		if n == 0 || r.wanted() || l.closed {
			continue
		}
		x := &l.by[r]
		x.pending, x.total = x.pending+n, x.total+n
		if wait := time.Until(x.next); wait <= 0 {
			l.tell(r)
		} else if x.timer == nil {
			x.timer = time.AfterFunc(wait, func() { l.later(r) })
		}
	}
}

func (l *lossLog) later(r Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[r].timer = nil
	if !l.closed {
		l.tell(r)
	}
}

// tell needs mu.
func (l *lossLog) tell(r Reason) {
	x := &l.by[r]
	if x.pending == 0 {
		return
	}
	fields := []zap.Field{zap.Stringer("reason", r), zap.Uint64("dropped", x.pending), zap.Uint64("total", x.total)}
	if x.series != "" {
		fields = append(fields, zap.String("series", x.series), zap.String("answer", x.problem))
	}
	l.logger.Warn("samples dropped", fields...)
	x.pending, x.series, x.problem = 0, "", ""
	x.next = time.Now().Add(lossInterval)
}

// close tells what was withheld.
func (l *lossLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range numReasons {
		if t := l.by[r].timer; t != nil {
			t.Stop()
		}
		l.tell(r)
	}
	l.closed = true
}

// maxGaps bounds the list of gaps of an endpoint.
const maxGaps = 32

// Gap is a loss: samples of one reason that follow each other.
type Gap struct {
	// From and To are the oldest and the newest timestamp of the samples in milliseconds; 0 is
	// unknown. Of samples that could not be read, only about when they were is known.
	From, To int64
	Reason   Reason
	Samples  uint64
	// At is when the latest of them were given up.
	At time.Time
}

// gaps is the list of the newest losses, oldest first.
type gaps []Gap

// note adds what an account has dropped. A loss that goes on within a minute is one gap.
func (g *gaps) note(t *tally, now time.Time) {
	for r := range numReasons {
		n := t.dropped[r].samples()
		if n == 0 || r.wanted() {
			continue
		}
		if last := g.latest(r); last != nil && now.Sub(last.At) < time.Minute {
			x := extent{last.From, last.To}
			x.include(t.times[r].from, t.times[r].to)
			last.From, last.To, last.At = x.from, x.to, now
			last.Samples += n
			continue
		}
		if len(*g) == maxGaps {
			*g = append((*g)[:0], (*g)[1:]...)
		}
		*g = append(*g, Gap{From: t.times[r].from, To: t.times[r].to, Reason: r, Samples: n, At: now})
	}
}

func (g gaps) latest(r Reason) *Gap {
	for i := len(g) - 1; i >= 0; i-- {
		if g[i].Reason == r {
			return &g[i]
		}
	}
	return nil
}

package around

import (
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// Clock returns the runtime with the faults of the point clock.
func Clock(r async.Runtime, rules *fault.Registry) async.Runtime {
	if rules == nil {
		return r
	}
	r = r.WithDefaults()
	now, sinceBoot := r.Now, r.SinceBoot
	r.Now = func() time.Time {
		if v := look(rules, onlySkew); v.Action == fault.Skew {
			return now().Add(v.Delay)
		}
		return now()
	}
	slept := &slept{}
	r.SinceBoot = func() time.Duration {
		if v := look(rules, onlySuspend); v.Action == fault.Suspend {
			slept.add(v)
		}
		return sinceBoot() + slept.total()
	}
	return r
}

// What each of the two clocks can suffer.
var (
	onlySkew    = []fault.Action{fault.Skew}
	onlySuspend = []fault.Action{fault.Suspend}
)

// look asks what is wrong with a clock.
func look(rules *fault.Registry, can []fault.Action) fault.Verdict {
	if !rules.Watches(fault.Clock) {
		return fault.Verdict{}
	}
	return rules.Decide(fault.Event{Point: fault.Clock, Actions: can})
}

// slept is for how long the machine seems to have been suspended. That time does not come back.
type slept struct {
	mu   sync.Mutex
	last <-chan struct{}
	sum  time.Duration
}

// add counts a suspension, once for each rule.
func (s *slept) add(v fault.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != v.Over {
		s.last = v.Over
		s.sum += v.Delay
	}
}

func (s *slept) total() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum
}

package fault

import (
	"cmp"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// MaxRules is how many rules a node may have at once.
const MaxRules = 100

// ErrTooMany says that a node has as many rules as it may have.
var ErrTooMany = errors.New("there are 100 rules already: delete some")

// Timer is something that will happen.
type Timer interface{ Stop() bool }

// Options of a Registry. The zero value works.
type Options struct {
	// Node is this node's name, for Rule.Nodes.
	Node string
	// Now is the time. Nil: time.Now.
	Now func() time.Time
	// AfterFunc calls f once d has passed. Nil: time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) Timer
	// Logger says when a rule is put in force, first hits something, and ends. Nil: silent.
	Logger *zap.Logger
	// OnChange is called after rules came or went, with those that are left. Any goroutine may call
	// it. Nil: nobody wants to know.
	OnChange func(active []State)
}

// Registry is the rules of one node. Use New; a nil one has no rules and takes none.
type Registry struct {
	options Options
	// active is the rules by point; nil if there are none.
	active atomic.Pointer[map[Point][]*live]

	mu     sync.Mutex
	rules  map[string]*live
	hits   map[Hit]uint64
	closed bool
	// listeners are told of first hits.
	listeners map[*func(Rule, Event)]struct{}
}

// Hit is what hits are counted by.
type Hit struct {
	Point  Point
	Action Action
}

// live is a rule in force.
type live struct {
	Rule
	from, until time.Time
	seen, hit   atomic.Int64
	timer       Timer
	over        chan struct{}
	failure     error
}

// State is a rule in force, as it is shown.
type State struct {
	Rule
	// From and Until are when it applies.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Seen is how many events it has matched, Hits how many it has hit.
	Seen int64 `json:"seen"`
	Hits int64 `json:"hits"`
}

// Event is something that happens at a point. What a point does not know is empty.
type Event struct {
	Point Point
	// Unit, Actor, Message and Peer are what the scopes of a Rule are matched with.
	Unit, Actor, Message, Peer string
	// Actions are those that make sense for this event; empty: all of its point. A rule with another
	// action does not see the event, so that its count is not used up by what it can't change.
	Actions []Action
}

// Verdict is what is to happen. The zero value: nothing but the usual.
type Verdict struct {
	Action Action
	Delay  time.Duration
	// Err is the error to fail with.
	Err    error
	Status int
	Bytes  int
	Rule   string
	// Until is when the rule ends, Over is closed when it has ended, also before its time.
	Until time.Time
	Over  <-chan struct{}
}

// Hits reports whether something is to happen.
func (v Verdict) Hits() bool { return v.Action != "" }

// New returns a registry without rules.
func New(o Options) *Registry {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.OnChange == nil {
		o.OnChange = func([]State) {}
	}
	return &Registry{options: o, rules: map[string]*live{}, hits: map[Hit]uint64{}}
}

// OnHit has f called whenever a rule hits for the first time, by any goroutine, until stop is called.
func (r *Registry) OnHit(f func(Rule, Event)) (stop func()) {
	if r == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listeners == nil {
		r.listeners = map[*func(Rule, Event)]struct{}{}
	}
	r.listeners[&f] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.listeners, &f)
	}
}

// tell calls the listeners.
func (r *Registry) tell(rule Rule, e Event) {
	r.mu.Lock()
	listeners := slices.Collect(maps.Keys(r.listeners))
	r.mu.Unlock()
	for _, f := range listeners {
		(*f)(rule, e)
	}
}

// Put puts a rule in force, in place of one of the same name. The error is that of Validate, or
// ErrTooMany.
func (r *Registry) Put(rule Rule) error {
	if r == nil {
		return errors.New("faults are off")
	}
	if err := rule.Validate(); err != nil {
		return err
	}
	rule.Nodes, rule.Peers = slices.Clone(rule.Nodes), slices.Clone(rule.Peers)
	from := r.options.Now().Add(time.Duration(rule.Start))
	l := &live{Rule: rule, from: from, until: from.Add(time.Duration(rule.Duration)), over: make(chan struct{}), failure: rule.failure()}
	r.mu.Lock()
	before := r.rules[rule.Name]
	switch {
	case r.closed:
		r.mu.Unlock()
		return errors.New("the agent is stopping")
	case before == nil && len(r.rules) >= MaxRules:
		r.mu.Unlock()
		return ErrTooMany
	}
	r.forget(before)
	r.rules[rule.Name] = l
	l.timer = r.options.AfterFunc(time.Duration(rule.Start+rule.Duration), func() { r.remove(l, "its time is over") })
	r.show()
	r.mu.Unlock()
	r.options.Logger.Warn("fault injected", zap.String("rule", rule.Name), zap.String("point", string(rule.Point)),
		zap.String("action", string(rule.Action)), zap.Time("from", l.from), zap.Time("until", l.until))
	r.options.OnChange(r.Rules())
	return nil
}

// Delete ends a rule. It reports false if there is none of that name.
func (r *Registry) Delete(name string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	l := r.rules[name]
	r.mu.Unlock()
	return l != nil && r.remove(l, "it was deleted")
}

// Clear ends all rules, for a reason that is logged, and returns how many there were.
func (r *Registry) Clear(reason string) (ended int) {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.rules))
	r.mu.Unlock()
	for _, l := range all {
		if r.remove(l, reason) {
			ended++
		}
	}
	return ended
}

// Close ends all rules for good.
func (r *Registry) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.Clear("the agent stops")
}

// remove ends a rule, if it is still in force.
func (r *Registry) remove(l *live, reason string) bool {
	r.mu.Lock()
	if r.rules[l.Name] != l {
		r.mu.Unlock()
		return false
	}
	r.forget(l)
	r.show()
	r.mu.Unlock()
	r.options.Logger.Info("fault ended", zap.String("rule", l.Name), zap.String("reason", reason), zap.Int64("hits", l.hit.Load()))
	r.options.OnChange(r.Rules())
	return true
}

// forget takes a rule out. It needs mu.
func (r *Registry) forget(l *live) {
	if l == nil {
		return
	}
	l.timer.Stop()
	close(l.over)
	r.hits[Hit{l.Point, l.Action}] += uint64(l.hit.Load())
	delete(r.rules, l.Name)
}

// show makes the rules those that Decide sees, in the order of their names. It needs mu.
func (r *Registry) show() {
	if len(r.rules) == 0 {
		r.active.Store(nil)
		return
	}
	byPoint := map[Point][]*live{}
	for _, name := range slices.Sorted(maps.Keys(r.rules)) {
		if l := r.rules[name]; len(l.Nodes) == 0 || slices.Contains(l.Nodes, r.options.Node) {
			byPoint[l.Point] = append(byPoint[l.Point], l)
		}
	}
	r.active.Store(&byPoint)
}

// Over is closed when the rule of that name ends; nil if there is none.
func (r *Registry) Over(name string) <-chan struct{} {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.rules[name]; l != nil {
		return l.over
	}
	return nil
}

// Rules are the rules in force, by name.
func (r *Registry) Rules() []State {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]State, 0, len(r.rules))
	for _, l := range r.rules {
		out = append(out, State{Rule: l.Rule, From: l.from, Until: l.until, Seen: l.seen.Load(), Hits: l.hit.Load()})
	}
	slices.SortFunc(out, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Hits is how many events were hit since the start, by point and action.
func (r *Registry) Hits() map[Hit]uint64 {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := maps.Clone(r.hits)
	for _, l := range r.rules {
		out[Hit{l.Point, l.Action}] += uint64(l.hit.Load())
	}
	return out
}

// Watches reports whether a rule is in force at the point. It is cheaper than Decide, which needs
// to be told what happens.
func (r *Registry) Watches(p Point) bool {
	if r == nil {
		return false
	}
	active := r.active.Load()
	return active != nil && len((*active)[p]) > 0
}

// Decide returns what is to happen to an event: what the first rule says that hits it.
func (r *Registry) Decide(e Event) Verdict {
	if r == nil {
		return Verdict{}
	}
	active := r.active.Load()
	if active == nil {
		return Verdict{}
	}
	rules := (*active)[e.Point]
	if len(rules) == 0 {
		return Verdict{}
	}
	now := r.options.Now()
	for _, l := range rules {
		if !l.applies(e, now) {
			continue
		}
		if hit := l.draw(); hit > 0 {
			if hit == 1 {
				r.options.Logger.Warn("fault hit", zap.String("rule", l.Name), zap.String("point", string(l.Point)), zap.String("action", string(l.Action)),
					zap.String("unit", e.Unit), zap.String("actor", e.Actor), zap.String("what", cmp.Or(e.Message, e.Peer)))
				r.tell(l.Rule, e)
			}
			return l.verdict()
		}
	}
	return Verdict{}
}

func (l *live) verdict() Verdict {
	return Verdict{
		Action: l.Action, Delay: time.Duration(l.Delay), Err: l.failure, Status: cmp.Or(l.Status, 503), Bytes: cmp.Or(l.Bytes, 256<<20),
		Rule: l.Name, Until: l.until, Over: l.over,
	}
}

// applies reports whether the event is in the rule's scope, now.
func (l *live) applies(e Event, now time.Time) bool {
	switch {
	case now.Before(l.from), !now.Before(l.until):
		return false
	case len(e.Actions) > 0 && !slices.Contains(e.Actions, l.Action):
		return false
	case !matches(l.Units, e.Unit), !matches(l.Actors, e.Actor), !matches(l.Messages, e.Message):
		return false
	case l.Share > 0 && (e.Unit == "" || fraction(l.Seed, e.Unit) >= l.Share):
		return false
	case len(l.Peers) == 0:
		return true
	}
	return slices.ContainsFunc(l.Peers, func(pattern string) bool { return matches(pattern, e.Peer) })
}

// draw counts an event that the rule applies to, and returns which hit it is; 0: it is none.
func (l *live) draw() int64 {
	n := l.seen.Add(1) - int64(l.Skip)
	if n <= 0 || l.Probability > 0 && chance(l.Seed, uint64(n)) >= l.Probability {
		return 0
	}
	for {
		hit := l.hit.Load()
		if l.Count > 0 && hit >= int64(l.Count) {
			return 0
		}
		if l.hit.CompareAndSwap(hit, hit+1) {
			return hit + 1
		}
	}
}

// fraction is a number from 0 up to 1 that belongs to a name.
func fraction(seed uint64, name string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return chance(seed, h.Sum64())
}

// chance is the n-th number from 0 up to 1 of a seed (splitmix64).
func chance(seed, n uint64) float64 {
	x := seed*0x9e3779b97f4a7c15 + n*0xbf58476d1ce4e5b9 + 0x94d049bb133111eb
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

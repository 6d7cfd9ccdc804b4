package fault

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// MaxDuration bounds how long a rule may last, counted from the end of its Start.
const MaxDuration = time.Hour

// MaxMemory bounds what the action Memory may hold.
const MaxMemory = 1 << 30

// maxName bounds the length of names and patterns.
const maxName = 256

// Rule says what goes wrong where, to what, how often, and for how long. Patterns are those of
// path.Match, in which * also stands for a slash; an empty one matches everything.
type Rule struct {
	// Name identifies the rule; a second one of that name replaces the first.
	Name   string `json:"name" yaml:"name"`
	Point  Point  `json:"point" yaml:"point"`
	Action Action `json:"action" yaml:"action"`

	// Nodes are the nodes on which it applies; empty: on all.
	Nodes []string `json:"nodes,omitempty" yaml:"nodes"`
	// Units is a pattern of units' names ("app", "app[slice 1]"), Share the part of them, from 0 to
	// 1, that it applies to; 0: all. Which ones are chosen by Seed, the same on all nodes.
	Units string  `json:"units,omitempty" yaml:"units"`
	Share float64 `json:"share,omitempty" yaml:"share"`
	// Actors is a pattern of the kinds of actors: supervisor, instance, configs, registry, ring.
	Actors string `json:"actors,omitempty" yaml:"actors"`
	// Messages is a pattern of the kinds of messages, as Kind names them; of keys at the store, and
	// of kinds of discovery.
	Messages string `json:"messages,omitempty" yaml:"messages"`
	// Peers are patterns of the other side: a node's name for gossip, host:port elsewhere; empty: all.
	Peers []string `json:"peers,omitempty" yaml:"peers"`

	// Probability is how likely it is that an event is hit, from 0 to 1; 0: each is. Seed is what
	// chance comes from.
	Probability float64 `json:"probability,omitempty" yaml:"probability"`
	Seed        uint64  `json:"seed,omitempty" yaml:"seed"`
	// Skip is how many events are spared at first, Count how many are hit at most; 0: any number.
	Skip  int `json:"skip,omitempty" yaml:"skip"`
	Count int `json:"count,omitempty" yaml:"count"`
	// Start is when it begins, Duration how long it lasts from then on: more than 0, and not more
	// than MaxDuration.
	Start    Duration `json:"start,omitempty" yaml:"start"`
	Duration Duration `json:"duration" yaml:"duration"`

	// Delay is for Delay, Reorder, Skew and Suspend.
	Delay Duration `json:"delay,omitempty" yaml:"delay"`
	// Error is ENOSPC, EIO, EMFILE or EROFS, or any text; empty: EIO at the disk, and "injected"
	// elsewhere.
	Error string `json:"error,omitempty" yaml:"error"`
	// Status is for Status; 0: 503.
	Status int `json:"status,omitempty" yaml:"status"`
	// Bytes is for Memory; 0: 256 MiB.
	Bytes int `json:"bytes,omitempty" yaml:"bytes"`

	// Guard ends all rules on all nodes when the cluster leaves its bounds. Nil: nothing does, but
	// the duration.
	Guard *Guard `json:"guard,omitempty" yaml:"guard"`
}

// Guard is the bounds of a cluster that a rule must not push it out of. A nil bound is not looked at.
type Guard struct {
	// Unowned is how many units may be without an owner.
	Unowned *int `json:"unowned,omitempty" yaml:"unowned"`
	// Missed is how many ticks a node may miss while the rule lasts.
	Missed *int `json:"missed,omitempty" yaml:"missed"`
	// Pending is how many samples may wait on a node.
	Pending *int `json:"pending,omitempty" yaml:"pending"`
	// For is how long a bound may be exceeded. 0: not at all.
	For Duration `json:"for,omitempty" yaml:"for"`
}

// Validate returns every reason why the rule can't be put in force, each with its field.
func (r Rule) Validate() error {
	var problems []error
	refuse := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if r.Name == "" || len(r.Name) > maxName || strings.ContainsAny(r.Name, "/\x00\n") {
		refuse("name", "give the rule a name of 1 to %d bytes without a slash", maxName)
	}
	info, known := infoOf(r.Point)
	switch {
	case !known:
		refuse("point", "there is no point %q; there are %s", r.Point, strings.Join(pointNames(), ", "))
	case !slices.Contains(info.Actions, r.Action):
		refuse("action", "%s knows no action %q; it knows %v", r.Point, r.Action, info.Actions)
	}
	for scope, value := range map[string]string{"units": r.Units, "actors": r.Actors, "messages": r.Messages, "peers": strings.Join(r.Peers, "")} {
		if value == "" {
			continue
		}
		if known && !slices.Contains(info.Scopes, scope) {
			refuse(scope, "%s can't be narrowed to some %s; it can by %v", r.Point, scope, append([]string{"nodes"}, info.Scopes...))
		}
	}
	if known && r.Share != 0 && !slices.Contains(info.Scopes, "units") {
		refuse("share", "%s does not know the units; leave it out", r.Point)
	}
	for _, pattern := range append([]string{r.Units, r.Actors, r.Messages}, r.Peers...) {
		if _, err := path.Match(pattern, ""); err != nil || len(pattern) > maxName {
			refuse("pattern", "%q is no pattern: write name, name* or [ab]*", pattern)
		}
	}
	r.validateNumbers(refuse)
	return errors.Join(problems...)
}

func (r Rule) validateNumbers(refuse func(field, format string, args ...any)) {
	if !(r.Probability >= 0 && r.Probability <= 1) {
		refuse("probability", "it is %v: give a number from 0 to 1", r.Probability)
	}
	if !(r.Share >= 0 && r.Share <= 1) {
		refuse("share", "it is %v: give a number from 0 to 1", r.Share)
	}
	if r.Skip < 0 || r.Count < 0 {
		refuse("count", "skip and count can't be negative")
	}
	if r.Duration <= 0 || time.Duration(r.Duration) > MaxDuration {
		refuse("duration", "it is %v: give one from 1ms to %v", r.Duration, MaxDuration)
	}
	if r.Start < 0 || time.Duration(r.Start) > MaxDuration {
		refuse("start", "it is %v: give one from 0s to %v", r.Start, MaxDuration)
	}
	signed := r.Action == Skew
	needsDelay := signed || r.Action == Delay || r.Action == Suspend || r.Action == Reorder
	if delay := time.Duration(r.Delay); delay > MaxDuration || delay < -MaxDuration || delay < 0 && !signed || delay == 0 && needsDelay {
		refuse("delay", "%s has a delay of %v: give one up to %v", r.Action, r.Delay, MaxDuration)
	}
	if r.Status != 0 && (r.Status < 200 || r.Status > 599) {
		refuse("status", "it is %d: give an HTTP status from 200 to 599", r.Status)
	}
	if r.Bytes < 0 || r.Bytes > MaxMemory {
		refuse("bytes", "they are %d: give up to %d", r.Bytes, MaxMemory)
	}
	if len(r.Error) > maxName {
		refuse("error", "it has more than %d bytes", maxName)
	}
}

func pointNames() []string {
	names := make([]string, len(points))
	for i, p := range points {
		names[i] = string(p.Point)
	}
	return names
}

// Injected is an error that a rule has brought about.
type Injected struct{ Rule, Text string }

// Error implements error.
func (e *Injected) Error() string { return fmt.Sprintf("%s (fault %q)", e.Text, e.Rule) }

// failure is the error of the rule.
func (r *Rule) failure() error {
	errno := map[string]syscall.Errno{"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO, "EMFILE": syscall.EMFILE, "EROFS": syscall.EROFS}
	text := r.Error
	if text == "" && strings.HasPrefix(string(r.Point), "disk.") {
		text = "EIO"
	}
	if number, ok := errno[text]; ok {
		return fmt.Errorf("%w (fault %q)", number, r.Name)
	}
	if text == "" {
		text = "injected"
	}
	return &Injected{Rule: r.Name, Text: text}
}

// Duration is a time.Duration that reads and writes as "1m30s" in JSON and YAML.
type Duration time.Duration

// String is the duration as Go writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write 500ms, 10s or 1m30s", text)
	}
	*d = Duration(parsed)
	return nil
}

// matches reports whether a pattern matches a name. A * also stands for slashes.
func matches(pattern, name string) bool {
	if pattern == "" || pattern == "*" || pattern == name {
		return true
	}
	flat := strings.NewReplacer("/", "\x01")
	ok, _ := path.Match(flat.Replace(pattern), flat.Replace(name))
	return ok
}

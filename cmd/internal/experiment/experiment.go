package experiment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// longest bounds an experiment and the time it may take to heal.
const longest = fault.Duration(time.Hour)

// Experiment is what to do, and what is expected.
type Experiment struct {
	// Title is its name, About what it is for, in a sentence.
	Title string `yaml:"title" json:"title"`
	About string `yaml:"about" json:"about"`
	// Hypothesis is what holds.
	Hypothesis Hypothesis `yaml:"hypothesis" json:"hypothesis"`
	// Duration is how long the method lasts.
	Duration fault.Duration `yaml:"duration" json:"duration"`
	Method   []Step         `yaml:"method" json:"method"`
}

// Hypothesis is the bounds in which the cluster stays. What is nil is not looked at.
type Hypothesis struct {
	// Unowned is how many units may have no owner, Pending how many samples may wait: before the
	// method, and Within after it.
	Unowned *int           `yaml:"unowned" json:"unowned,omitempty"`
	Pending *int           `yaml:"pending" json:"pending,omitempty"`
	Within  fault.Duration `yaml:"within" json:"within"`
	// Missed and Doubled are how many ticks may be missed and taken twice in all.
	Missed  *int `yaml:"missed" json:"missed,omitempty"`
	Doubled *int `yaml:"doubled" json:"doubled,omitempty"`
	// Lag is how far every endpoint may be behind: likewise before the method, and Within after it.
	Lag *fault.Duration `yaml:"lag" json:"lag,omitempty"`
	// Balance: the account of every endpoint adds up at every look, also while things are broken:
	// committed = sent + failed + dropped + pending. Where the lab has a receiver, it has at least
	// the samples of each config that agents count as sent.
	Balance bool `yaml:"balance" json:"balance,omitempty"`
}

// Step is one thing that is done: a rule is put in force, or a command is carried out.
type Step struct {
	// At is when, from the beginning.
	At   fault.Duration `yaml:"at" json:"at"`
	Rule *fault.Rule    `yaml:"rule" json:"rule,omitempty"`
	// Command is one of the keys of undoneBy, of Node.
	Command string `yaml:"command" json:"command,omitempty"`
	Node    string `yaml:"node" json:"node,omitempty"`
}

// undoneBy are the commands that a step may have, and what undoes each; empty: nothing has to.
var undoneBy = map[string]string{
	"kill": "start", "stop": "start", "pause": "resume", "cut": "connect",
	"start": "", "restart": "", "resume": "", "connect": "",
}

// Parse reads an experiment. The error names file, and every field that is wrong.
func Parse(file string, text []byte) (Experiment, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var e Experiment
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("%s: %w", file, err)
	}
	if err := e.validate(); err != nil {
		return e, fmt.Errorf("%s: %w", file, err)
	}
	slices.SortStableFunc(e.Method, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return e, nil
}

func (e *Experiment) validate() error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if e.Title == "" {
		refuse("title: give the experiment a name")
	}
	if e.Duration <= 0 || e.Duration > longest {
		refuse("duration: it is %v: give one up to %v", e.Duration, longest)
	}
	if h := e.Hypothesis; h.Unowned == nil && h.Pending == nil && h.Missed == nil && h.Doubled == nil && h.Lag == nil && !h.Balance {
		refuse("hypothesis: it says nothing: set unowned, pending, lag, missed, doubled or balance")
	}
	if e.Hypothesis.Within < 0 || e.Hypothesis.Within > longest {
		refuse("hypothesis.within: it is %v: give one up to %v", e.Hypothesis.Within, longest)
	}
	if lag := e.Hypothesis.Lag; lag != nil && (*lag < 0 || *lag > longest) {
		refuse("hypothesis.lag: it is %v: give one up to %v", *lag, longest)
	}
	if len(e.Method) == 0 {
		refuse("method: it has no step")
	}
	verbs := slices.Sorted(maps.Keys(undoneBy))
	for i := range e.Method {
		s := &e.Method[i]
		if s.At < 0 || s.At > e.Duration {
			refuse("method[%d].at: it is %v: give one up to the duration, %v", i, s.At, e.Duration)
		}
		switch {
		case (s.Rule == nil) == (s.Command == ""):
			refuse("method[%d]: give either a rule or a command", i)
		case s.Rule != nil:
			if s.Rule.Name == "" {
				s.Rule.Name = fmt.Sprintf("%d %s %s", i+1, s.Rule.Point, s.Rule.Action)
			}
			if s.Rule.Duration == 0 {
				s.Rule.Duration = e.Duration - s.At
			}
			if err := s.Rule.Validate(); err != nil {
				refuse("method[%d].rule: %w", i, err)
			}
		case !slices.Contains(verbs, s.Command):
			refuse("method[%d].command: there is no %q; there are %v", i, s.Command, verbs)
		case s.Node == "":
			refuse("method[%d].node: name the node to %s", i, s.Command)
		}
	}
	return errors.Join(problems...)
}

// what says what a step does, for people.
func (s Step) what() string {
	if s.Rule == nil {
		return s.Command + " " + s.Node
	}
	text := fmt.Sprintf("%s: %s", s.Rule.Point, s.Rule.Action)
	if len(s.Rule.Nodes) > 0 {
		text += fmt.Sprintf(" on %v", s.Rule.Nodes)
	}
	return text
}

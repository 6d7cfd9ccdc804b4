package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

const (
	// lookEvery is how often the cluster is looked at.
	lookEvery = 500 * time.Millisecond
	// rollbackTimeout bounds the end of all faults.
	rollbackTimeout = time.Minute
	// settleTicks is how long ticks are waited for that may still be made up for.
	settleTicks = 2 * time.Second
)

// Lab is where an experiment is played.
type Lab interface {
	// Inject puts a rule in force on all nodes; Clear ends all of them on all nodes.
	Inject(ctx context.Context, r fault.Rule) error
	Clear(ctx context.Context) error
	// Command does something to a node, and returns how, for the report. An error if that can't be
	// done here.
	Command(ctx context.Context, verb, node string) (how string, err error)
	// Observe says how the cluster is.
	Observe(ctx context.Context) (Observation, error)
}

// Observation is how a cluster is at a moment. Missed and Doubled count from the lab's own
// beginning; -1 means that it is not known.
type Observation struct {
	At                                time.Duration `json:"at"`
	Unowned, Pending, Missed, Doubled int
	// Lag is by how many seconds that endpoint is behind which is most behind; -1: one of them has
	// sent nothing yet, so nobody knows.
	Lag float64
	// Accounts is how many endpoints have an account, Unbalanced how many of these don't add up, or
	// configs of which the receiver lacks samples. Imbalance is the first of them, in words.
	Accounts, Unbalanced int
	Imbalance            string `json:",omitempty"`
	// Silent are the nodes that did not answer, so that their samples and ticks are not counted.
	Silent []string `json:",omitempty"`
	// sent is how many samples each node says to have sent since it started, received how many of
	// each config the receiver has; nil: nobody counts.
	sent     map[sender]int
	received map[string]int
	// moves are the last moves of units that nodes remember, in any order, also several times.
	moves []Move
	// Hits is how often faults have hit so far, by point and action.
	Hits map[string]int `json:",omitempty"`
	// Problem says why the cluster could not be looked at.
	Problem string `json:",omitempty"`
}

// sender is the life of a config on a node.
type sender struct{ node, config string }

// Run plays an experiment. Log is told what happens. The error is that of the lab: whether the
// hypothesis holds, the report says.
func Run(ctx context.Context, lab Lab, e Experiment, log func(string)) (Report, error) {
	r := &runner{lab: lab, experiment: e, log: log, report: Report{Experiment: e, Began: time.Now()}}
	first := r.look(ctx)
	if first.Problem != "" {
		return r.report, fmt.Errorf("look at the cluster: %s", first.Problem)
	}
	r.first = first
	if wrong := e.Hypothesis.atRest(first); len(wrong) > 0 {
		return r.report, fmt.Errorf("the cluster is not well to begin with: %s", strings.Join(wrong, ", "))
	}
	err := r.method(ctx)
	// Whatever has happened: nothing stays broken.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	err = errors.Join(err, r.rollback(undo))
	if err != nil {
		return r.report, err
	}
	r.heal(ctx)
	r.judge()
	return r.report, ctx.Err()
}

type runner struct {
	lab        Lab
	experiment Experiment
	log        func(string)
	report     Report
	first      Observation
	// undo are the commands that make good what was done to nodes, by node.
	undo map[string][]string
	account
	moves
}

func (r *runner) since() time.Duration { return time.Since(r.report.Began) }

// look observes once more.
func (r *runner) look(ctx context.Context) Observation {
	o, err := r.lab.Observe(ctx)
	if err != nil {
		o = Observation{Unowned: -1, Pending: -1, Missed: -1, Doubled: -1, Problem: err.Error()}
	}
	o.At = r.since()
	r.compare(&o)
	r.report.Moves = append(r.report.Moves, r.news(o)...)
	r.report.Observations = append(r.report.Observations, o)
	return o
}

// method plays the timeline.
func (r *runner) method(ctx context.Context) error {
	r.undo = map[string][]string{}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	next := 0
	for {
		for ; next < len(r.experiment.Method) && time.Duration(r.experiment.Method[next].At) <= r.since(); next++ {
			if err := r.step(ctx, r.experiment.Method[next]); err != nil {
				return err
			}
		}
		if r.since() >= time.Duration(r.experiment.Duration) && next == len(r.experiment.Method) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			r.look(ctx)
		}
	}
}

func (r *runner) step(ctx context.Context, s Step) error {
	r.log(s.what())
	r.report.Done = append(r.report.Done, Done{At: r.since(), What: s.what(), For: s.lasts()})
	if s.Rule != nil {
		if err := r.lab.Inject(ctx, *s.Rule); err != nil {
			return fmt.Errorf("put %q in force: %w", s.Rule.Name, err)
		}
		return nil
	}
	done := s.Command
	if done == "restart" {
		done = "start"
	}
	r.undo[s.Node] = slices.DeleteFunc(r.undo[s.Node], func(undo string) bool { return undo == done })
	if undo := undoneBy[s.Command]; undo != "" && !slices.Contains(r.undo[s.Node], undo) {
		r.undo[s.Node] = append(r.undo[s.Node], undo)
	}
	return r.command(ctx, len(r.report.Done)-1, s.Command, s.Node)
}

// command carries out a command, and notes how with the step of that number.
func (r *runner) command(ctx context.Context, number int, verb, node string) error {
	how, err := r.lab.Command(ctx, verb, node)
	r.report.Done[number].How = how
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, node, err)
	}
	return nil
}

// lasts is how long the effect of a step is shown.
func (s Step) lasts() time.Duration {
	if s.Rule == nil {
		return 0
	}
	return time.Duration(s.Rule.Duration)
}

// rollback ends everything that was begun.
func (r *runner) rollback(ctx context.Context) error {
	var problems []error
	for _, node := range slices.Sorted(maps.Keys(r.undo)) {
		for _, verb := range slices.Backward(r.undo[node]) { // what was done last is undone first
			r.log(verb + " " + node)
			r.report.Done = append(r.report.Done, Done{At: r.since(), What: verb + " " + node})
			problems = append(problems, r.command(ctx, len(r.report.Done)-1, verb, node))
		}
	}
	r.log("all faults end")
	r.report.Ended = r.since()
	problems = append(problems, r.lab.Clear(ctx))
	return errors.Join(problems...)
}

// heal waits until the cluster is well, or its time is over.
func (r *runner) heal(ctx context.Context) {
	until := r.since() + time.Duration(r.experiment.Hypothesis.Within)
	quiet := r.since() + settleTicks
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		o := r.look(ctx)
		well := o.Problem == "" && len(r.experiment.Hypothesis.atRest(o)) == 0
		if r.since() > quiet && (well && len(o.Silent) == 0 || r.since() > until) {
			r.report.Healed = r.since() - r.report.Ended
			return
		}
	}
}

// atRest says what is wrong with a cluster that nothing is done to.
func (h Hypothesis) atRest(o Observation) (wrong []string) {
	if o.Problem != "" {
		return []string{"the cluster can't be looked at: " + o.Problem}
	}
	if h.Unowned != nil && o.Unowned > *h.Unowned {
		wrong = append(wrong, fmt.Sprintf("%d units have no owner, at most %d may", o.Unowned, *h.Unowned))
	}
	if h.Pending != nil && o.Pending > *h.Pending {
		wrong = append(wrong, fmt.Sprintf("%d samples wait, at most %d may", o.Pending, *h.Pending))
	}
	switch {
	case h.Lag == nil:
	case o.Lag < 0:
		wrong = append(wrong, "how far an endpoint is behind is not known, since it has sent nothing yet")
	case o.Lag > time.Duration(*h.Lag).Seconds():
		wrong = append(wrong, fmt.Sprintf("an endpoint is %.0fs behind, at most %v is allowed", o.Lag, *h.Lag))
	}
	return wrong
}

// missedAim takes it for a violation if a rule has hit nothing: then nothing was tried. A rule that
// ends its own process can't be counted.
func (r *runner) missedAim() {
	for _, s := range r.experiment.Method {
		if s.Rule == nil || s.Rule.Action == fault.Exit || s.Rule.Action == fault.Panic && s.Rule.Actors == "supervisor" {
			continue
		}
		key, most, known := string(s.Rule.Point)+" "+string(s.Rule.Action), 0, false
		for _, o := range r.report.Observations {
			if o.Hits != nil {
				most, known = max(most, o.Hits[key]-r.first.Hits[key]), true
			}
		}
		if known && most <= 0 {
			r.report.Violations = append(r.report.Violations, fmt.Sprintf("%q has hit nothing", s.Rule.Name))
		}
	}
}

// judge compares what was seen with the hypothesis.
func (r *runner) judge() {
	h, last := r.experiment.Hypothesis, r.report.Observations[len(r.report.Observations)-1]
	for _, wrong := range h.atRest(last) {
		r.report.Violations = append(r.report.Violations, fmt.Sprintf("%s, %s after the faults", wrong, r.report.Healed.Round(time.Second)))
	}
	count := func(what string, from, to int, most *int) {
		if most == nil {
			return
		}
		if from < 0 || to < 0 {
			r.report.Unknown = append(r.report.Unknown, "nobody counts the ticks that were "+what)
			return
		}
		if to-from > *most {
			r.report.Violations = append(r.report.Violations, fmt.Sprintf("%d ticks were %s, at most %d may be", to-from, what, *most))
		}
	}
	r.missedAim()
	count("missed", r.first.Missed, last.Missed, h.Missed)
	count("taken twice", r.first.Doubled, last.Doubled, h.Doubled)
	if h.Balance {
		r.judgeBalance()
	}
	if len(last.Silent) > 0 && (h.Pending != nil || h.Missed != nil || h.Lag != nil || h.Balance) {
		r.report.Unknown = append(r.report.Unknown, fmt.Sprintf("the samples and ticks of %s are not counted, since no answer came from there", strings.Join(last.Silent, ", ")))
	}
	r.report.Missed, r.report.Doubled = last.Missed-r.first.Missed, last.Doubled-r.first.Doubled
}

// judgeBalance takes every account that did not add up for a violation.
func (r *runner) judgeBalance() {
	accounts := 0
	for _, o := range r.report.Observations {
		accounts += o.Accounts
		if o.Unbalanced > 0 {
			r.report.Violations = append(r.report.Violations, fmt.Sprintf("%d accounts of samples don't add up after %s: %s", o.Unbalanced, o.At.Round(time.Second), o.Imbalance))
			return
		}
	}
	if accounts == 0 {
		r.report.Unknown = append(r.report.Unknown, "no node shows an account of samples")
	}
}

package difftest

import (
	"slices"
	"testing"
)

// moving lets so many intervals pass that series end which a successor keeps for a target that may
// be found yet.
func moving(steps ...step) []step { return slices.Concat(steps, make([]step, 8)) }

// Prometheus' side is one manager that goes on, ours are scrapers of which each hands over to the next.
func TestHandovers(t *testing.T) {
	both, one := targets("one:80, two:80"), targets("one:80")
	job := "- {job_name: k, static_configs: [{targets: [\"three:80\"]}]}\n"
	whole, less := all(plain("a 1\nb 1\n")), all(plain("a 1\n"))
	begin := step{config: both, answers: whole}
	for what, s := range map[string]scenario{
		"nothing else happens":                     {steps: moving(begin, step{}, step{config: both, move: true}, step{})},
		"again and again":                          {steps: moving(begin, step{config: both, move: true}, step{config: both, move: true}, step{config: both, move: true})},
		"a series ends with it":                    {steps: moving(begin, step{}, step{config: both, move: true, answers: less}, step{})},
		"a series ends with it and comes back":     {steps: moving(begin, step{config: both, move: true, answers: less}, step{answers: whole})},
		"a series begins with it":                  {steps: moving(step{config: both, answers: less}, step{config: both, move: true, answers: whole}, step{answers: less})},
		"a series ended before":                    {steps: moving(begin, step{answers: less}, step{config: both, move: true}, step{})},
		"a target is removed just before":          {steps: moving(begin, step{config: one}, step{config: one, move: true}, step{})},
		"a target is removed two intervals before": {steps: moving(begin, step{config: one}, step{}, step{config: one, move: true}, step{})},
		"a target is removed long before":          {steps: moving(begin, step{config: one}, step{}, step{}, step{}, step{config: one, move: true}, step{})},
		"a target is removed with it":              {steps: moving(begin, step{}, step{config: one, move: true}, step{})},
		"a target is removed after it":             {steps: moving(begin, step{}, step{config: both, move: true}, step{config: one}, step{})},
		"a target is removed with it, and there again": {steps: moving(begin, step{}, step{config: one, move: true}, step{}, step{},
			step{}, step{config: both}, step{})},
		"a target is removed before, and there again after it": {steps: moving(begin, step{config: one}, step{}, step{},
			step{config: one, move: true}, step{}, step{}, step{}, step{config: both}, step{})},
		"a target is removed between two":           {steps: moving(begin, step{config: both, move: true}, step{config: one}, step{config: one, move: true}, step{})},
		"a target is removed with the first of two": {steps: moving(begin, step{config: one, move: true}, step{config: one, move: true}, step{})},
		"a target is added with it":                 {steps: moving(step{config: one, answers: whole}, step{}, step{config: both, move: true}, step{})},
		"all targets are removed before":            {steps: moving(begin, step{config: targets("")}, step{config: targets(""), move: true}, step{})},
		"all targets are removed with it":           {steps: moving(begin, step{config: targets(""), move: true}, step{})},
		"a target that is down is removed with it": {steps: moving(begin, step{answers: map[string]answer{"": plain("a 1\n"), "two:80": {status: 500}}},
			step{config: one, move: true}, step{})},
		"a target goes down with it": {steps: moving(begin, step{config: both, move: true, answers: map[string]answer{"": plain("a 1\n"), "two:80": {status: 500}}}, step{})},
		"labels of targets change with it": {steps: moving(begin, step{},
			step{config: targets("one:80, two:80", "relabel_configs: [{target_label: zone, replacement: new}]"), move: true}, step{})},
		"labels of targets change before": {steps: moving(begin,
			step{config: targets("one:80, two:80", "relabel_configs: [{target_label: zone, replacement: new}]")},
			step{config: targets("one:80, two:80", "relabel_configs: [{target_label: zone, replacement: new}]"), move: true}, step{})},
		"a job is removed before":      {jobRemoved: true, steps: moving(step{config: one + job, answers: whole}, step{config: one}, step{config: one, move: true}, step{})},
		"a job is removed with it":     {jobRemoved: true, steps: moving(step{config: one + job, answers: whole}, step{}, step{config: one, move: true}, step{})},
		"a commit fails before":        {steps: moving(begin, step{fails: true}, step{config: both, move: true}, step{})},
		"the first commit after fails": {steps: moving(begin, step{}, step{config: both, move: true, fails: true}, step{})},
	} {
		t.Run(what, func(t *testing.T) {
			s.check(t)
			s.requireEnds(t)
		})
	}
}

// Package faulttest has short forms of package fault for tests of whoever embeds a supervisor:
//
//	faults := faulttest.New(t, faulttest.Nth(3, fault.Scrape, fault.Panic))
//	options.Faults = faults // the instance crashes on its third scrape
//
// It owns nothing but the registry that New returns, which ends with its test.
package faulttest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// New returns a registry with these rules. A rule without a name gets one, one without a duration
// lasts for fault.MaxDuration. A rule that makes no sense fails the test. The registry is closed
// when the test ends.
func New(t testing.TB, rules ...fault.Rule) *fault.Registry {
	t.Helper()
	return NewWith(t, fault.Options{}, rules...)
}

// NewWith is New with options.
func NewWith(t testing.TB, o fault.Options, rules ...fault.Rule) *fault.Registry {
	t.Helper()
	r := fault.New(o)
	t.Cleanup(r.Close)
	for i, rule := range rules {
		if rule.Name == "" {
			rule.Name = fmt.Sprintf("rule %d of the test", i+1)
		}
		if rule.Duration == 0 {
			rule.Duration = fault.Duration(fault.MaxDuration)
		}
		if err := r.Put(rule); err != nil {
			t.Fatalf("put rule %q in force: %v", rule.Name, err)
		}
	}
	return r
}

// Nth is a rule that hits one event of its point, the n-th, counted from 1.
func Nth(n int, p fault.Point, a fault.Action) fault.Rule {
	return fault.Rule{Point: p, Action: a, Skip: n - 1, Count: 1}
}

// Always is a rule that hits every event of its point for so long.
func Always(p fault.Point, a fault.Action, d time.Duration) fault.Rule {
	return fault.Rule{Point: p, Action: a, Duration: fault.Duration(d)}
}

// Sometimes is a rule that hits events by chance, drawn from the seed.
func Sometimes(probability float64, seed uint64, p fault.Point, a fault.Action) fault.Rule {
	return fault.Rule{Point: p, Action: a, Probability: probability, Seed: seed}
}

package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	onpurpose "github.com/ringmaster-agent/ringmaster/actors/fault"
)

const (
	percentUnits   = 200
	percentReshard = 15 * time.Second
	percentTime    = 10 * time.Minute
	// percentHealing is how long everything may take to be as it should after the faults.
	percentHealing = 2*percentReshard + 2*time.Minute
)

// playPercent plays ten minutes with many units, in which nodes come and go and configs come,
// change, fail and go, under a rule. It returns the kinds of messages that there were, and what is
// wrong.
func playPercent(system System, rules ...onpurpose.Rule) (kinds map[string]bool, failure string) {
	kinds = map[string]bool{}
	note := func(string) []actor.ReceiverMiddleware {
		return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
			return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
				if kind := kindOf(envelope.Message); kind != "" {
					kinds[onpurpose.Kind(envelope.Message)] = true
				}
				next(c, envelope)
			}
		}}
	}
	w := NewWorld(system, Options{Seed: 11, Reshard: percentReshard, Middleware: note, Faults: rules})
	defer w.Close()
	start := NodeOptions{Remembers: true, JoinAfter: time.Second}
	for _, name := range []string{"a", "b", "c"} {
		w.Host(name).Start(start)
	}
	for i := range percentUnits {
		name := fmt.Sprintf("app-%d", i)
		w.store.put(configsPrefix+name, Config(name, 1, 1))
	}
	for minute := range int(percentTime / time.Minute) {
		w.Run(20 * time.Second)
		for i := minute; i < percentUnits; i += 20 {
			name := fmt.Sprintf("app-%d", i)
			w.store.put(configsPrefix+name, Config(name, 2+minute, 1))
		}
		w.Run(20 * time.Second)
		switch minute % 3 {
		case 0:
			w.node("b").Stop(30 * time.Second)
		case 1:
			if w.node("b") == nil {
				w.hostOf("b").Start(start)
			}
		}
		w.Run(20 * time.Second)
	}
	w.Run(percentHealing)
	failure = w.failure
	w.failure = ""
	w.checkSettled()
	w.checkQuiet()
	failure += w.failure
	return kinds, failure
}

// hostOf is the host of that name.
func (w *World) hostOf(name string) *host {
	return w.hosts[slices.IndexFunc(w.hosts, func(h *host) bool { return h.name == name })]
}

// onePercent are the rules of the test: each action for each kind.
func onePercent(kinds map[string]bool) (rules []onpurpose.Rule) {
	for i, kind := range slices.Sorted(maps.Keys(kinds)) {
		for j, action := range []onpurpose.Action{onpurpose.Drop, onpurpose.Duplicate, onpurpose.Delay} {
			rules = append(rules, onpurpose.Rule{
				Name: fmt.Sprintf("%s %s", action, strings.ReplaceAll(kind, "/", ".")), Point: onpurpose.ActorReceive, Action: action, Messages: kind,
				Probability: 0.01, Seed: uint64(3*i + j), Delay: onpurpose.Duration(5 * time.Second), Duration: onpurpose.Duration(percentTime),
			})
		}
	}
	return rules
}

func TestAPercentOfAnyKindOfMessageLostDoubledOrLateWedgesNothingAndDoublesNothing(t *testing.T) {
	began := time.Now()
	kinds, failure := playPercent(NewSystem())
	require.Empty(t, failure)
	t.Logf("one play takes %v", time.Since(began))
	rules := onePercent(kinds)
	if total := len(rules); *percents > 0 && *percents < total { // spread over the kinds and the actions
		spread := make([]onpurpose.Rule, *percents)
		for i := range spread {
			spread[i] = rules[i*total / *percents]
		}
		rules = spread
	}
	var mu sync.Mutex
	each(0, uint64(len(rules)), func(system System, i uint64) bool {
		if _, failure := playPercent(system, rules[i]); failure != "" {
			mu.Lock()
			defer mu.Unlock()
			t.Errorf("%s: %s", rules[i].Name, failure)
		}
		return true
	})
	t.Logf("%d rules about %d kinds: %v", len(rules), len(kinds), slices.Sorted(maps.Keys(kinds)))
}

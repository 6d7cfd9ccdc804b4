package sim

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// kindOf is the kind of a message between the actors of a tree, and of what they tell themselves;
// empty for what comes from outside of it, and for protoactor's own.
func kindOf(message any) string {
	kind := fmt.Sprintf("%T", message)
	v := reflect.ValueOf(message)
	if v.Kind() == reflect.Struct && kind == "actors.ended" {
		kind += " " + v.FieldByName("outcome").Elem().Type().String()
	}
	if kind == "messages.StopTree" || strings.Contains(kind, "Describe") || !strings.Contains(kind, ".") || strings.HasPrefix(kind, "*") {
		return ""
	}
	return kind
}

// loss is that one message is lost: of a kind, the one of that number, and whether that has happened.
type loss struct {
	kind   string
	number int
	node   string
	at     time.Duration
}

const (
	lossReshard = 15 * time.Second
	lossStory   = 55 * time.Second
)

// playLoss plays a story in which nodes come and go and configs come, change, fail and go, and one
// message is lost. It returns how many messages of each kind there were while it lasted, and what
// is wrong two reshard intervals after it.
func playLoss(system System, lost *loss) (sent map[string]int, failure string) {
	var w *World
	sent = map[string]int{}
	drop := func(node string) []actor.ReceiverMiddleware {
		return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
			return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
				kind := kindOf(envelope.Message)
				if kind != "" && w.now < lossStory {
					sent[kind]++
					if kind == lost.kind && sent[kind] == lost.number {
						lost.node, lost.at = node, w.now
						w.say(node, "%s is lost", kind)
						return
					}
				}
				next(c, envelope)
			}
		}}
	}
	w = NewWorld(system, Options{Seed: 7, Reshard: lossReshard, Middleware: drop})
	defer w.Close()
	remembers := NodeOptions{Remembers: true, JoinAfter: time.Second}
	w.Host("a").Start(remembers)
	w.Host("b").Start(remembers)
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		w.store.put(configsPrefix+name, Config(name, 1, 1))
	}
	w.Run(20 * time.Second)
	w.Host("c").Start(remembers)
	w.Run(5 * time.Second)
	for _, name := range []string{"app-1", "app-3"} {
		w.store.put(configsPrefix+name, Config(name, 2, 1))
	}
	w.Run(5 * time.Second)
	w.store.remove(configsPrefix + "app-2")
	w.Run(5 * time.Second)
	for _, n := range w.living() {
		for i, unit := range slices.SortedFunc(maps.Keys(n.pipelines), messages.Unit.Compare) {
			if i == 0 {
				w.after(n, 0, n.pipelines[unit].Break)
			}
		}
	}
	w.Run(5 * time.Second)
	w.node("b").Stop(30 * time.Second)
	w.Run(lossStory - w.now)
	w.Run(2*lossReshard + 5*time.Second)
	failure = w.failure
	w.failure = ""
	w.checkSettled()
	w.checkQuiet()
	if failure += w.failure; failure != "" {
		failure = fmt.Sprintf("%s number %d, on %s at %v: %s\n%s", lost.kind, lost.number, lost.node, lost.at, failure, w.Trace(60))
	}
	return sent, failure
}

func TestOneLostMessageOfAnyKindIsMadeGoodWithinTwoReshardIntervals(t *testing.T) {
	sent, failure := playLoss(NewSystem(), &loss{})
	require.Empty(t, failure)
	var losses []loss
	for _, kind := range slices.Sorted(maps.Keys(sent)) {
		// Each of the first sends, and then ever rarer ones.
		for number := 1; number <= sent[kind]; number += max(1, number/2) {
			losses = append(losses, loss{kind: kind, number: number})
		}
	}
	var mu sync.Mutex
	failed := map[string]int{}
	each(0, uint64(len(losses)), func(system System, i uint64) bool {
		if _, failure := playLoss(system, &losses[i]); failure != "" {
			mu.Lock()
			defer mu.Unlock()
			if failed[losses[i].kind]++; failed[losses[i].kind] == 1 {
				t.Errorf("%s", failure)
			}
		}
		return true
	})
	t.Logf("%d messages of %d kinds were lost, one at a time: %v", len(losses), len(sent), slices.Sorted(maps.Keys(sent)))
	for _, kind := range slices.Sorted(maps.Keys(failed)) {
		t.Logf("%s: %d losses were not made good", kind, failed[kind])
	}
}

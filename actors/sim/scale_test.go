//go:build unix

package sim

import (
	"flag"
	"fmt"
	"math"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

var (
	scale      = flag.Bool("scale", false, "measure a big cluster")      //nolint:forbidigo // a flag of the test binary only
	bigNodes   = flag.Int("nodes", 100, "how many nodes it has")         //nolint:forbidigo // a flag of the test binary only
	bigConfigs = flag.Int("configs", 100_000, "how many configs it has") //nolint:forbidigo // a flag of the test binary only
	bigStep    = 100 * time.Millisecond                                  // how exact virtual times are
)

// TestScaleOfABigCluster prints the table of docs/scale.md: how long a big cluster takes to come
// up, to take in a node and to make up for one that has crashed, in virtual time; and what the
// store has to do for it.
func TestScaleOfABigCluster(t *testing.T) {
	if !*scale {
		t.Skip("takes minutes and gigabytes; -args -scale")
	}
	b := &big{decisions: map[string]*decisions{}}
	b.World = NewWorld(NewSystem(), Options{Scale: true, Computed: computed, Middleware: b.time, Reshard: time.Hour})
	defer b.Close()
	for i := range *bigConfigs {
		b.store.revision++
		b.store.set(configsPrefix+fmt.Sprintf("app-%d", i), []byte("# a config of about the usual size\n"+Config("app-0", 1, 1)), "")
	}
	t.Logf("%d nodes, %d configs", *bigNodes, *bigConfigs)
	for i := range *bigNodes {
		b.Host(fmt.Sprintf("node-%03d", i)).Start(NodeOptions{JoinAfter: time.Second})
	}
	b.measure(t, "all start at once", func() bool { return b.running() == *bigConfigs })
	b.Run(10 * time.Second)
	b.measure(t, "nothing happens for a minute", func() bool { return b.now > b.from+time.Minute })
	joined := b.Host("node-new").Start(NodeOptions{JoinAfter: time.Second})
	part := *bigConfigs / (*bigNodes + 1) * 8 / 10
	b.measure(t, "a node joins", func() bool { return b.running() == *bigConfigs && b.of(joined) > part && b.prepared() == 0 })
	joined.Crash()
	b.measure(t, "it crashes", func() bool { return b.running() == *bigConfigs })
}

// big is a world that is measured.
type big struct {
	*World
	decisions map[string]*decisions
	// from is when the measure began, in virtual time.
	from time.Duration
}

// decisions are those of one node: how many, and how long they took.
type decisions struct {
	n            int
	sum, longest time.Duration
}

// time takes the time of each decision of a node.
func (b *big) time(node string) []actor.ReceiverMiddleware {
	d := &decisions{}
	b.decisions[node] = d
	return []actor.ReceiverMiddleware{func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			if fmt.Sprintf("%T", envelope.Message) != "actors.reconcile" {
				next(c, envelope)
				return
			}
			began := computed()
			next(c, envelope)
			if took := computed() - began; took > 0 {
				d.n, d.sum, d.longest = d.n+1, d.sum+took, max(d.longest, took)
			}
		}
	}}
}

// computed is the processor time of this process, which does not depend on what else the machine
// does. It includes the garbage collector's.
func computed() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func (b *big) running() int {
	n := 0
	for _, node := range b.living() {
		n += b.of(node)
	}
	return n
}

// of is how many units run on the node.
func (b *big) of(n *node) int {
	running := 0
	for _, p := range n.pipelines {
		if p.scraping && p.spec.Permit() {
			running++
		}
	}
	return running
}

// prepared is how many units wait for another node.
func (b *big) prepared() int {
	n := 0
	for _, node := range b.living() {
		n += len(node.pipelines) - b.of(node)
	}
	return n
}

// measure lets time pass until something is so, and prints what it has cost.
func (b *big) measure(t *testing.T, what string, until func() bool) {
	t.Helper()
	s, began := b.store, time.Now()
	b.from = b.now
	requests, writes, sent, received, written := s.requests, s.writes, s.sent, s.received, len(s.history)
	for node := range b.decisions {
		*b.decisions[node] = decisions{}
	}
	for !until() {
		require.Empty(t, b.failure)
		require.Less(t, b.now, b.from+10*time.Minute, "%s: %d run", what, b.running())
		b.Run(bigStep)
	}
	var all decisions
	for _, d := range b.decisions {
		all = decisions{all.n + d.n, all.sum + d.sum, max(all.longest, d.longest)}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	nodes, each := float64(len(b.living())), func(n int) float64 { return math.Round(float64(n)/float64(len(b.living()))*10) / 10 }
	t.Log(strings.Join([]string{
		what, fmt.Sprintf("%.1f s", (b.now - b.from).Seconds()), fmt.Sprintf("keys written %d", len(s.history)-written),
		fmt.Sprintf("per node: %v requests (%v write), %.1f KB sent, %.1f MB received", each(s.requests-requests), each(s.writes-writes),
			float64(s.sent-sent)/nodes/1e3, float64(s.received-received)/nodes/1e6),
		fmt.Sprintf("decisions per node %v, mean %v, longest %v", each(all.n), (all.sum / time.Duration(max(all.n, 1))).Round(10*time.Microsecond), all.longest.Round(10*time.Microsecond)),
		fmt.Sprintf("real time %v, heap %d MB", time.Since(began).Round(time.Second), memory.HeapAlloc>>20),
	}, " | "))
}

package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// TestStories plays the files in testdata. After each command the story shows which node scrapes
// what, and what became of the ticks since the command before: how many were missed, and for how
// long the unluckiest unit was not scraped.
//
//	start NODE… [skew=1h] [keep] [remembers] [moved] [for=5s]   starts processes
//	put n=6, delete NAME                                         what is stored: app-0 to app-5, each scraped every second
//	stop, crash, stall, resume, cut, heal NODE                   what happens to a process, or to its way to the store
//	down, up, lose, garbage NAME                                 what happens to the store; garbage is written over a claim
//	part NODE…, mend                                             those named and the others don't hear each other, until it is mended
//	continue                                                     who is isolated goes on; it comes first
//	suspend, wake NODE                                           the machine sleeps, and so does its monotonic clock
//	forget BY NODE                                               a node is asked to forget another one
//	hold, release BY NAME; cordon, drain, force, uncordon BY NODE   a node is given an order; force drains whatever the others can take
//	deleteRecord NODE                                            somebody deletes a member's record
//	run                                                          nothing
func TestStories(t *testing.T) {
	system := NewSystem()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{World: NewWorld(system, Options{Reshard: time.Minute}), told: map[string]int64{}, asleep: map[string]time.Duration{}}
		defer s.Close()
		datadriven.RunTest(t, path, s.play)
		require.Empty(t, s.failure)
	})
}

type story struct {
	*World
	// told is the newest tick of each unit that was told of.
	told map[string]int64
	// asleep is since when nodes are suspended.
	asleep map[string]time.Duration
}

func (s *story) play(t *testing.T, d *datadriven.TestData) string {
	var names []string
	options, wait, n := NodeOptions{}, time.Duration(0), 0
	skew := time.Duration(0)
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "for", "skew":
			length, err := time.ParseDuration(arg.Vals[0])
			require.NoError(t, err)
			if arg.Key == "for" {
				wait = length
			} else {
				skew = length
			}
		case "n":
			_, err := fmt.Sscan(arg.Vals[0], &n)
			require.NoError(t, err)
		case "keep":
			options.KeepClaims = true
		case "remembers":
			options.Remembers = true
		case "moved":
			options.Moved = true
		default:
			names = append(names, arg.Key)
		}
	}
	if d.Cmd == "put" {
		for i := range n {
			names = append(names, fmt.Sprintf("app-%d", i))
		}
	}
	switch {
	case d.Cmd == "part":
		s.part(names)
		names = nil
	case d.Cmd == "forget" || orders[d.Cmd] != nil:
		names = []string{strings.Join(names, " ")}
	case len(names) == 0:
		names = []string{""}
	}
	for _, name := range names {
		s.command(t, d.Cmd, name, options, skew)
	}
	s.Run(wait)
	return s.tell()
}

func (s *story) command(t *testing.T, command, name string, o NodeOptions, skew time.Duration) {
	switch command {
	case "run":
	case "start":
		h := s.host(name)
		h.skew = skew
		h.Start(o)
	case "put":
		s.store.put(configsPrefix+name, strings.Replace(Config("app-0", 1, 1), "interval: 2s", "interval: 1s", 1))
	case "delete":
		s.store.remove(configsPrefix + name)
	case "garbage":
		s.store.put(claimsPrefix+name, `{"v": 99}`)
	case "down":
		s.store.stop()
	case "up":
		s.store.start()
	case "lose":
		s.store.lose(1)
	case "continue":
		s.options.Continue = true
	case "mend":
		for _, h := range s.hosts {
			clear(h.unheard)
		}
	case "forget":
		by, node, _ := strings.Cut(name, " ")
		s.system.Root.Send(s.node(by).supervisor, messages.ForgetMember{Node: node})
	case "hold", "release", "cordon", "drain", "force", "uncordon":
		by, subject, _ := strings.Cut(name, " ")
		s.system.Root.Send(s.node(by).supervisor, orders[command](subject))
	case "deleteRecord":
		s.store.remove(registryPrefix + "members/" + name)
	default:
		n := s.node(name)
		require.NotNil(t, n, "no node %q", name)
		map[string]func(){
			"suspend": func() { n.Stall(); s.asleep[name] = s.now }, "wake": func() { n.sleptThrough(s.now - s.asleep[name]) },
			"stop": func() { n.Stop(30 * time.Second) }, "crash": n.Crash, "stall": n.Stall, "resume": n.Resume,
			"cut": func() { n.host.link.cut = true }, "heal": func() { n.host.link.cut = false; s.store.notify() },
		}[command]()
	}
}

// orders are what a node can be told, about a config or a node.
var orders = map[string]func(string) messages.Order{
	"hold":     func(name string) messages.Order { return messages.HoldConfig{Config: name} },
	"release":  func(name string) messages.Order { return messages.ReleaseConfig{Config: name} },
	"cordon":   func(name string) messages.Order { return messages.CordonNode{Node: name} },
	"drain":    func(name string) messages.Order { return messages.CordonNode{Node: name, Drain: true} },
	"force":    func(name string) messages.Order { return messages.CordonNode{Node: name, Drain: true, Force: true} },
	"uncordon": func(name string) messages.Order { return messages.UncordonNode{Node: name} },
}

// part keeps the named from hearing the others.
func (s *story) part(names []string) {
	for _, h := range s.hosts {
		for _, other := range s.hosts {
			if slices.Contains(names, h.name) != slices.Contains(names, other.name) {
				h.unheard[other.name] = math.MaxInt64
			}
		}
	}
}

// host is the host of that name, made if there is none.
func (s *story) host(name string) *host {
	for _, h := range s.hosts {
		if h.name == name {
			return h
		}
	}
	return s.Host(name)
}

// tell is what a command made of the world.
func (s *story) tell() string {
	var out strings.Builder
	for _, n := range s.living() {
		var running []string
		for unit, p := range n.pipelines {
			if p.scraping && p.spec.Permit() {
				running = append(running, unit.String())
			}
		}
		slices.Sort(running)
		fmt.Fprintf(&out, "%s at %s scrapes [%s]%s\n", n.name, n.address, strings.Join(running, " "), s.problem(n))
	}
	taken, missed, longest := 0, 0, int64(0)
	for key, u := range s.ledger.units {
		if len(u.taken) == 0 {
			continue
		}
		gap := int64(0)
		for tick := max(u.first, s.told[key]+1); tick <= u.newest; tick++ {
			if u.taken[tick].by == "" {
				missed++
				gap++
				longest = max(longest, gap)
				continue
			}
			taken++
			gap = 0
		}
		s.told[key] = u.newest
	}
	fmt.Fprintf(&out, "ticks: %d taken, %d missed, at most %d in a row\n", taken, missed, longest)
	if s.failure != "" {
		fmt.Fprintf(&out, "FAILED: %s\n", s.failure)
	}
	return out.String()
}

// problem is why the node can't take its place.
func (s *story) problem(n *node) string {
	if n.stalled {
		return ", and stands still"
	}
	tree, ok := n.describe()
	switch {
	case !ok:
		return ", and does not answer"
	case tree.Cluster.Problem != "":
		return "; " + tree.Cluster.Problem
	case !tree.Cluster.Permitted:
		return "; not permitted"
	}
	waits := 0
	for u := range tree.Units.All() {
		if u.Phase == messages.PhasePreparing {
			waits++
		}
	}
	if waits > 0 {
		return fmt.Sprintf(", and is prepared for %d", waits)
	}
	return ""
}

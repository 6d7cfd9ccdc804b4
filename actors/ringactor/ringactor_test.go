package ringactor_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/async"
	"github.com/ringmaster-agent/ringmaster/actors/ringactor"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one ring actor on a store, in virtual time. Node a is its own.
type world struct {
	*testing.T
	admin    *memstore.Client
	store    *memstore.Client
	registry *cluster.Registry
	gossip   *fakeGossip
	system   *actor.ActorSystem
	options  ringactor.Options
	pid      *actor.PID
	permits  *ringactor.Permits
	events   []messages.RingEvent
	asked    uint64
	// suspended is for how long the machine was.
	suspended atomic.Int64
}

// fakeGossip knows the peers that it was given. Each answers, unless it says when it did last. Who
// says nothing of its session has the one by which it joined.
type fakeGossip struct {
	peers    []ringactor.Peer
	sessions map[string]string
	status   ringactor.PeerStatus
	named    map[string]string // nil: nobody has told it who the peers are
}

func (g *fakeGossip) Address() string                  { return "a:7946" }
func (g *fakeGossip) SetStatus(s ringactor.PeerStatus) { g.status = s }
func (g *fakeGossip) SetPeers(p map[string]string)     { g.named = p }
func (g *fakeGossip) Conflict() string                 { return "" }
func (g *fakeGossip) Peers() []ringactor.Peer {
	out := slices.Clone(g.peers)
	for i := range out {
		if out[i].Alive && out[i].Answered.IsZero() {
			out[i].Answered = time.Now()
		}
		if out[i].Status.Session == "" {
			out[i].Status.Session = g.sessions[out[i].Node]
		}
	}
	return out
}

func inWorld(t *testing.T, play func(*world)) {
	t.Helper()
	inWorldWith(t, func(*ringactor.Options) {}, play)
}

// inWorldWith plays with other options than usual.
func inWorldWith(t *testing.T, change func(*ringactor.Options), play func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := memstore.NewServer(nil)
		w := &world{T: t, admin: server.Connect(), store: server.Connect(), gossip: &fakeGossip{sessions: map[string]string{}}, system: silentSystem()}
		w.registry = cluster.NewRegistry(w.admin, "collectors/")
		runtime := async.Runtime{SinceBoot: func() time.Duration { return time.Duration(w.suspended.Load()) }}.WithDefaults()
		w.permits = ringactor.NewPermits(runtime)
		supervisor := w.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if event, ok := c.Message().(messages.RingEvent); ok {
				w.events = append(w.events, event)
			}
		}))
		w.options = ringactor.Options{
			Cluster: *(&ringactor.Cluster{
				Node: "a", Incarnation: "a.1", Address: "a:80", Tokens: []uint32{1}, Registry: cluster.NewRegistry(w.store, "collectors/"), Sessions: w.store, Gossip: w.gossip,
			}).WithDefaults(),
			Sender: async.Sender{Root: w.system.Root, Runtime: runtime}, Jitter: func() float64 { return 0 }, Logger: zap.NewNop(),
			Supervisor: supervisor, Permits: w.permits, SessionsOpened: counter(), SessionsEnded: counter(),
		}
		change(&w.options)
		w.spawn()
		defer func() {
			w.system.Root.Stop(w.pid)
			w.system.Root.Stop(supervisor)
			w.pass(time.Second)
			w.system.Shutdown()
			require.NoError(w, w.store.Close())
			require.NoError(w, w.admin.Close())
		}()
		w.list()
		w.take(messages.PlaceActive)
		w.pass(5 * time.Second)
		require.True(w, w.permits.Permitted())
		play(w)
	})
}

func (w *world) spawn() {
	w.pid = w.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return ringactor.New(w.options) }))
}

func silentSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

func counter() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "n"}) }

func (w *world) pass(d time.Duration) {
	w.Helper()
	for left := d; left > 0; left -= 100 * time.Millisecond {
		<-time.After(min(left, 100*time.Millisecond))
		synctest.Wait()
	}
}

// list tells the actor what the store has.
func (w *world) list() {
	w.Helper()
	listed, err := w.registry.List(w.Context())
	require.NoError(w, err)
	w.system.Root.Send(w.pid, listed)
	synctest.Wait()
}

// take says to the actor what the node wants to be.
func (w *world) take(p messages.Place) {
	w.asked++
	w.system.Root.Send(w.pid, messages.TakePlace{Number: w.asked, Place: p})
	synctest.Wait()
}

// member is the record of a node in the store.
func (w *world) member(node string) messages.Member {
	w.Helper()
	m, err := w.registry.GetMember(w.Context(), node)
	require.NoError(w, err)
	return m
}

// join registers another process, by a session of its own.
func (w *world) join(node, incarnation string, cond cluster.Condition) cluster.Session {
	w.Helper()
	session, err := w.admin.OpenSession(w.Context(), 10*time.Second)
	require.NoError(w, err)
	_, err = w.registry.PutMember(w.Context(), messages.Member{Node: node, Incarnation: incarnation, Address: node + "-2:80", State: messages.Active}, session, cond)
	require.NoError(w, err)
	w.gossip.sessions[node] = session.ID()
	w.list()
	return session
}

// problems are what the actor said is in its way.
func (w *world) problems() string {
	var reasons []string
	for _, event := range w.events {
		if p, ok := event.(messages.ClusterProblem); ok {
			reasons = append(reasons, p.Reason)
		}
	}
	return strings.Join(reasons, "\n")
}

func TestWhoseRecordIsAnothersStopsAndSaysSo(t *testing.T) {
	inWorld(t, func(w *world) {
		before := w.member("a")
		w.join("a", "a.2", cluster.Condition{Revision: before.Revision})
		w.pass(300 * time.Millisecond)
		require.False(t, w.permits.Permitted())
		require.Contains(t, w.problems(), "another process runs as node a, at a-2:80")
		_, err := w.admin.SessionIdle(t.Context(), before.Session)
		require.ErrorIs(t, err, cluster.ErrNotFound, "it has given its session up")
		w.pass(20 * time.Second)
		require.Equal(t, "a.2", w.member("a").Incarnation, "it does not fight for the name")
		require.Contains(t, w.problems(), "there is another node called a")
	})
}

func TestARecordThatSomebodyDeletesIsWrittenAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		before := w.member("a")
		require.NoError(t, w.registry.RemoveMember(t.Context(), "a", cluster.Condition{}))
		w.list()
		w.pass(300 * time.Millisecond)
		require.True(t, w.permits.Permitted())
		require.Equal(t, before.Session, w.member("a").Session)
	})
}

func TestARecordThatIsDeletedAndTakenByAnotherProcessIsLeftToIt(t *testing.T) {
	inWorld(t, func(w *world) {
		require.NoError(t, w.registry.RemoveMember(t.Context(), "a", cluster.Condition{}))
		w.list()
		w.join("a", "a.2", cluster.Condition{Absent: true})
		w.pass(time.Second)
		require.False(t, w.permits.Permitted())
		require.Equal(t, "a.2", w.member("a").Incarnation)
	})
}

func TestASuspendedMachineMayNotScrapeBeforeItHasLookedAround(t *testing.T) {
	inWorld(t, func(w *world) {
		w.suspended.Add(int64(8 * time.Second))
		require.False(t, w.permits.Permitted(), "before anything else")
		w.pass(200 * time.Millisecond)
		require.False(t, w.permits.Permitted(), "what it knew is eight seconds older than it seems")
		w.pass(2 * time.Second)
		require.True(t, w.permits.Permitted(), "the store has renewed the session")
	})
}

// The store comes back after an outage, and the first to reach it is a node that was restarted
// meanwhile. Its record says so before gossip does.
func TestWhoeverReachesTheStoreFirstAfterAnOutageCostsNobodyTheSession(t *testing.T) {
	stop := func(o *ringactor.Options) { o.StopWhenIsolated = true }
	inWorldWith(t, stop, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true})
		said := w.gossip.sessions["b"]
		b := ringactor.Peer{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}
		w.gossip.peers = []ringactor.Peer{b}
		w.pass(4 * time.Second)
		before := w.member("a").Session

		w.store.SetUnreachable(true)
		b.Status = ringactor.PeerStatus{AwaySince: time.Now()}
		w.gossip.peers = []ringactor.Peer{b}
		w.pass(6 * time.Second)
		require.True(t, w.permits.Permitted(), "nobody reaches the store")

		w.join("b", "b.2", cluster.Condition{})
		w.gossip.sessions["b"] = said
		w.pass(time.Second)
		require.False(t, w.permits.Permitted(), "this node's session may have run out, too")
		w.gossip.sessions["b"] = w.member("b").Session
		b.Status = ringactor.PeerStatus{ReachesStore: true}
		w.gossip.peers = []ringactor.Peer{b}
		w.pass(time.Second)
		require.False(t, w.gossip.status.Fenced, "the store may be about to answer here, too")

		w.store.SetUnreachable(false)
		w.pass(2 * time.Second)
		require.True(t, w.permits.Permitted())
		require.Equal(t, before, w.member("a").Session)
	})
}

func TestALateEndOfASessionFindsTheRecordChanged(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true}) // and is not heard
		before := w.member("a")
		w.store.SetUnreachable(true)
		w.pass(4 * time.Second)
		require.False(t, w.permits.Permitted())
		idle, err := w.admin.SessionIdle(t.Context(), before.Session)
		require.NoError(t, err)
		require.GreaterOrEqual(t, idle, 3*time.Second, "another node may be about to end the session")
		w.store.SetUnreachable(false)
		w.pass(1500 * time.Millisecond)
		require.True(t, w.permits.Permitted())
		require.ErrorIs(t, w.registry.RemoveMember(t.Context(), "a", cluster.Condition{Revision: before.Revision}), cluster.ErrConflict)
	})
}

func TestANodeWhoseRecordWasTakenAwayWhileItWasSilentDoesNotScrapeByItsSession(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true}) // and is not heard
		before := w.member("a")
		w.store.SetUnreachable(true)
		w.pass(4 * time.Second)
		require.NoError(t, w.registry.RemoveMember(t.Context(), "a", cluster.Condition{Revision: before.Revision}))
		w.store.SetUnreachable(false)
		for range 20 {
			w.pass(100 * time.Millisecond)
			require.False(t, w.permits.Allowed(before.Session))
		}
		w.list()
		w.pass(5 * time.Second)
		require.True(t, w.permits.Permitted())
		require.NotEqual(t, before.Session, w.member("a").Session)
	})
}

func TestARecordThatWasTakenAwayIsNotWrittenAnewBeforeTheSessionIsRenewed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true}) // and is not heard
		before := w.member("a")
		w.store.SetUnreachable(true)
		w.pass(4 * time.Second)
		require.NoError(t, w.registry.RemoveMember(t.Context(), "a", cluster.Condition{Revision: before.Revision}))
		w.store.SetUnreachable(false)
		w.list() // it hears of that before the session is renewed
		w.take(messages.PlaceActive)
		for range 20 {
			w.pass(100 * time.Millisecond)
			require.False(t, w.permits.Allowed(before.Session))
		}
		w.list()
		w.pass(5 * time.Second)
		require.True(t, w.permits.Permitted())
		require.NotEqual(t, before.Session, w.member("a").Session)
	})
}

func TestAnotherProcessOfAMembersNameSaysNothingAboutTheMember(t *testing.T) {
	for _, test := range []struct {
		name    string
		session func(members string) string
		goesOn  bool
	}{
		{"the member", func(members string) string { return members }, true},
		{"another process", func(string) string { return "another" }, false},
		{"another process, which has no session any more", func(string) string { return "" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				b := w.join("b", "b.1", cluster.Condition{Absent: true})
				w.gossip.sessions["b"] = test.session(b.ID())
				w.gossip.peers = []ringactor.Peer{{Node: "b", Alive: true}} // and says that it does not reach the store
				w.pass(time.Second)
				w.store.SetUnreachable(true)
				w.pass(4 * time.Second)
				require.Equal(t, test.goesOn, w.permits.Permitted())
				w.store.SetUnreachable(false)
				w.pass(5 * time.Second)
				require.True(t, w.permits.Permitted())
			})
		})
	}
}

func TestWhoSpeaksByAMembersNameAndReachesTheStoreIsBelieved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true})
		w.gossip.sessions["b"] = "newer" // b has restarted, which this node has not heard from the store
		w.gossip.peers = []ringactor.Peer{{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}}
		w.pass(time.Second)
		w.store.SetUnreachable(true)
		w.pass(4 * time.Second)
		for range 40 {
			require.False(t, w.permits.Permitted(), "the other has the store, and may have taken over")
			w.pass(time.Second)
		}
	})
}

func TestAMemberThatRestartsDuringAnOutageIsHeard(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true})
		w.gossip.peers = []ringactor.Peer{{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}}
		w.pass(time.Second)
		w.store.SetUnreachable(true)
		w.gossip.sessions["b"] = ""
		w.gossip.peers[0].Status = ringactor.PeerStatus{}
		w.pass(8 * time.Second)
		require.True(t, w.permits.Permitted(), "no node reaches the store")
	})
}

func TestAPauseOfLessThanThreeSecondsCostsNoMoreThanItself(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true}) // and is not heard
		w.store.SetUnreachable(true)
		w.pass(2600 * time.Millisecond)
		w.store.SetUnreachable(false)
		w.pass(1100 * time.Millisecond)
		require.True(t, w.permits.Permitted())
	})
}

// forget asks the actor to forget a node.
func (w *world) forget(node string) messages.MemberForgotten {
	w.Helper()
	answers := make(chan messages.MemberForgotten, 1)
	asker := w.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(w.pid, messages.ForgetMember{Node: node})
		case messages.MemberForgotten:
			answers <- m
		}
	}))
	defer w.system.Root.Stop(asker)
	return <-answers
}

func TestAMemberIsForgottenOnlyWithEvidenceThatItIsDead(t *testing.T) {
	for name, c := range map[string]struct {
		peers   []ringactor.Peer
		silent  bool // its session is not renewed
		refused string
	}{
		"dead":                              {[]ringactor.Peer{{Node: "other"}, {Node: "third", Alive: true}}, true, ""},
		"alive":                             {[]ringactor.Peer{{Node: "other", Alive: true}, {Node: "third", Alive: true}}, true, "gossip does not say that the node is dead"},
		"unknown to gossip":                 {[]ringactor.Peer{{Node: "third", Alive: true}}, true, "gossip does not say that the node is dead"},
		"dead, and renewing its session":    {[]ringactor.Peer{{Node: "other"}, {Node: "third", Alive: true}}, false, "the session was renewed"},
		"seen by a minority only":           {[]ringactor.Peer{{Node: "other"}, {Node: "third"}}, true, "only 1 of 3 members are with this node"},
		"told a moment ago that it is held": {[]ringactor.Peer{{Node: "other", Assured: time.Now().AddDate(100, 0, 0)}, {Node: "third", Alive: true}}, true, "has told it a moment ago"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				require.False(t, w.forget("stranger").Known)
				require.Contains(t, w.forget("a").Problem, "can't forget itself")
				w.gossip.peers = []ringactor.Peer{{Node: "other", Alive: true}, {Node: "third", Alive: true}}
				session := w.join("other", "o.1", cluster.Condition{Absent: true})
				w.join("third", "t.1", cluster.Condition{Absent: true})
				w.pass(10 * time.Second) // a newcomer helps nobody
				if c.silent {
					session.Abandon()
				}
				w.pass(4 * time.Second)
				w.gossip.peers = c.peers
				if c.refused == "" {
					w.gossip.peers = nil // or the actor would end the session by itself
				}
				w.pass(250 * time.Millisecond)
				w.gossip.peers = c.peers
				answer := w.forget("other")
				require.True(t, answer.Known)
				if c.refused != "" {
					require.Contains(t, answer.Problem, c.refused)
					require.Equal(t, session.ID(), w.member("other").Session)
					return
				}
				w.pass(time.Second)
				_, err := w.registry.GetMember(context.Background(), "other")
				require.ErrorIs(t, err, cluster.ErrNotFound)
				_, err = w.admin.SessionIdle(context.Background(), session.ID())
				require.ErrorIs(t, err, cluster.ErrNotFound)
			})
		})
	}
}

func TestAnActorThatIsNotToldToKeepItsClaimsEndsItsSession(t *testing.T) {
	inWorld(t, func(w *world) {
		before := w.member("a")
		w.system.Root.Stop(w.pid)
		w.pass(time.Second)
		_, err := w.admin.SessionIdle(t.Context(), before.Session)
		require.ErrorIs(t, err, cluster.ErrNotFound)
	})
}

// The record that shows so is of a session that its node has lost since: gossip never speaks of it.
// Nobody reaches the store then, for however long the outage is.
func TestARecordOfAWhileAgoDoesNotShowThatItsNodeReachesTheStore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.join("b", "b.1", cluster.Condition{Absent: true})
		b := ringactor.Peer{Node: "b", Alive: true, Status: ringactor.PeerStatus{ReachesStore: true}}
		w.gossip.peers = []ringactor.Peer{b}
		w.pass(4 * time.Second)

		w.join("b", "b.2", cluster.Condition{})
		w.gossip.sessions["b"] = "b.3"
		w.pass(time.Second)
		w.store.SetUnreachable(true)
		b.Status = ringactor.PeerStatus{AwaySince: time.Now()}
		w.gossip.peers = []ringactor.Peer{b}
		w.pass(30 * time.Second)
		require.False(t, w.gossip.status.Fenced)
		require.True(t, w.permits.Permitted(), "it is told to go on while it is isolated")
	})
}

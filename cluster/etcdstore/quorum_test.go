package etcdstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/storetest"
)

// All tests of the suite share one cluster, which is emptied for each. Some run on the leader, some
// not.
func TestConformanceOfAQuorum(t *testing.T) {
	q := formQuorum(t)
	tests := 0
	storetest.Run(t, func(t *testing.T) cluster.Store {
		tests++
		s := q.guest(t, tests)
		_, err := s.client.Delete(t.Context(), "", clientv3.WithPrefix())
		require.NoError(t, err)
		return s
	}, "reading and writing", "conditions", "batches", "listing", "watching", "sessions", "idle sessions", "closing")
}

// guest is a client of one member, with what the conformance suite can't do through cluster.Store.
type guest struct {
	*Store
	quorum *testQuorum
	turn   int
}

func (q *testQuorum) guest(t *testing.T, turn int) guest {
	on := q.stores[q.names[turn%len(q.names)]]
	s := secondClient(t, on)
	s.server = on.server
	return guest{Store: s, quorum: q, turn: turn}
}

func (g guest) Compact(t *testing.T, revision int64) { compact(t, g.client, revision) }

// Share returns a client of another member.
func (g guest) Share(t *testing.T) cluster.Store { return g.quorum.guest(t, g.turn+1) }

func TestAQuorumLosesAMemberAndGetsItBack(t *testing.T) {
	q := formQuorum(t)
	put(t, q.stores["a"], "before")
	sess, err := q.stores["a"].OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	events := q.stores["a"].Watch(t.Context(), "", q.revision(t, "a"))

	q.stop(t, "c")
	put(t, q.stores["b"], "while c is away")
	require.Equal(t, "while c is away", next(t, events).Entry.Key)

	require.NoError(t, q.start(t.Context(), "c"))
	require.Equal(t, q.list(t, "a"), q.list(t, "c"), "what c has missed it has now")
	put(t, q.stores["c"], "after")
	require.Equal(t, "after", next(t, events).Entry.Key, "and the others' watches missed nothing")
	alive(t, sess)
}

func TestAQuorumWithoutItsLeaderGoesOn(t *testing.T) {
	q := formQuorum(t)
	put(t, q.stores["a"], "before")
	leader, rest := q.leader(t)
	sess, err := q.stores[rest[0]].OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	q.stop(t, leader)
	lost := time.Now()
	putInTheEnd(t, q.stores[rest[0]], "after")
	require.Equal(t, []string{"after", "before"}, keysOf(q.list(t, rest[1])))
	require.Eventually(t, func() bool { return sess.LastRenewed().After(lost) }, patience, 10*time.Millisecond,
		"the next leader renews what the last one has granted")
	alive(t, sess)
}

func TestWithoutAMajorityNothingIsWrittenAndNothingIsLost(t *testing.T) {
	logger, lines := observe()
	q := formQuorum(t, func(conf *EmbeddedConfig) {
		if conf.Quorum.Name == "a" {
			conf.Logger = logger
		}
	})
	a := q.stores["a"]
	sess, err := a.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = a.Put(t.Context(), cluster.PutRequest{Key: "claim", Session: sess})
	require.NoError(t, err)
	before := q.list(t, "a")
	events := a.Watch(t.Context(), "", before.Revision)
	q.stop(t, "b")
	q.stop(t, "c")
	outage := time.Now()

	line := await(t, lines, "store is not reachable, it will be tried again until it is")
	require.Contains(t, line.ContextMap()["reason"], "there is no leader")
	require.Contains(t, line.ContextMap()["reason"], "b (connection refused")
	for name, call := range map[string]func(context.Context) error{
		"read":  func(ctx context.Context) error { _, err := a.Get(ctx, "claim"); return err },
		"write": func(ctx context.Context) error { _, err := a.Put(ctx, cluster.PutRequest{Key: "k"}); return err },
		"idle":  func(ctx context.Context) error { _, err := a.SessionIdle(ctx, sess.ID()); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := call(ctx)
		cancel()
		require.ErrorContains(t, err, "there is no leader", name)
		require.NotErrorIs(t, err, cluster.ErrNotFound, name)
	}
	alive(t, sess)

	require.NoError(t, q.start(t.Context(), "b"))
	// The session goes on, with its key; nothing that was written is lost, and the watch has not
	// missed anything.
	require.Eventually(t, func() bool { return sess.LastRenewed().After(outage) }, patience, 10*time.Millisecond)
	put(t, q.stores["b"], "after")
	require.Equal(t, before.Entries, q.list(t, "a").Entries[1:])
	for {
		// The write that was refused above may or may not have happened.
		if ev := next(t, events); ev.Entry.Key != "k" {
			require.Equal(t, "after", ev.Entry.Key)
			break
		}
	}
	alive(t, sess)
	await(t, lines, "store is reachable")
}

func TestAllMembersRestart(t *testing.T) {
	q := formQuorum(t)
	put(t, q.stores["a"], "k")
	before := q.list(t, "a")
	for _, name := range q.names {
		q.stop(t, name)
	}
	// One after the other: a member with data doesn't wait.
	for _, name := range q.names {
		require.NoError(t, q.start(t.Context(), name))
	}
	require.Equal(t, before, q.list(t, "c"))
}

func TestAClusterIsFormedWhenAllItsMembersAreThere(t *testing.T) {
	logger, lines := observe()
	q := newQuorum(t, func(conf *EmbeddedConfig) { conf.Logger = logger })
	var early sync.WaitGroup
	defer early.Wait()
	for _, name := range []string{"a", "b"} {
		early.Go(func() {
			if err := q.start(t.Context(), name); err != nil {
				t.Errorf("start %s: %v", name, err)
			}
		})
	}
	for lines.FilterMessage(waitingMessage).FilterField(zap.String("missing", "c (connection refused, nothing listens there)")).Len() < 2 {
		await(t, lines, waitingMessage)
	}
	require.NoError(t, q.start(t.Context(), "c"))
	early.Wait()
	put(t, q.stores["a"], "k")
	require.Equal(t, []string{"k"}, keysOf(q.list(t, "b")))
}

func TestWaitingForMembersEndsWithTheContext(t *testing.T) {
	q := newQuorum(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := q.start(ctx, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "wait for b (")
	require.ErrorContains(t, err, "; c (")
}

func TestAMemberThatLostItsDataIsRefusedUntilItIsReplaced(t *testing.T) {
	q := formQuorum(t)
	put(t, q.stores["a"], "k")
	before := q.list(t, "a")
	require.ErrorContains(t, q.stores["a"].ReplaceMember(t.Context(), "b"), "it is running")
	q.stop(t, "b")
	q.wipe(t, "b")
	require.ErrorIs(t, q.start(t.Context(), "b"), ErrDataLost)

	require.ErrorContains(t, q.stores["a"].ReplaceMember(t.Context(), "a"), "ask another member")
	require.ErrorContains(t, q.stores["a"].ReplaceMember(t.Context(), "d"), "not in the list")
	require.NoError(t, q.stores["a"].ReplaceMember(t.Context(), "b"))
	require.NoError(t, q.stores["a"].ReplaceMember(t.Context(), "b"), "again is fine")
	require.NoError(t, q.start(t.Context(), "b"))
	require.Equal(t, before, q.list(t, "b"))

	// It is a full member: with it alone beside c there is a majority.
	q.stop(t, "a")
	put(t, q.stores["b"], "l")
	require.Equal(t, []string{"k", "l"}, keysOf(q.list(t, "c")))
	// And when it loses its data again, it is refused again.
	require.NoError(t, q.start(t.Context(), "a"))
	q.stop(t, "b")
	q.wipe(t, "b")
	require.ErrorIs(t, q.start(t.Context(), "b"), ErrDataLost)
}

func TestMembersThatLostTheirDataDoNotFormAnotherCluster(t *testing.T) {
	q := formQuorum(t)
	put(t, q.stores["a"], "k")
	for _, name := range q.names {
		q.stop(t, name)
	}
	q.wipe(t, "b")
	q.wipe(t, "c")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, name := range []string{"b", "c"} {
		wg.Go(func() {
			if err := q.start(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s did not wait for a: %v", name, err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, q.start(t.Context(), "a"))
	require.ErrorIs(t, q.start(t.Context(), "b"), ErrDataLost)
}

func TestAMemberThatWasTakenOutSaysSo(t *testing.T) {
	logger, lines := observe()
	q := formQuorum(t, func(conf *EmbeddedConfig) {
		if conf.Quorum.Name == "b" {
			conf.Logger = logger
		}
	})
	put(t, q.stores["a"], "k")
	id := uint64(q.stores["b"].server.etcd.Server.MemberID())
	err := onceHealthy(t.Context(), func() error { _, err := q.stores["a"].client.MemberRemove(t.Context(), id); return err })
	require.NoError(t, err)
	await(t, lines, "store has stopped, restart the agent to have it back")
	_, err = q.stores["b"].Get(t.Context(), "k")
	require.ErrorContains(t, err, "taken out of the cluster")
}

func TestMembersSpeakTLS(t *testing.T) {
	loopback := net.IPv4(127, 0, 0, 1)
	cert, key, _ := selfSigned(t, loopback)
	encrypted := func(conf *EmbeddedConfig) {
		conf.Quorum.TLS = &PeerTLS{CertFile: cert, KeyFile: key, CAFile: cert}
	}
	q := formQuorum(t, encrypted)
	put(t, q.stores["a"], "k")
	require.Equal(t, []string{"k"}, keysOf(q.list(t, "b")))

	// A member without TLS, or with another authority, gets nothing from the others.
	conf := q.confs["c"]
	q.stop(t, "c")
	q.wipe(t, "c")
	otherCert, otherKey, _ := selfSigned(t, loopback)
	for _, tls := range []*PeerTLS{nil, {CertFile: otherCert, KeyFile: otherKey, CAFile: otherCert}} {
		stranger := conf
		quorum := *conf.Quorum
		quorum.TLS, stranger.Quorum = tls, &quorum
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := StartEmbedded(ctx, stranger)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Contains(t, err.Error(), "wait for a (")
	}
	require.ErrorIs(t, q.start(t.Context(), "c"), ErrDataLost)
}

// The third member is a process of its own, the test binary called again, so that it can be killed.
func TestAMemberIsKilledAndComesBackWithItsData(t *testing.T) {
	const variable = "RINGMASTER_TEST_MEMBER"
	if text := os.Getenv(variable); text != "" { //nolint:forbidigo // this is the other process
		runMember(t, text)
		return
	}
	q := newQuorum(t)
	said := &bytes.Buffer{} // by the other process
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("c said: %s", said)
		}
	})
	run := func() *exec.Cmd {
		conf := q.confs["c"]
		text, err := json.Marshal(map[string]any{"Dir": conf.Dir, "Quorum": conf.Quorum})
		require.NoError(t, err)
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(cmd.Environ(), variable+"="+string(text))
		cmd.Stdout, cmd.Stderr = said, said
		require.NoError(t, cmd.Start())
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	cmd := run()
	defer func() { kill(cmd) }()
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			if err := q.start(t.Context(), name); err != nil {
				t.Errorf("start %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	sess, err := q.stores["a"].OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	for i := range 10 {
		put(t, q.stores["a"], fmt.Sprint("before ", i))
	}
	kill(cmd)
	for i := range 10 {
		putInTheEnd(t, q.stores["a"], fmt.Sprint("without c ", i))
	}
	cmd = run()
	// Once b is gone, nothing can be written without c.
	q.stop(t, "b")
	putInTheEnd(t, q.stores["a"], "with c")
	require.Len(t, q.list(t, "a").Entries, 21)
	alive(t, sess)
}

// runMember runs a member until it is killed.
func runMember(t *testing.T, text string) {
	conf := EmbeddedConfig{hasty: true}
	require.NoError(t, json.Unmarshal([]byte(text), &conf))
	conf.Logger = nil
	s, err := StartEmbedded(context.Background(), conf)
	require.NoError(t, err)
	<-s.usable.Done()
}

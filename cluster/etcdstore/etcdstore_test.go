package etcdstore

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/storetest"
	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

// patience is how long a test waits for what must happen. Only a failing test waits that long.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(patientRun{m}) }

// patientRun waits for the connections between members of a quorum, which may need as long as
// etcd's time-out for reading from one, five seconds, to end after Close. That is longer than
// goleak waits.
type patientRun struct{ *testing.M }

func (p patientRun) Run() int {
	code := p.M.Run()
	deadline := time.Now().Add(patience)
	for err := goleak.Find(); err != nil && time.Now().Before(deadline); {
		err = goleak.Find() // it waits by itself, for half a second
	}
	return code
}

func TestConformanceOfTheEmbeddedServer(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cluster.Store {
		return inMemory{startEmbedded(t, EmbeddedConfig{Dir: t.TempDir()})}
	})
}

func TestConformanceOverANetwork(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cluster.Store {
		return newRemote(t, &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)})
	})
}

func TestConformanceOnAnExternalEtcd(t *testing.T) {
	binary, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd on the PATH; on Debian: apt-get install etcd-server")
	}
	storetest.Run(t, func(t *testing.T) cluster.Store {
		return newRemote(t, &externalServer{binary: binary, dir: t.TempDir(), listen: freeAddress(t), peer: freeAddress(t)})
	})
}

func TestAWatchAndASessionSurviveARestartOfTheServer(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		restart(t, newRemote(t, &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}))
	})
	t.Run("external", func(t *testing.T) {
		binary, err := exec.LookPath("etcd")
		if err != nil {
			t.Skip("no etcd on the PATH; on Debian: apt-get install etcd-server")
		}
		restart(t, newRemote(t, &externalServer{binary: binary, dir: t.TempDir(), listen: freeAddress(t), peer: freeAddress(t)}))
	})
}

// restart restarts a server, by killing it if it is a process, and watches.
func restart(t *testing.T, r remote) {
	before := put(t, r, "before")
	events := r.Watch(t.Context(), "", before-1)
	require.Equal(t, "before", next(t, events).Entry.Key)
	sess, err := r.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = r.Put(t.Context(), cluster.PutRequest{Key: "bound", Session: sess})
	require.NoError(t, err)
	require.Equal(t, "bound", next(t, events).Entry.Key)

	r.server.stop(t)
	outage := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = r.Get(ctx, "before")
	require.ErrorIs(t, err, context.DeadlineExceeded, "calls fail while the server is away")
	r.server.start(t)

	after := put(t, r, "after")
	ev := next(t, events)
	require.Equal(t, cluster.EventPut, ev.Kind, "nothing was lost, so there is no reason to relist")
	require.Equal(t, after, ev.Entry.Revision)
	require.Eventually(t, func() bool { return sess.LastRenewed().After(outage) }, patience, 10*time.Millisecond,
		"the session goes on")
	alive(t, sess)
	bound, err := r.Get(t.Context(), "bound")
	require.NoError(t, err)
	require.Equal(t, sess.ID(), bound.Session)
}

func TestRenewalsDoNotWaitForBigWrites(t *testing.T) {
	r := newRemote(t, &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)})
	sess, err := r.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				_, err := r.Put(ctx, cluster.PutRequest{Key: fmt.Sprint(w), Value: make([]byte, 1<<20)})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		last := sess.LastRenewed()
		require.Eventually(t, func() bool { return sess.LastRenewed().After(last) }, patience, 10*time.Millisecond)
		t.Logf("a renewal after %s", sess.LastRenewed().Sub(last))
	}
	cancel()
	writers.Wait()
}

func TestASessionGoesOnWhenAnEndpointHangs(t *testing.T) {
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	t.Cleanup(func() { server.stop(t) })
	frozen, connected := make(chan struct{}), make(chan struct{}, 1)
	hanging := listen(t, func(c net.Conn) { relay(c, server.listen, frozen) })
	other := freeAddress(t)
	s := dial(t, Config{Endpoints: []string{hanging, other}})
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err, "through the only endpoint that is there")
	l, err := net.Listen("tcp", other)
	require.NoError(t, err)
	acceptAll(t, l, func(c net.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
		relay(c, server.listen, nil)
	})
	<-connected
	close(frozen)
	at := time.Now()
	require.Eventually(t, func() bool { return sess.LastRenewed().After(at.Add(renewEvery)) }, patience, 10*time.Millisecond)
}

// inMemory is an embedded store with what the conformance suite can't do through cluster.Store.
type inMemory struct{ *Store }

func (s inMemory) Compact(t *testing.T, revision int64) { compact(t, s.client, revision) }

// Share returns a second store on the same server.
func (s inMemory) Share(t *testing.T) cluster.Store { return secondClient(t, s.Store) }

// secondClient returns a store on the same server.
func secondClient(t *testing.T, s *Store) *Store {
	etcd := s.server.etcd.Server
	client := v3client.New(etcd)
	other := newStore(client, "second client of "+s.where, zap.NewNop())
	other.leases = adapter.LeaseServerToLeaseClient(v3rpc.NewQuotaLeaseServer(etcd))
	other.closeErr = client.Close
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return other
}

// remote is a store on a server that is reached over the network, and can be stopped and emptied.
type remote struct {
	*Store
	server testServer
}

type testServer interface {
	start(t *testing.T)
	stop(t *testing.T)
	// empty deletes its data while it is stopped.
	empty(t *testing.T)
	address() string
}

func newRemote(t *testing.T, server testServer) remote {
	server.start(t)
	t.Cleanup(func() { server.stop(t) })
	return remote{Store: dial(t, Config{Endpoints: []string{server.address()}}), server: server}
}

func (r remote) Compact(t *testing.T, revision int64) { compact(t, r.client, revision) }

func (r remote) Share(t *testing.T) cluster.Store {
	return dial(t, Config{Endpoints: []string{"http://" + r.server.address()}})
}

func (r remote) Rewind(t *testing.T) {
	r.server.stop(t)
	r.server.empty(t)
	r.server.start(t)
}

func compact(t *testing.T, c *clientv3.Client, revision int64) {
	t.Helper()
	_, err := c.Compact(t.Context(), revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
}

func dial(t *testing.T, conf Config) *Store {
	t.Helper()
	if conf.Logger == nil {
		conf.Logger = testLogger(t)
	}
	s, err := Dial(conf)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func startEmbedded(t *testing.T, conf EmbeddedConfig) *Store {
	t.Helper()
	if conf.Logger == nil {
		conf.Logger = testLogger(t)
	}
	conf.noSync = true
	s, err := StartEmbedded(t.Context(), conf)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// embeddedServer is our own server, served over the network.
type embeddedServer struct {
	dir, listen string
	store       *Store
}

func (e *embeddedServer) address() string { return e.listen }

func (e *embeddedServer) start(t *testing.T) {
	t.Helper()
	var err error
	e.store, err = StartEmbedded(context.WithoutCancel(t.Context()), EmbeddedConfig{Dir: e.dir, Logger: testLogger(t), noSync: true, listen: e.listen})
	require.NoError(t, err)
}

func (e *embeddedServer) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, e.store.Close())
}

func (e *embeddedServer) empty(t *testing.T) {
	t.Helper()
	require.NoError(t, os.RemoveAll(e.dir))
}

// externalServer is somebody else's etcd, in a process of its own.
type externalServer struct {
	binary, dir, listen, peer string
	name, cluster             string // of several members; empty: it is alone
	cmd                       *exec.Cmd
}

func (e *externalServer) address() string { return e.listen }

func (e *externalServer) start(t *testing.T) {
	t.Helper()
	if e.cluster == "" {
		e.name, e.cluster = "a", "a=http://"+e.peer
	}
	e.cmd = exec.Command(e.binary, "--data-dir", filepath.Join(e.dir, "data"), "--name", e.name, "--log-level", "error",
		"--listen-client-urls", "http://"+e.listen, "--advertise-client-urls", "http://"+e.listen,
		"--listen-peer-urls", "http://"+e.peer, "--initial-advertise-peer-urls", "http://"+e.peer,
		"--initial-cluster", e.cluster, "--heartbeat-interval", "50", "--election-timeout", "250")
	require.NoError(t, e.cmd.Start())
}

func (e *externalServer) stop(t *testing.T) {
	t.Helper()
	if e.cmd.ProcessState == nil {
		require.NoError(t, e.cmd.Process.Kill())
		_ = e.cmd.Wait()
	}
}

func (e *externalServer) empty(t *testing.T) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(e.dir, "data")))
}

// freeAddress returns a loopback address that was free just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	require.NoError(t, err)
	return address
}

// relay passes on what two ends say, until it is frozen: then neither hears anything any more.
func relay(c net.Conn, to string, frozen <-chan struct{}) {
	backend, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	pass := func(into, from net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			select {
			case <-frozen:
				_, _ = io.Copy(io.Discard, from)
				return
			default:
			}
			if _, werr := into.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		pass(backend, c)
		backend.Close()
	})
	pass(c, backend)
	backend.Close()
	both.Wait()
}

func testLogger(t *testing.T) *zap.Logger { return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)) }

func put(t *testing.T, s cluster.Store, key string) int64 {
	t.Helper()
	res, err := s.Put(t.Context(), cluster.PutRequest{Key: key, Value: []byte("v")})
	require.NoError(t, err)
	return res.Revision
}

func next(t *testing.T, events <-chan cluster.Event) cluster.Event {
	t.Helper()
	select {
	case ev, ok := <-events:
		require.True(t, ok, "the watch has ended")
		return ev
	case <-time.After(patience):
		t.Fatal("no event came")
		panic("not reached")
	}
}

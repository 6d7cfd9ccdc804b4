package etcdstore

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

const (
	// trusted is half of a session's usual time, after which a node stops that the store does not
	// answer. A quiet machine needs half of that: until the silence is noticed, and, if the leader is
	// the silent one, until the others have elected another.
	trusted = 5 * time.Second
	// silenceTime is how long a server is silent: longer than trusted.
	silenceTime = 8 * time.Second
)

func TestASilentEndpointCostsNeitherTheSessionNorTheWatch(t *testing.T) {
	t.Parallel()
	server := &embeddedServer{dir: t.TempDir(), listen: freeAddress(t)}
	server.start(t)
	t.Cleanup(func() { server.stop(t) })
	relays := make([]*mutableRelay, 3)
	var endpoints []string
	for i := range relays {
		relays[i] = newMutableRelay(t, server.listen)
		endpoints = append(endpoints, relays[i].address)
	}
	goOnWhileOneIsSilent(t, endpoints, func(i int) (thaw func()) {
		relays[i].mute(true)
		return func() { relays[i].mute(false) }
	})
}

func TestAFrozenEtcdMemberCostsNeitherTheSessionNorTheWatch(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("no etcd on the PATH; on Debian: apt-get install etcd-server")
	}
	var members []*externalServer
	var list, endpoints []string
	for _, name := range []string{"a", "b", "c"} {
		m := &externalServer{binary: binary, dir: t.TempDir(), listen: freeAddress(t), peer: freeAddress(t), name: name}
		members = append(members, m)
		list = append(list, name+"=http://"+m.peer)
		endpoints = append(endpoints, m.listen)
	}
	for _, m := range members {
		m.cluster = strings.Join(list, ",")
		m.start(t)
		t.Cleanup(func() { m.stop(t) })
	}
	goOnWhileOneIsSilent(t, endpoints, func(i int) (thaw func()) {
		require.NoError(t, members[i].cmd.Process.Signal(syscall.SIGSTOP))
		return func() { require.NoError(t, members[i].cmd.Process.Signal(syscall.SIGCONT)) }
	})
}

func TestConnectionsAreKeptWhereNoOtherEndpointAnswers(t *testing.T) {
	var endpoints []*url.URL
	for range 2 {
		silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		endpoints = append(endpoints, &url.URL{Scheme: "http", Host: silent})
	}
	p := newPulse(endpoints, nil, testLogger(t))
	var conns []net.Conn
	for _, u := range endpoints {
		raw, err := net.Dial("tcp", u.Host)
		require.NoError(t, err)
		defer raw.Close()
		conns = append(conns, p.follow(u.Host, raw))
	}
	p.check(t.Context(), 0, 50*time.Millisecond)
	require.Len(t, p.conns, 2, "it may be this machine that has no time")

	answering := strings.TrimPrefix(listenHTTP(t, http.NotFound), "http://")
	raw, err := net.Dial("tcp", answering)
	require.NoError(t, err)
	defer raw.Close()
	defer p.http.CloseIdleConnections()
	p.follow(answering, raw)
	p.check(t.Context(), 0, 500*time.Millisecond)
	require.Len(t, p.conns, 1)
	_, err = conns[0].Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
}

// goOnWhileOneIsSilent silences each endpoint in turn, and watches how old the proof of a session
// becomes and whether a watch delivers.
func goOnWhileOneIsSilent(t *testing.T, endpoints []string, silence func(i int) (thaw func())) {
	logger, lines := observe()
	s := dial(t, Config{Endpoints: endpoints, Logger: logger})
	require.Eventually(t, func() bool {
		_, err := s.Get(t.Context(), "k")
		return err != nil && strings.Contains(err.Error(), "not found")
	},
		patience, 10*time.Millisecond)
	sess, err := s.OpenSession(t.Context(), time.Minute)
	require.NoError(t, err)
	events := s.Watch(t.Context(), "", 0)
	for i, endpoint := range endpoints {
		t.Run(endpoint, func(t *testing.T) {
			thaw := silence(i)
			defer thaw()
			var oldest time.Duration
			until := time.Now().Add(silenceTime)
			for n := 0; time.Now().Before(until); n++ {
				ctx, cancel := context.WithTimeout(t.Context(), trusted)
				key := fmt.Sprintf("%d/%d", i, n)
				_, err := s.Put(ctx, cluster.PutRequest{Key: key})
				cancel()
				if err == nil {
					deadline := time.Now().Add(trusted + quietTime + quietAnswer)
					for next(t, events).Entry.Key != key {
					}
					require.True(t, time.Now().Before(deadline), "the watch was silent for too long")
				}
				oldest = max(oldest, time.Since(sess.LastRenewed()))
				sleep(t.Context(), 20*time.Millisecond)
			}
			require.Less(t, oldest, trusted)
			t.Logf("the oldest proof was %s old", oldest)
			require.Positive(t, lines.FilterMessage("store endpoint is silent, its connections were closed").
				FilterField(zap.String("endpoint", endpoint)).Len())
		})
		await(t, lines, "store endpoint answers again")
		alive(t, sess)
	}
}

// mutableRelay passes on what is said to a server. While it is mute it still accepts everything, as
// a kernel does for a stopped process.
type mutableRelay struct {
	address string
	mu      sync.Mutex
	thawed  chan struct{} // closed while it isn't mute
}

func newMutableRelay(t *testing.T, to string) *mutableRelay {
	r := &mutableRelay{thawed: make(chan struct{})}
	close(r.thawed)
	r.address = listen(t, func(c net.Conn) {
		backend, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() { r.pass(backend, c) })
		r.pass(c, backend)
		both.Wait()
	})
	return r
}

func (r *mutableRelay) pass(into, from net.Conn) {
	defer into.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		thawed := r.thawed
		r.mu.Unlock()
		<-thawed
		if _, werr := into.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (r *mutableRelay) mute(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.thawed = make(chan struct{})
	} else {
		close(r.thawed)
	}
}

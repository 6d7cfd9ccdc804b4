package ringmaster_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// inbox is an actor that keeps what it is told.
type inbox struct {
	pid *actor.PID
	mu  sync.Mutex
	all []any
}

func newInbox(system *actor.ActorSystem) *inbox {
	b := &inbox{}
	b.pid = system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch c.Message().(type) {
		case *actor.Started, *actor.Stopping, *actor.Stopped:
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.all = append(b.all, c.Message())
	}))
	return b
}

// has reports whether a message of that kind came, and that f says yes to one.
func has[T any](b *inbox, f func(T) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.all, func(m any) bool { t, ok := m.(T); return ok && f(t) })
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond, what)
}

// quiet waits until protoactor's throttle of its log about dead letters has ended, which holds a
// goroutine for a second.
func quiet(t *testing.T) {
	t.Helper()
	eventually(t, "protoactor is quiet", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "NewThrottle")
	})
}

// host is a target and a receiver.
func host(t *testing.T) (target, receiver string, got *receivertest.Receiver) {
	t.Helper()
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a 1\n") }))
	t.Cleanup(one.Close)
	got = &receivertest.Receiver{}
	other := httptest.NewServer(got)
	t.Cleanup(other.Close)
	return one.Listener.Addr().String(), other.URL, got
}

func scraping(target, receiver string) string {
	return fmt.Sprintf("scrape_configs: [{job_name: j, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}]\n"+
		"remote_write: [{url: %q, queue_config: {batch_send_deadline: 50ms}}]\n", target, receiver)
}

func TestTwoSupervisorsOfOneClusterShareAnActorSystemAndLeaveNothingBehind(t *testing.T) {
	target, receiver, _ := host(t)
	server := memstore.NewServer(nil)
	system := actors.NewSystem(nil)
	watching := newInbox(system)
	registry := prometheus.NewRegistry()
	descriptors := openFiles(t)

	var both []*ringmaster.Supervisor
	var stores []cluster.Store
	directories := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
	start := func(parent actor.SpawnerContext, node string) *ringmaster.Supervisor {
		store := server.Connect()
		stores = append(stores, store)
		s, err := ringmaster.New(ringmaster.Options{
			Directory: directories[node], Node: node, Store: store, Cluster: &actors.Cluster{Address: node + ":80", Scheme: "http"},
			Gossip: &gossip.Options{}, Subscriber: watching.pid, Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"supervisor": node}, registry),
			ReshardInterval: time.Second,
		})
		require.NoError(t, err)
		parent.Spawn(s.Props())
		both = append(both, s)
		return s
	}
	spawned := make(chan struct{})
	parent := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			start(c, "a")
			start(c, "b")
			close(spawned)
		}
	}))
	<-spawned
	for i := range 4 {
		_, err := both[0].Configs().Put(t.Context(), fmt.Sprint("app-", i), scraping(target, receiver), cluster.Condition{})
		require.NoError(t, err)
	}
	running := func(s *ringmaster.Supervisor) (n int) {
		description, err := s.Client().Describe(t.Context())
		require.NoError(t, err)
		for u := range description.Units.All() {
			if u.Phase == messages.PhaseRunning {
				n++
			}
		}
		return n
	}
	eventually(t, "they share the configs", func() bool { return running(both[0])+running(both[1]) == 4 })
	for _, node := range []string{"a", "b"} {
		eventually(t, node+" is said to have joined", func() bool {
			return has(watching, func(m messages.MemberJoined) bool { return m.Node == node }) &&
				has(watching, func(m messages.NodeJoined) bool { return m.Node == node && m.Session != "" })
		})
	}
	require.True(t, has(watching, func(messages.UnitStarted) bool { return true }))
	require.True(t, has(watching, func(messages.UnitMoved) bool { return true }))

	system.Root.Stop(parent) // a hard stop: the supervisors are given no time
	for _, s := range both {
		<-s.Released()
	}
	listing, err := stores[0].List(t.Context(), ringmaster.DefaultRegistryPrefix)
	require.NoError(t, err)
	require.Empty(t, listing.Entries, "no session is left, and nothing that is bound to one")
	families, err := registry.Gather()
	require.NoError(t, err)
	var left []string
	for _, f := range families {
		left = append(left, f.GetName())
	}
	require.Empty(t, left, "no metric is left")
	for _, store := range stores {
		require.NoError(t, store.Close())
	}
	system.Root.Stop(watching.pid)
	quiet(t)
	eventually(t, "no file is left open", func() bool { return openFiles(t) <= descriptors })
}

// openFiles counts the files that the process has open, but for sockets, which belong to HTTP
// servers of the test.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the system does not tell which files are open: run this test on Linux")
	}
	for _, e := range entries {
		if at, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(at, "/") && !strings.HasPrefix(at, "/proc") {
			n++
		}
	}
	return n
}

func TestASupervisorIsStoppedInOrderAndStartedAgainOnItsDirectory(t *testing.T) {
	target, receiver, got := host(t)
	system, directory := actors.NewSystem(nil), t.TempDir()
	for range 2 {
		s, err := ringmaster.New(ringmaster.Options{Directory: directory, Configs: map[string]string{"self": scraping(target, receiver)}})
		require.NoError(t, err)
		_, err = ringmaster.New(ringmaster.Options{Directory: directory})
		require.ErrorIs(t, err, ringmaster.ErrDirectory, "a directory has one supervisor at a time")
		system.Root.Spawn(s.Props())
		before := got.Samples()
		eventually(t, "samples arrive", func() bool { return got.Samples() > before+5 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.NoError(t, s.Stop(ctx))
		cancel()
	}
	quiet(t)
}

func TestTheAPIIsServedUnderAPathOfTheEmbedders(t *testing.T) {
	system := actors.NewSystem(nil)
	s, err := ringmaster.New(ringmaster.Options{Directory: t.TempDir(), Configs: map[string]string{"self": "scrape_configs: [{job_name: j}]"}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/scraper/", http.StripPrefix("/scraper", s.Handler()))
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, http.NoBody))
		return w.Code, w.Body.String()
	}
	status, _ := get("/scraper/-/ready")
	require.Equal(t, http.StatusServiceUnavailable, status, "it is not spawned yet")
	system.Root.Spawn(s.Props())
	eventually(t, "it is ready", func() bool { status, _ := get("/scraper/-/ready"); return status == http.StatusOK })
	status, text := get("/scraper/agent/api/v1/metrics/instances")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "self")
	require.NoError(t, s.Stop(t.Context()))
	quiet(t)
}

func TestQuestionsAreAnsweredToAnyActorAndFaultsAreToldOf(t *testing.T) {
	target, receiver, _ := host(t)
	system := actors.NewSystem(nil)
	embedder := newInbox(system)
	var published sync.Map
	subscription := system.EventStream.Subscribe(func(m any) { published.Store(fmt.Sprintf("%T", m), true) })
	defer system.EventStream.Unsubscribe(subscription)
	s, err := ringmaster.New(ringmaster.Options{
		Directory: t.TempDir(), Configs: map[string]string{"self": scraping(target, receiver)}, RestartBackoff: 50 * time.Millisecond,
		Subscriber: embedder.pid, Publish: true, Faults: faulttest.New(t, faulttest.Nth(3, fault.Scrape, fault.Panic)),
	})
	require.NoError(t, err)
	pid := system.Root.Spawn(s.Props())
	eventually(t, "its crash is told of", func() bool {
		return has(embedder, func(m messages.FaultInjected) bool { return m.Point == "scrape.request" && m.Unit == "self" }) &&
			has(embedder, func(m messages.UnitFailed) bool {
				return m.Unit.Config == "self" && strings.Contains(m.Reason, "injected")
			}) &&
			has(embedder, func(m messages.UnitStarted) bool { return m.Generation == 2 })
	})
	_, ok := published.Load("messages.UnitStarted")
	require.True(t, ok, "the event stream has it too")
	system.Root.RequestWithCustomSender(pid, messages.DescribeTree{}, embedder.pid)
	eventually(t, "the question is answered", func() bool {
		return has(embedder, func(m messages.TreeDescription) bool { return m.Units.Len() == 1 })
	})
	require.NoError(t, s.Stop(t.Context()))
	require.True(t, has(embedder, func(m messages.UnitStopped) bool { return m.Reason == messages.Shutdown }))
	system.Root.Stop(embedder.pid)
	quiet(t)
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	_, err := ringmaster.New(ringmaster.Options{})
	require.ErrorContains(t, err, "Options.Directory")
	_, err = ringmaster.New(ringmaster.Options{Directory: t.TempDir(), Cluster: &actors.Cluster{}})
	require.ErrorContains(t, err, "Options.Store")
	s, err := ringmaster.New(ringmaster.Options{Directory: t.TempDir()})
	require.NoError(t, err)
	s.Close()
	<-s.Released()
}

// TestTheExampleOfEmbeddingIsShortAndRuns builds and runs examples/embed, a module of its own.
func TestTheExampleOfEmbeddingIsShortAndRuns(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("examples", "embed", "main.go"))
	require.NoError(t, err)
	_, rest, begins := strings.Cut(string(text), "// embedding begins here.\n")
	part, _, ends := strings.Cut(rest, "// embedding ends here.\n")
	require.True(t, begins && ends)
	require.Less(t, strings.Count(part, "\n"), 40, "the part that embeds is short")
	if testing.Short() {
		t.Skip("builds a program: run it without -short")
	}
	program := filepath.Join(t.TempDir(), "embed")
	build := exec.Command("go", "build", "-tags", "light", "-o", program, ".")
	build.Dir = filepath.Join("examples", "embed")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.CommandContext(t.Context(), program).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "self runs")
	require.Contains(t, string(out), "the application's own metrics have arrived")
}

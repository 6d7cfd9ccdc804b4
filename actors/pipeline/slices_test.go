package pipeline

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/scrape/scrapetest"
)

// metronome is forty targets, of which half are scraped each second and half every fifteen, and
// remembers when they were.
type metronome struct {
	mu      sync.Mutex
	scraped map[string][]time.Time
	takes   time.Duration
}

func (m *metronome) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.scraped[r.Host] = append(m.scraped[r.Host], time.Now())
	m.mu.Unlock()
	<-time.After(m.takes)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprint(w, "metric 1\n")
}

// config is the config of that name, with half of the targets.
func (m *metronome) config(name string, slices int) string {
	var often, rarely []string
	for i := range 10 {
		often, rarely = append(often, fmt.Sprintf("'often-%s-%d:80'", name, i)), append(rarely, fmt.Sprintf("'rarely-%s-%d:80'", name, i))
	}
	return fmt.Sprintf(`slices: %d
scrape_configs:
- {job_name: often, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%s]}]}
- {job_name: rarely, scrape_interval: 15s, scrape_timeout: 10s, static_configs: [{targets: [%s]}]}
`, slices, strings.Join(often, ", "), strings.Join(rarely, ", "))
}

// requireEachTickOnce is about the time from one instant to another.
func (m *metronome) requireEachTickOnce(t *testing.T, from, to time.Time) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Len(t, m.scraped, 40)
	for target, times := range m.scraped {
		interval := 15 * time.Second
		if strings.HasPrefix(target, "often") {
			interval = time.Second
		}
		times = slices.DeleteFunc(times, func(at time.Time) bool { return at.Before(from) || at.After(to) })
		require.GreaterOrEqual(t, times[len(times)-1].Sub(times[0]), to.Sub(from)-2*interval)
		for i := 1; i < len(times); i++ {
			require.InDelta(t, interval.Seconds(), times[i].Sub(times[i-1]).Seconds(), 0.1, "%s, scrapes %d and %d at %v", target, i-1, i, times[i])
		}
	}
}

// newMember is a host that shares the configs of a store with others.
func newMember(t *testing.T, name string, network *scrapetest.Network, store *memstore.Client) *host {
	t.Helper()
	factory, err := NewFactory(Options{WALDirectory: filepath.Join(t.TempDir(), "wal"), Host: name, DialContext: network.Dial})
	require.NoError(t, err)
	h := &host{t: t, factory: factory, system: actors.NewSystem(zap.NewNop()), directory: actors.NewDirectory()}
	state := ring.Key(name)
	h.pid = h.system.Root.Spawn(actors.Props(actors.Options{
		Runtime:     actors.Runtime{SinceBoot: func() time.Duration { return 0 }}, // the machine's clock does not know this time
		NewPipeline: factory.New, Directory: h.directory, Configs: cluster.NewConfigs(store, "configurations/"),
		Parse: func(d messages.Document) (*config.Instance, error) {
			return config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{})
		},
		Cluster: &actors.Cluster{
			Node: name, Address: name + ":80", Registry: cluster.NewRegistry(store, "collectors/"), Sessions: store,
			Tokens: ring.NewTokens(128, nil, func() uint32 { state = ring.Key(fmt.Sprint(name, state)); return state }),
		},
	}))
	h.client = actors.NewClient(h.system, h.pid)
	return h
}

func TestWhenTheNumberOfSlicesChangesEachTickIsTakenOnce(t *testing.T) {
	for what, takes := range map[string]time.Duration{"quick scrapes": 0, "slow scrapes": 900 * time.Millisecond} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				targets := &metronome{scraped: map[string][]time.Time{}, takes: takes}
				network := scrapetest.NewNetwork()
				defer network.Serve(targets)()
				server := memstore.NewServer(nil)
				var hosts []*host
				var stores []*memstore.Client
				for _, name := range []string{"a", "b", "c"} {
					store := server.Connect()
					stores, hosts = append(stores, store), append(hosts, newMember(t, name, network, store))
				}
				<-time.After(10 * time.Second)
				configs := cluster.NewConfigs(stores[0], "configurations/")
				runners := map[string]bool{} // units, and where they ran
				began := time.Now()
				for _, number := range []int{1, 3, 2, 1, 4} {
					for _, name := range []string{"demo", "svc"} {
						_, err := configs.Put(t.Context(), name, targets.config(name, number), cluster.Condition{})
						require.NoError(t, err)
					}
					if number == 4 && takes == 0 { // of a slow scrape that a move cuts off, the target hears twice
						<-time.After(2 * time.Second)
						store := server.Connect()
						stores, hosts = append(stores, store), append(hosts, newMember(t, "d", network, store))
					}
					<-time.After(40*time.Second + 300*time.Millisecond)
					synctest.Wait()
					units, found := 0, 0
					for i, h := range hosts {
						for _, entry := range h.directory.All() {
							runners[fmt.Sprint(entry.Unit, " on ", i)] = true
							units, found = units+1, found+len(entry.Pipeline.(*Pipeline).Targets(nil))
						}
					}
					require.Equal(t, 2*number, units)
					require.Equal(t, 40, found)
				}
				require.Subset(t, slices.Collect(maps.Keys(runners)), []string{"demo on 1", "demo[slice 2] on 2", "svc[slice 1] on 0"}, "they are spread")
				if takes == 0 {
					require.True(t, runners["demo[slice 3] on 3"], "the one that came while they were divided has some: %v", runners)
				}
				ended := time.Now()
				for _, h := range hosts {
					require.NoError(t, actors.Stop(context.Background(), h.system, h.pid))
					h.factory.Close()
				}
				targets.requireEachTickOnce(t, began, ended)
				for _, store := range stores {
					require.NoError(t, store.Close())
				}
				<-time.After(2 * time.Second) // protoactor's throttle of its log about dead letters holds a goroutine for a second
			})
		})
	}
}

func TestALocalConfigIsDividedOtherwiseWithoutMissingATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := &metronome{scraped: map[string][]time.Time{}}
		network := scrapetest.NewNetwork()
		defer network.Serve(targets)()
		h := newHost(t, "a", network)
		began := time.Now()
		for _, slices := range []int{1, 3, 1} {
			h.client.ReplaceLocal(messages.Document{Name: "one", Local: true, Text: messages.Text(targets.config("one", slices))},
				messages.Document{Name: "two", Local: true, Text: messages.Text(targets.config("two", slices))})
			<-time.After(40 * time.Second)
			synctest.Wait()
			require.Len(t, h.directory.All(), 2*slices)
		}
		ended := time.Now()
		h.stop()
		targets.requireEachTickOnce(t, began, ended)
		<-time.After(2 * time.Second) // see above
	})
}

func TestWhatGoesToAnotherSliceIsSentWithoutWaitingForABatch(t *testing.T) {
	w := newWorld(t)
	var groups []string
	for i := range 30 {
		groups = append(groups, fmt.Sprintf("{targets: [%q], labels: {n: '%d'}}", w.target.Listener.Addr(), i))
	}
	divided := func(slices int) *config.Instance {
		return w.parse(fmt.Sprintf(`slices: %d
scrape_configs: [{job_name: j, scrape_interval: 2s, scrape_timeout: 2s, static_configs: [%s]}]
remote_write: [{url: %s, queue_config: {batch_send_deadline: 1h, max_samples_per_send: 1000000}}]
`, slices, strings.Join(groups, ", "), w.remote.URL))
	}
	n := &node{t: t, factory: w.factory}
	n.permit.Store(true)
	p := n.open(messages.Unit{Config: "one", Slice: 1}, divided(2))
	defer func() { require.NoError(t, p.Close(false)) }()
	require.NoError(t, p.Start(t.Context(), ""))
	// An endpoint begins by sending what is there, which may be the first scrapes. The interval is
	// long, since a scrape that takes longer on a busy machine ends its series with markers, which
	// are looked for below.
	w.eventually(func() bool { return int64(p.log.End().Seq) > w.receiver.samples.Load()+60 }, "samples wait for a full batch")

	whole := divided(1)
	whole.Earlier = []config.Division{{Slices: 2, Until: time.Now().Add(time.Second)}}
	require.NoError(t, p.Reload(t.Context(), whole))
	require.NotEmpty(t, p.Targets(nil), "it has them yet")
	w.eventually(func() bool { return len(p.Targets(nil)) == 0 }, "the targets go")
	w.eventually(func() bool { return w.receiver.samples.Load() == int64(p.log.End().Seq) }, "everything is sent")
	require.Zero(t, w.receiver.stale.Load())
}

func TestAFlusherEndsWithItsPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		h := &flusher{send: func(ctx context.Context) {
			sent++
			<-ctx.Done()
		}}
		h.flush()
		h.flush() // while it is sending
		h.flush()
		<-time.After(3 * flushTime)
		synctest.Wait()
		require.Equal(t, 2, sent)
		h.flush()
		synctest.Wait()
		began := time.Now()
		h.end()
		require.Zero(t, time.Since(began), "it does not wait for what can't be sent")
		h.flush()
		h.end()
		require.Equal(t, 3, sent)
	})
}

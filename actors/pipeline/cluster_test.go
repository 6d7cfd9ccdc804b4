package pipeline

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/scrape/scrapetest"
)

// node is a process of a cluster, as far as pipelines know.
type node struct {
	t       *testing.T
	factory *Factory
	permit  atomic.Bool
}

func newNode(t *testing.T, o Options) *node {
	t.Helper()
	if o.WALDirectory == "" {
		o.WALDirectory = filepath.Join(t.TempDir(), "wal")
	}
	factory, err := NewFactory(o)
	require.NoError(t, err)
	n := &node{t: t, factory: factory}
	n.permit.Store(true)
	return n
}

func (n *node) open(u messages.Unit, c *config.Instance) *Pipeline {
	n.t.Helper()
	opened, err := n.factory.New(n.t.Context(), actors.PipelineSpec{Unit: u, Config: c, Permit: n.permit.Load,
		Failed: func(err error) { n.t.Error(err) }})
	require.NoError(n.t, err)
	return opened.(*Pipeline)
}

func parse(t *testing.T, name, text string) *config.Instance {
	t.Helper()
	instance, err := config.ParseInstance(name, text, config.InstanceOptions{})
	require.NoError(t, err)
	return instance
}

func TestAUnitThatMovesBetweenNodesTakesEachTickOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // two targets are scraped at once
		scraped := map[string][]time.Time{}
		network := scrapetest.NewNetwork()
		defer network.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			scraped[r.Host] = append(scraped[r.Host], time.Now())
			mu.Unlock()
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, "metric 1\n")
		}))()
		c := parse(t, "one", "scrape_configs: [{job_name: j, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ['a:80', 'b:80']}]}]")
		nodes := []*node{newNode(t, Options{DialContext: network.Dial, Seed: 7}), newNode(t, Options{DialContext: network.Dial, Seed: 7})}

		owner := nodes[0].open(messages.WholeConfig("one"), c)
		require.NoError(t, owner.Start(t.Context(), ""))
		for move := range 20 {
			<-time.After(2*time.Second + time.Duration(move)*50*time.Millisecond)
			next := nodes[(move+1)%2].open(messages.WholeConfig("one"), c)
			handover, err := owner.StopScraping(t.Context(), messages.Moved)
			require.NoError(t, err)
			require.Positive(t, time.Until(owner.NextTick()))
			if move%3 == 0 {
				<-time.After(time.Until(owner.NextTick()) + 50*time.Millisecond) // the move has taken long
			}
			require.NoError(t, next.Start(t.Context(), handover))
			require.NoError(t, owner.Close(false))
			owner = next
		}
		<-time.After(2 * time.Second)
		require.NoError(t, owner.Close(false))
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, scraped, 2)
		for host, times := range scraped {
			require.Greater(t, len(times), 40)
			for i := 1; i < len(times); i++ {
				require.InDelta(t, 1, times[i].Sub(times[i-1]).Seconds(), 0.051, "%s, scrapes %d and %d", host, i-1, i)
			}
		}
		for _, n := range nodes {
			n.factory.Close()
		}
	})
}

func TestWhatIsFencedOffOrHasNoPermitAddsNothingToItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := scrapetest.NewNetwork()
		defer network.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(5 * time.Second):
			case <-r.Context().Done():
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, "metric 1\n")
		}))()
		c := parse(t, "one", "scrape_configs: [{job_name: j, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: ['a:80']}]}]")
		n := newNode(t, Options{DialContext: network.Dial})
		p := n.open(messages.WholeConfig("one"), c)
		n.permit.Store(false)
		require.NoError(t, p.Start(t.Context(), ""))
		<-time.After(30 * time.Second)
		require.Zero(t, p.log.End().Seq)

		n.permit.Store(true)
		<-time.After(time.Until(p.NextTick()) + 16*time.Second) // one scrape has ended, one is running
		committed := p.log.End().Seq
		require.NotZero(t, committed)
		begin := time.Now()
		handover, err := p.StopScraping(t.Context(), messages.Fenced)
		require.NoError(t, err)
		require.NotEmpty(t, handover)
		require.Zero(t, time.Since(begin), "at once")
		<-time.After(time.Minute)
		require.Equal(t, committed, p.log.End().Seq)
		require.NoError(t, p.Close(false))
		n.factory.Close()
	})
}

func TestAHandoverThatIsNotUnderstoodIsLoggedAndScrapingBegins(t *testing.T) {
	w := newWorld(t)
	core, logs := observer.New(zap.WarnLevel)
	w.factory.options.Logger = zap.New(core)
	p := w.open(w.instance(""))
	require.NoError(t, p.Start(t.Context(), "from the future"))
	require.Equal(t, 1, logs.FilterMessageSnippet("handover ignored").Len())
	w.eventually(func() bool { return w.receiver.samples.Load() > 0 }, "samples arrive")
}

func TestSlicesOfAConfigShareItsTargets(t *testing.T) {
	n := newNode(t, Options{})
	defer n.factory.Close()
	text := "slices: %d\nscrape_configs: [{job_name: j, static_configs: [{targets: [" + strings.TrimSuffix(strings.Repeat("'t%d:80', ", 20), ", ") + "]}]}]"
	ofSlices := func(k int) *config.Instance {
		numbers := []any{k}
		for i := range 20 {
			numbers = append(numbers, i)
		}
		return parse(t, "one", fmt.Sprintf(text, numbers...))
	}
	owners := map[string]int{}
	var opened []*Pipeline
	for slice := range 3 {
		p := n.open(messages.Unit{Config: "one", Slice: slice}, ofSlices(3))
		opened = append(opened, p)
		for _, target := range p.Targets(nil) {
			owners[target.URL]++
		}
	}
	require.Len(t, owners, 20)
	for url, n := range owners {
		require.Equal(t, 1, n, url)
	}
	require.NoError(t, opened[0].Reload(t.Context(), ofSlices(1)))
	require.Len(t, opened[0].Targets(nil), 20)
	require.NoError(t, opened[2].Reload(t.Context(), ofSlices(1)))
	require.Empty(t, opened[2].Targets(nil))
	for _, p := range opened {
		require.NoError(t, p.Close(false))
	}
}

func TestReplicasSendTheirLabelsAlsoWhatWasInTheLog(t *testing.T) {
	w := newWorld(t)
	w.factory.options.ReplicaLabels = func(external labels.Labels, replica int) labels.Labels {
		return labels.NewBuilder(external).Set("__replica__", fmt.Sprint("replica-", replica)).Labels()
	}
	unit := messages.Unit{Config: "one", Replica: 1}
	n := &node{t: t, factory: w.factory}
	n.permit.Store(true)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := n.open(unit, w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.End().Seq > 10 }, "scrapes")
	_, err := p.StopScraping(t.Context(), messages.Shutdown)
	require.NoError(t, err)
	require.NoError(t, p.Close(false))

	w.receiver.status.Store(0)
	p = n.open(unit, w.instance(""))
	w.eventually(func() bool { return w.receiver.samples.Load() > 10 }, "what was in the log arrives")
	require.NoError(t, p.Close(false))
	w.receiver.series.Range(func(series, _ any) bool {
		require.Contains(t, series, `__replica__="replica-1"`)
		return true
	})
}

func TestUnitsOfALongNameHaveDirectoriesOfTheirOwn(t *testing.T) {
	n := newNode(t, Options{})
	defer n.factory.Close()
	name := strings.Repeat("Long", 50)
	c := parse(t, name, "slices: 2\nscrape_configs: []")
	for _, u := range []messages.Unit{{Config: name}, {Config: name, Slice: 1}, {Config: name, Replica: 1}, {Config: name, Slice: 1, Replica: 1}} {
		p := n.open(u, c)
		defer func() { require.NoError(t, p.Close(false)) }()
	}
	entries, err := os.ReadDir(n.factory.options.WALDirectory)
	require.NoError(t, err)
	directories := 0
	for _, entry := range entries {
		require.LessOrEqual(t, len(entry.Name()), 255)
		if entry.IsDir() {
			directories++
		}
	}
	require.Equal(t, 4, directories)
}

package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/scrape/scrapetest"
)

const tick = 15 * time.Second

// host is a machine with a supervisor of its own, as far as a target can tell.
type host struct {
	t         *testing.T
	factory   *Factory
	system    *actor.ActorSystem
	pid       *actor.PID
	client    *actors.Client
	directory *actors.Directory
}

func newHost(t *testing.T, name string, network *scrapetest.Network) *host {
	t.Helper()
	factory, err := NewFactory(Options{WALDirectory: filepath.Join(t.TempDir(), "wal"), Host: name, DialContext: network.Dial})
	require.NoError(t, err)
	h := &host{t: t, factory: factory, system: actors.NewSystem(zap.NewNop()), directory: actors.NewDirectory()}
	h.pid = h.system.Root.Spawn(actors.Props(actors.Options{
		Runtime:     actors.Runtime{SinceBoot: func() time.Duration { return 0 }}, // the machine's clock does not know this time
		NewPipeline: factory.New, Directory: h.directory,
		Parse: func(d messages.Document) (*config.Instance, error) {
			return config.ParseInstance(d.Name, string(d.Text), config.InstanceOptions{})
		},
	}))
	h.client = actors.NewClient(h.system, h.pid)
	return h
}

func (h *host) stop() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(h.t, actors.Stop(ctx, h.system, h.pid))
	h.factory.Close()
}

// lastTick is the number of the last tick that this host has committed, 0 if it runs nothing.
func (h *host) lastTick() int64 {
	for _, entry := range h.directory.All() {
		p, ok := entry.Pipeline.(*Pipeline)
		require.True(h.t, ok)
		for _, last := range p.scraper.LastTicks() {
			return last.Number
		}
	}
	return 0
}

func TestATargetThatMovesToAnotherHostKeepsItsTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scraped []time.Time
		network := scrapetest.NewNetwork()
		defer network.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			scraped = append(scraped, time.Now())
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, "metric 1\n")
		}))()
		document := messages.Document{Name: "one", Local: true,
			Text: "scrape_configs: [{job_name: j, scrape_interval: 15s, static_configs: [{targets: ['target:80']}]}]"}
		hosts := []*host{newHost(t, "a.example.org", network), newHost(t, "b.example.org", network)}

		hosts[0].client.ReplaceLocal(document)
		var ticks []int64
		pass := func(owner *host) {
			<-time.After(tick)
			synctest.Wait()
			ticks = append(ticks, owner.lastTick())
		}
		pass(hosts[0])
		<-time.After(time.Until(scraped[0].Add(tick / 2))) // half-way between two ticks
		for move := range 6 {
			from, to := hosts[move%2], hosts[(move+1)%2]
			for range 3 {
				pass(from)
			}
			from.client.ReplaceLocal()
			<-time.After(time.Second)
			synctest.Wait()
			require.Empty(t, from.directory.Names())
			to.client.ReplaceLocal(document)
			<-time.After(time.Second)
			synctest.Wait()
			<-time.After(tick - 2*time.Second)
			synctest.Wait()
			ticks = append(ticks, to.lastTick())
		}
		for i := 1; i < len(scraped); i++ {
			require.InDelta(t, tick.Seconds(), scraped[i].Sub(scraped[i-1]).Seconds(), 0.05, "between scrapes %d and %d", i, i+1)
		}
		require.GreaterOrEqual(t, len(scraped), 24)
		ticks = ticks[1:] // the first was looked at off the rhythm of the others
		for i := 1; i < len(ticks); i++ {
			require.Equal(t, ticks[i-1]+1, ticks[i], "tick numbers of the owners, one after the other: %v", ticks)
		}
		for _, h := range hosts {
			h.stop()
		}
		<-time.After(2 * time.Second) // protoactor's throttle of its log about dead letters holds a goroutine for a second
	})
}

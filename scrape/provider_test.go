package scrape

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// countedDiscovery tells how many of it are running. No two are equal.
type countedDiscovery struct {
	scriptedDiscovery
	running, begun *atomic.Int32
	groups         chan []*targetgroup.Group
}

func newCountedDiscovery() *countedDiscovery {
	return &countedDiscovery{running: new(atomic.Int32), begun: new(atomic.Int32), groups: make(chan []*targetgroup.Group)}
}

func (c *countedDiscovery) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return c, c.refuse
}

func (c *countedDiscovery) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	c.running.Add(1)
	c.begun.Add(1)
	defer c.running.Add(-1)
	for {
		select {
		case groups := <-c.groups:
			select {
			case updates <- groups:
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return
		}
	}
}

func fromOrigin(t *testing.T, origin string, configs ...discovery.Config) *Config {
	c := discovering(t, configs...)
	c.Origin = origin
	return c
}

func TestScrapersOfOneOriginShareADiscovery(t *testing.T) {
	shared := NewShared()
	with := func(o *Options) { o.Shared = shared }
	sd := newCountedDiscovery()
	first, second, stranger := newScraper(t, newMemory(), with), newScraper(t, newMemory(), with), newScraper(t, newMemory(), with)
	require.NoError(t, first.Apply(t.Context(), fromOrigin(t, "one", sd)))
	sd.groups <- []*targetgroup.Group{group("a", "one:80")}
	require.NoError(t, first.Warm(t.Context()))
	require.NoError(t, first.Start())

	require.NoError(t, second.Apply(t.Context(), fromOrigin(t, "one", sd)))
	require.NoError(t, second.Warm(t.Context()), "it is warm already")
	require.Len(t, second.Targets(), 1)
	require.NoError(t, second.Start())
	require.Equal(t, int32(1), sd.begun.Load())

	require.NoError(t, stranger.Apply(t.Context(), fromOrigin(t, "two", sd)))
	eventually(t, func() bool { return sd.running.Load() == 2 }, "another origin has its own")
	require.NoError(t, stranger.Stop(over(), KeepSeries))
	eventually(t, func() bool { return sd.running.Load() == 1 }, "which ends with it")

	require.NoError(t, first.Stop(over(), KeepSeries))
	sd.groups <- []*targetgroup.Group{group("b", "two:80", "three:80")}
	eventually(t, func() bool { return len(second.Targets()) == 3 }, "what is found when the first has gone")
	require.NoError(t, second.Apply(t.Context(), fromOrigin(t, "one")))
	eventually(t, func() bool { return sd.running.Load() == 0 }, "nobody uses it any more")
	require.Empty(t, shared.discoverers.byOrigin)
}

func TestAllUsersOfADiscoveryHearOfItsPanic(t *testing.T) {
	shared := NewShared()
	reports := make(chan error, 3)
	with := func(o *Options) { o.Shared, o.OnPanic = shared, func(err error) { reports <- err } }
	begin := make(chan struct{})
	sd := &scriptedDiscovery{run: func(context.Context, chan<- []*targetgroup.Group) {
		<-begin
		panic("lost")
	}}
	config := fromOrigin(t, "one", sd)
	for range 2 {
		require.NoError(t, newScraper(t, newMemory(), with).Apply(t.Context(), config))
	}
	close(begin)
	for range 2 {
		require.ErrorContains(t, <-reports, "lost")
	}
	require.Empty(t, shared.discoverers.byOrigin, "who starts again does not get the one that is lost")
}

func TestARefusedConfigLeavesNoDiscovery(t *testing.T) {
	shared := NewShared()
	s := newScraper(t, newMemory(), func(o *Options) { o.Shared = shared })
	good, bad := newCountedDiscovery(), newCountedDiscovery()
	bad.refuse = errors.New("refused")
	require.Error(t, s.Apply(t.Context(), fromOrigin(t, "one", good, bad)))
	require.Empty(t, shared.discoverers.byOrigin)

	unwritable := fromOrigin(t, "one", good)
	unwritable.Jobs[0].ScrapeFailureLogFile = "/nowhere/at/all"
	require.Error(t, s.Apply(t.Context(), unwritable))
	require.Empty(t, shared.discoverers.byOrigin)
	require.Zero(t, good.begun.Load())
}

func TestWhatADiscoveryFindsCanBeIntercepted(t *testing.T) {
	shared, release := NewShared(), make(chan struct{})
	shared.Intercept(func(ctx context.Context, kind string, pass func(empty bool)) {
		pass(true)
		select {
		case <-release:
			pass(false)
		case <-ctx.Done():
		}
	})
	sd := newCountedDiscovery()
	s := newScraper(t, newMemory(), func(o *Options) { o.Shared = shared })
	require.NoError(t, s.Apply(t.Context(), fromOrigin(t, "one", sd)))
	sd.groups <- []*targetgroup.Group{group("a", "one:80")}
	require.NoError(t, s.Warm(t.Context()))
	require.NoError(t, s.Start())
	require.Empty(t, s.Targets())
	close(release)
	eventually(t, func() bool { return len(s.Targets()) == 1 }, "the target is found")
}

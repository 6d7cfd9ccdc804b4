package scrape

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// scriptedDiscovery is a discovery that does what a test says.
type scriptedDiscovery struct {
	refuse error
	run    func(ctx context.Context, updates chan<- []*targetgroup.Group)
}

func (*scriptedDiscovery) Name() string { return "scripted" }

func (s *scriptedDiscovery) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return s, s.refuse
}

func (*scriptedDiscovery) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return &discovery.NoopDiscovererMetrics{}
}

func (s *scriptedDiscovery) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	s.run(ctx, updates)
}

// discovering is a config whose only job has these discoveries.
func discovering(t *testing.T, configs ...discovery.Config) *Config {
	t.Helper()
	c := configure(t, `[{job_name: a}]`)
	c.Jobs[0].ServiceDiscoveryConfigs = configs
	return c
}

func group(source string, addresses ...string) *targetgroup.Group {
	g := &targetgroup.Group{Source: source}
	for _, a := range addresses {
		g.Targets = append(g.Targets, model.LabelSet{model.AddressLabel: model.LabelValue(a)})
	}
	return g
}

func TestAPanicInADiscoveryIsReported(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	reports := make(chan error, 1)
	m := newMemory()
	s := newScraper(t, m, func(o *Options) { o.OnPanic = func(err error) { reports <- err } })
	c := discovering(t, &scriptedDiscovery{run: func(context.Context, chan<- []*targetgroup.Group) { panic("lost") }})
	c.Jobs[0].ServiceDiscoveryConfigs = append(c.Jobs[0].ServiceDiscoveryConfigs, discovery.StaticConfig{group("0", address(target))})
	run(t, s, c)
	err := <-reports
	require.ErrorContains(t, err, `run scripted discovery of job "a": panic: lost`)
	require.ErrorContains(t, err, "discovery_test.go")
	eventually(t, func() bool { return len(m.find("metric")) > 0 }, "the other targets are scraped")
}

func TestADiscoveryThatCannotBeCreatedRefusesTheConfig(t *testing.T) {
	s := newScraper(t, newMemory())
	require.NoError(t, s.Apply(t.Context(), discovering(t, discovery.StaticConfig{group("0", "localhost:1")})))
	before := s.Targets()
	err := s.Apply(t.Context(), discovering(t, &scriptedDiscovery{refuse: errors.New("no kubeconfig")}))
	require.ErrorContains(t, err, `create scripted discovery of job "a": no kubeconfig`)
	require.Equal(t, before, s.Targets(), "what was applied before stays")
}

func TestUpdatesReplaceGroupsBySource(t *testing.T) {
	script := make(chan []*targetgroup.Group)
	s := newScraper(t, newMemory())
	c := discovering(t, &scriptedDiscovery{run: func(ctx context.Context, updates chan<- []*targetgroup.Group) {
		for {
			select {
			case <-ctx.Done():
				return
			case groups := <-script:
				select {
				case updates <- groups:
				case <-ctx.Done():
				}
			}
		}
	}})
	require.NoError(t, s.Apply(t.Context(), c))
	shows := func(addresses ...string) {
		t.Helper()
		eventually(t, func() bool {
			found := []string{}
			for _, target := range s.Targets() {
				found = append(found, target.Labels.Get("instance"))
			}
			return len(found) == len(addresses) && (len(found) == 0 || equalStrings(found, addresses))
		}, "the targets follow the discovery")
	}
	shows()
	script <- []*targetgroup.Group{group("x", "1:1", "2:1"), nil, group("y", "3:1")}
	require.NoError(t, s.Warm(t.Context()))
	shows("1:1", "2:1", "3:1")
	script <- []*targetgroup.Group{group("x", "4:1")}
	shows("3:1", "4:1")
	script <- []*targetgroup.Group{group("y")}
	shows("4:1")
	// The job changes, its discovery does not: what it has found stays.
	changed := *c.Jobs[0]
	changed.MetricsPath = "/changed"
	require.NoError(t, s.Apply(t.Context(), &Config{Jobs: []*promconfig.ScrapeConfig{&changed}}))
	require.Equal(t, "http://4:1/changed", s.Targets()[0].URL)
}

func equalStrings(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestWhatAnEndedDiscoverySaysIsIgnored(t *testing.T) {
	ended := make(chan struct{})
	s := newScraper(t, newMemory())
	stubborn := &scriptedDiscovery{run: func(ctx context.Context, updates chan<- []*targetgroup.Group) {
		<-ctx.Done()
		select {
		case updates <- []*targetgroup.Group{group("late", "late:1")}:
		case <-ended:
		}
	}}
	require.NoError(t, s.Apply(t.Context(), discovering(t, stubborn)))
	require.NoError(t, s.Apply(t.Context(), discovering(t, discovery.StaticConfig{group("0", "localhost:1")})))
	close(ended)
	require.Len(t, s.Targets(), 1)
	require.Equal(t, "localhost:1", s.Targets()[0].Labels.Get("instance"))
}

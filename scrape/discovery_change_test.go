package scrape

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// slowDiscovery finds its targets after a delay; never, if that is negative. Different names are
// different configs.
type slowDiscovery struct {
	What      string
	Delay     time.Duration `yaml:"-"`
	Addresses []string      `yaml:"-"`
}

func (*slowDiscovery) Name() string { return "slow" }

func (s *slowDiscovery) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return s, nil
}

func (*slowDiscovery) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return &discovery.NoopDiscovererMetrics{}
}

func (s *slowDiscovery) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	if s.Delay < 0 {
		<-ctx.Done()
		return
	}
	select {
	case <-time.After(s.Delay):
	case <-ctx.Done():
		return
	}
	select {
	case updates <- []*targetgroup.Group{group("x", s.Addresses...)}:
	case <-ctx.Done():
	}
	<-ctx.Done()
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("t%d:80", i))
	}
	return list
}

func TestAChangedDiscoveryKeepsItsTargetsUntilItHasReported(t *testing.T) {
	all := numbered(20)
	inBubble(t, oneMetric, func(t *testing.T, dial func(*Options)) {
		m := newMemory()
		s := newScraper(t, m, dial)
		with := func(sd ...discovery.Config) *Config {
			c := configure(t, `[{job_name: a, scrape_interval: 5s, scrape_timeout: 4s}]`)
			c.Jobs[0].ServiceDiscoveryConfigs = sd
			return c
		}
		require.NoError(t, s.Apply(t.Context(), with(&slowDiscovery{"one", time.Second, all})))
		require.NoError(t, s.Warm(t.Context()))
		require.NoError(t, s.Start())
		<-time.After(30 * time.Second)
		require.NoError(t, s.Apply(t.Context(), with(&slowDiscovery{"two", 10 * time.Second, all[:10]})))
		require.Len(t, s.Targets(), len(all))
		<-time.After(3 * time.Second)
		require.NoError(t, s.Apply(t.Context(), with(&slowDiscovery{"three", 20 * time.Second, all[:10]})))
		require.Len(t, s.Targets(), len(all), "what one has inherited the next one does too")
		<-time.After(18 * time.Second)
		require.Len(t, s.Targets(), len(all))
		<-time.After(10 * time.Second)
		require.Len(t, s.Targets(), 10)
		for _, a := range all[:10] {
			up := m.find("up", "instance", a)
			for i := 1; i < len(up); i++ {
				require.Less(t, up[i].t-up[i-1].t, int64(5100), "no tick of %s is missed", a)
			}
		}
		require.NoError(t, s.Apply(t.Context(), with(&slowDiscovery{"four", -1, nil})))
		<-time.After(inheritanceTime - time.Minute)
		require.Len(t, s.Targets(), 10)
		<-time.After(2 * time.Minute)
		require.Empty(t, s.Targets(), "a discovery that never reports keeps them for some minutes")
		synctest.Wait()
		require.NoError(t, s.Stop(over(), KeepSeries))
	})
}

func TestADeliveryBuildsOnlyTheTargetsOfChangedGroups(t *testing.T) {
	s := newScraper(t, newMemory())
	updates := make(chan []*targetgroup.Group)
	c := discovering(t, &scriptedDiscovery{run: func(ctx context.Context, to chan<- []*targetgroup.Group) {
		for {
			select {
			case groups := <-updates:
				to <- groups
			case <-ctx.Done():
				return
			}
		}
	}})
	run(t, s, c)
	built := func() (targets map[string]*target) {
		s.mu.Lock()
		defer s.mu.Unlock()
		targets = map[string]*target{}
		for _, group := range s.pools["a"].built {
			for _, t := range group.targets {
				targets[t.address()] = t
			}
		}
		return targets
	}
	updates <- []*targetgroup.Group{group("one", "127.0.0.1:1"), group("two", "127.0.0.1:2")}
	eventually(t, func() bool { return len(built()) == 2 }, "both are found")
	before := built()
	sent, _ := deliveries(s)
	updates <- []*targetgroup.Group{group("one", "127.0.0.1:1"), group("two", "127.0.0.1:2")}
	updates <- []*targetgroup.Group{group("two", "127.0.0.1:2", "127.0.0.1:3")}
	eventually(t, func() bool { return len(built()) == 3 }, "the third is found")
	now, _ := deliveries(s)
	require.Equal(t, sent+1, now, "what is as it was is not delivered")
	require.Same(t, before["http://127.0.0.1:1/metrics"], built()["http://127.0.0.1:1/metrics"])
}

func TestRefreshMetricsStayWhileAnInstanceUsesThem(t *testing.T) {
	server := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	metrics, err := NewMetrics(FullMetrics)
	require.NoError(t, err)
	shared := NewShared()
	with := func(o *Options) { o.Metrics, o.Shared = metrics, shared }
	a, b := newScraper(t, newMemory(), with), newScraper(t, newMemory(), with)
	config := func(path string) *Config {
		return configure(t, `[{job_name: same, http_sd_configs: [{url: "http://ADDR0/`+path+`", refresh_interval: 100ms}]}]`, server)
	}
	failures := func() float64 {
		registry := prometheus.NewRegistry()
		registry.MustRegister(metrics)
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "prometheus_sd_refresh_failures_total" {
				return f.Metric[0].GetCounter().GetValue()
			}
		}
		return -1
	}
	run(t, a, config("a"))
	run(t, b, config("b"))
	eventually(t, func() bool { return failures() > 2 }, "failures are counted")
	before := failures()
	require.NoError(t, a.Stop(over(), KeepSeries))
	require.GreaterOrEqual(t, failures(), before)
	require.NoError(t, b.Stop(over(), KeepSeries))
	eventually(t, func() bool { return failures() == -1 }, "nobody uses them")
}

// BenchmarkDelivery measures what it costs that one of many groups has changed.
func BenchmarkDelivery(b *testing.B) {
	s, err := New(Options{Appendable: &nothing{}})
	require.NoError(b, err)
	c := configure(b, `[{job_name: a, scrape_interval: 1h, relabel_configs: [{source_labels: [__address__], regex: '(.*):80', target_label: host}]}]`)
	var groups discovery.StaticConfig
	for i, a := range numbered(10_000) {
		groups = append(groups, &targetgroup.Group{Source: fmt.Sprint(i), Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(a)}}})
	}
	c.Jobs[0].ServiceDiscoveryConfigs = discovery.Configs{groups}
	run(b, s, c)
	b.ReportAllocs()
	for b.Loop() {
		s.sync(s.discoveries.known(), true)
	}
	require.NoError(b, s.Stop(over(), KeepSeries))
}

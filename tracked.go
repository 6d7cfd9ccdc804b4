package ringmaster

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// tracked is a registerer that knows what was registered, so that no metric is left. A registry
// can't give up a collector that does not describe its metrics: of that an empty one stays.
type tracked struct {
	inner prometheus.Registerer

	mu  sync.Mutex
	all map[prometheus.Collector]*gate
}

// gate is a collector that can be taken away.
type gate struct {
	behind atomic.Pointer[prometheus.Collector]
}

// Describe implements prometheus.Collector.
func (g *gate) Describe(out chan<- *prometheus.Desc) {
	if c := g.behind.Load(); c != nil {
		(*c).Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (g *gate) Collect(out chan<- prometheus.Metric) {
	if c := g.behind.Load(); c != nil {
		(*c).Collect(out)
	}
}

func newTracked(r prometheus.Registerer) *tracked {
	return &tracked{inner: r, all: map[prometheus.Collector]*gate{}}
}

// registerer is nil if there are no metrics.
func (t *tracked) registerer() prometheus.Registerer {
	if t.inner == nil {
		return nil
	}
	return t
}

// Register implements prometheus.Registerer.
func (t *tracked) Register(c prometheus.Collector) error {
	g := &gate{}
	g.behind.Store(&c)
	if err := t.inner.Register(g); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[c] = g
	return nil
}

// MustRegister implements prometheus.Registerer.
func (t *tracked) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := t.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (t *tracked) Unregister(c prometheus.Collector) bool {
	t.mu.Lock()
	g := t.all[c]
	delete(t.all, c)
	t.mu.Unlock()
	return g != nil && t.takeAway(g)
}

func (t *tracked) takeAway(g *gate) bool {
	known := t.inner.Unregister(g)
	g.behind.Store(nil)
	return known
}

// unregister gives everything up.
func (t *tracked) unregister() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.all {
		t.takeAway(g)
	}
	clear(t.all)
}

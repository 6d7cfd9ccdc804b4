package toy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// TargetsPath is where Targets are, before their names.
const TargetsPath = "/t/"

// Targets are many small targets behind one address, each at TargetsPath and its name. Each numbers
// its scrapes in ScrapesMetric, and remembers when they came. Any name is a target. The zero value
// is ready to use.
type Targets struct {
	mu      sync.Mutex
	arrived map[string][]time.Time
}

// ServeHTTP answers one scrape.
func (t *Targets) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now := time.Now()
	name, ok := strings.CutPrefix(req.URL.Path, TargetsPath)
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# TYPE %s counter\n%s %d\n", ScrapesMetric, ScrapesMetric, t.Arrive(name, now))
}

// Arrive notes a scrape of a target that came at an instant, and returns its number, from 1.
func (t *Targets) Arrive(name string, now time.Time) (number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.arrived == nil {
		t.arrived = map[string][]time.Time{}
	}
	t.arrived[name] = append(t.arrived[name], now)
	return len(t.arrived[name])
}

// Arrivals returns when the scrapes of a target came, the first one first: number n is at n-1.
func (t *Targets) Arrivals(name string) []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.arrived[name])
}

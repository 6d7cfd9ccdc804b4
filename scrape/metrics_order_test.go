package scrape

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestMetricsAreCollectedWhileAScraperJoinsADiscovery holds what a scraper holds while it plans its
// discoveries, until a collection waits for it; then the scraper counts itself as a user.
func TestMetricsAreCollectedWhileAScraperJoinsADiscovery(t *testing.T) {
	metrics, err := NewMetrics(BasicMetrics)
	require.NoError(t, err)
	d := &discoveries{metrics: metrics}
	metrics.add(d)
	d.mu.Lock()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		out := make(chan prometheus.Metric, 1000)
		metrics.Collect(out)
	}()
	require.Eventually(t, func() bool { // the collection has come as far as to ask d
		if metrics.mu.TryLock() {
			metrics.mu.Unlock()
			return false
		}
		return true
	}, 30*time.Second, time.Millisecond)
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		metrics.useRefresh("http", "job")
		d.mu.Unlock()
	}()
	for what, done := range map[string]chan struct{}{"the scraper": joined, "the collection": collected} {
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal(what + " waits for ever")
		}
	}
	metrics.forgetRefresh("http", "job")
}

package scrape

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/ringmaster-agent/ringmaster/scrape/scrapetest"
)

// inBubble runs f in virtual time. Scrapers made with dial reach handler.
func inBubble(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, dial func(*Options))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := scrapetest.NewNetwork()
		defer network.Serve(handler)()
		f(t, func(o *Options) { o.DialContext = network.Dial })
	})
}

// oneMetric is a target with one series.
func oneMetric(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", textFormat)
	_, _ = w.Write([]byte("metric 1\n"))
}

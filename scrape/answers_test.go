package scrape

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/stretchr/testify/require"
)

func TestALongAnswerOfADiscoveryIsNotReadToItsEnd(t *testing.T) {
	long := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"targets": ["`+strings.Repeat("a", 20<<20)+`:80"]}]`)
	})
	short := serve(t, "application/json", `[{"targets": ["short:80"]}]`)
	s := newScraper(t, newMemory())
	c := configure(t, `
- job_name: a
  http_sd_configs: [{url: "http://ADDR0/", refresh_interval: 1s}]
- job_name: b
  http_sd_configs: [{url: "http://ADDR1/", refresh_interval: 1s}]
`, long, short)
	c.Budget.DiscoveryBytes = 1 << 20
	run(t, s, c)
	eventually(t, func() bool { return refusalOf(s, overDiscovery).Count > 0 }, "the long one is refused")
	eventually(t, func() bool { return len(s.Targets()) == 1 }, "the short one is taken")
	require.Equal(t, "b", s.Targets()[0].Job)
	require.Contains(t, refusalOf(s, overDiscovery).Message, "an answer to a service discovery is longer than 1048576 bytes")
	eventually(t, func() bool { return heldBytes(s) == 0 }, "what was reserved is given back")
}

func TestASharedDiscoveryIsChargedToOneWhoUsesIt(t *testing.T) {
	var size atomic.Int64
	sd := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"targets": ["`+strings.Repeat("a", int(size.Load()))+`:80"]}]`)
	})
	size.Store(10)
	shared := NewShared()
	budget := func(bytes int64) *Config {
		c := configure(t, `[{job_name: a, http_sd_configs: [{url: "http://ADDR0/", refresh_interval: 1s}]}]`, sd)
		c.Origin, c.Budget.DiscoveryBytes = "a", bytes
		return c
	}
	use := func(o *Options) { o.Shared = shared }
	first, second := newScraper(t, newMemory(), use), newScraper(t, newMemory(), use)
	run(t, first, budget(1<<20))
	run(t, second, budget(1<<20))
	eventually(t, func() bool { return len(second.Targets()) == 1 }, "the discovery has reported")
	require.NoError(t, first.Stop(over(), KeepSeries))
	require.NoError(t, second.Apply(t.Context(), budget(1<<10)))
	size.Store(100 << 10)
	eventually(t, func() bool { return refusalOf(second, overDiscovery).Count > 0 }, "its own budget counts, as it is now")
	require.Zero(t, refusalOf(first, overDiscovery).Count)
}

// overHTTP are the discoveries whose HTTP client can be found, whichever are linked, as a config has
// them. The others keep theirs in a closure, or make it at their first request.
var overHTTP = map[string]string{
	"consul":      `{server: "127.0.0.1:1"}`,
	"docker":      `{host: "http://127.0.0.1:1"}`,
	"dockerswarm": `{host: "http://127.0.0.1:1", role: nodes}`,
	"eureka":      `{server: "http://127.0.0.1:1/eureka"}`,
	"http":        `{url: "http://127.0.0.1:1/"}`,
	"kuma":        `{server: "http://127.0.0.1:1"}`,
	"linode":      `{bearer_token: x}`,
	"marathon":    `{servers: ["http://127.0.0.1:1"]}`,
	"nomad":       `{server: "http://127.0.0.1:1"}`,
	"puppetdb":    `{url: "http://127.0.0.1:1", query: "x"}`,
	"triton":      `{account: a, dns_suffix: b, endpoint: c}`,
	"vultr":       `{bearer_token: x}`,
}

func TestTheAnswersOfEveryDiscoveryOverHTTPAreBounded(t *testing.T) {
	metrics, err := NewMetrics(FullMetrics)
	require.NoError(t, err)
	linked := kinds(t)
	for name, text := range overHTTP {
		if linked[name] == nil {
			continue
		}
		parsed, err := promconfig.Load(fmt.Sprintf("scrape_configs: [{job_name: a, %s_sd_configs: [%s]}]", name, text), promslog.NewNopLogger())
		require.NoError(t, err, name)
		config := parsed.ScrapeConfigs[0].ServiceDiscoveryConfigs[0]
		d, err := config.NewDiscoverer(discovery.DiscovererOptions{Logger: promslog.NewNopLogger(), Metrics: metrics.mechanisms.MechanismMetrics[config.Name()], SetName: "a"})
		require.NoError(t, err, name)
		require.Positive(t, boundAnswers(d, func() *meter { return nil }), "no client was found in %s's discovery", name)
	}
}

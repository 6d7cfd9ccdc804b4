package scrape

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Labels can ask for any interval: 1 ms would keep a core busy, and the arithmetic of 292 years
// overflows into as many requests as fit.
func TestATargetWithAnUnbearableIntervalIsDownAtABearablePace(t *testing.T) {
	m := newMemory()
	s := newScraper(t, m, func(o *Options) { o.MinInterval = 100 * time.Millisecond })
	server := serve(t, textFormat, "metric 1\n")
	run(t, s, configure(t, `
- {job_name: fast, static_configs: [{targets: [ADDR0], labels: {__scrape_interval__: 1ms, __scrape_timeout__: 1ms}}]}
- {job_name: slow, static_configs: [{targets: [ADDR0], labels: {__scrape_interval__: 292y}}]}
- {job_name: good, static_configs: [{targets: [ADDR0]}]}
`, server))
	eventually(t, func() bool { return len(m.find("up", "job", "fast")) > 0 && len(m.find("metric", "job", "good")) > 0 }, "the others are scraped")
	require.Zero(t, m.find("up", "job", "fast")[0].v)
	require.Empty(t, m.find("metric", "job", "fast"))
	require.Empty(t, m.find("up", "job", "slow"))
	for _, target := range s.Targets() {
		if target.Job == "fast" {
			require.Contains(t, target.LastError, "the scrape interval 1ms is not between 100ms and")
		}
	}
}

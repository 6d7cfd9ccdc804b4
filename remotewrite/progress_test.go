package remotewrite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// After a loss of power the disk may have the newest progress, and not the samples that it is about.
func TestProgressBeyondTheEndOfTheLogIsNotBelieved(t *testing.T) {
	for name, ahead := range map[string]mark{
		"settled": {settled: 85, doubt: 85},
		"doubt":   {settled: 25, doubt: 85, parts: true},
	} {
		t.Run(name, func(t *testing.T) {
			log, r := newMemlog(), newReceiver(t)
			log.scrape(25, 1)
			cfg := writeConfig(t, r.url, withLanes(2, 2), perSend(7))
			mapping := (*start(t, newMemlog(), cfg).live.Load())[0].mapping
			p := progress{marks: []mark{{settled: 25, doubt: 25}, ahead}, ahead: 60, mapping: mapping}
			log.cursors["a"] = Place{Position: log.end(), Progress: p.append(nil, 25)}

			q := start(t, log, cfg)
			require.Zero(t, q.Pending())
			for n := 2; n <= 5; n++ {
				log.scrape(25, n)
				q.Notify()
			}
			requireDrained(t, q)
			requireBalance(t, q, 100)
			require.EqualValues(t, 100, q.Endpoints()[0].Sent)
		})
	}
}

package clusterview

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/scrape"
	"github.com/ringmaster-agent/ringmaster/web"
)

func TestAnEndpointShowsWhatItsReceiverSaidAndWhatWasLost(t *testing.T) {
	at := time.Now()
	shown := describeEndpoint(remotewrite.EndpointStatus{
		Name: "one", URL: "http://receiver/", Pending: 5, Sent: 10, Dropped: map[remotewrite.Reason]uint64{remotewrite.Rejected: 3},
		Failing: true, LastError: "no room", LastErrorAt: at,
		SentUpTo: at.Add(-90 * time.Second).UnixMilli(),
		Gaps:     []remotewrite.Gap{{From: 1000, To: 3000, Reason: remotewrite.Rejected, Samples: 3, At: at}, {Reason: remotewrite.Damaged, Samples: 1, At: at}},
	}, at.Truncate(time.Millisecond))
	require.Equal(t, web.Endpoint{
		Name: "one", URL: "http://receiver/", Pending: 5, Sent: 10, Dropped: map[string]uint64{"rejected": 3},
		Failing: true, LastError: "no room", LastErrorAt: at, Lag: 90,
		Gaps: []web.Gap{
			{From: time.UnixMilli(1000), To: time.UnixMilli(3000), Reason: "rejected", Samples: 3, At: at},
			{Reason: "damaged", Samples: 1, At: at},
		},
	}, shown)
}

func TestATargetShowsWhyItIsDownAndWhichSeriesWasRefused(t *testing.T) {
	at := time.Now()
	shown := describeTarget(messages.WholeConfig("one"), scrape.Target{
		Job: "a", State: scrape.StateDown, URL: "http://target/", LastScrape: at, LastDuration: 2 * time.Second,
		LastError: "too many samples", Refused: `b{x="1"}: out of order sample`, Samples: 3, ID: 7,
	})
	require.Equal(t, web.Target{
		Instance: "one", TargetGroup: "a", State: "down", Endpoint: "http://target/", LastScrape: at, ScrapeDurationMS: 2000,
		ScrapeError: "too many samples", Refused: `b{x="1"}: out of order sample`, Samples: 3, Handle: 7,
	}, shown)
}

package remotewrite

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

func TestLanesThatCanNotChangeYetAreNotTakenForChanged(t *testing.T) {
	e := &endpoint{ledger: &ledger{track: &track{}}}
	e.cfg = writeConfig(t, "http://receiver/", withLanes(1, 8), perSend(100))
	e.lanes = 2
	r := newRound()
	r.limits.items, r.full, r.end = 100, true, Position{Seq: 200}
	ahead := func(seq uint64) {
		e.ledger.lanes = e.lanes
		e.ledger.progress = freshProgress(e.lanes, 0, 0)
		e.ledger.progress.marks[0].settled = seq
	}
	ahead(500)
	for range growAfter + 2 {
		e.adapt(r, false, 1_000_000, time.Second)
		require.Equal(t, 2, e.lanes, "one lane is ahead of the other")
	}
	require.Zero(t, e.growth.rateBefore, "nothing has grown whose gain could be judged")
	require.NotZero(t, e.growth.samples)
	ahead(0)
	e.adapt(r, false, 1_000_000, time.Second)
	require.Equal(t, 4, e.lanes, "as soon as it is possible")
	require.Equal(t, 200., e.growth.rateBefore)

	// Twice the lanes were no faster, which is found out in one round only.
	ahead(500)
	for range growAfter + 2 {
		e.adapt(r, false, 1_000_000, time.Second)
		require.Equal(t, 4, e.lanes)
	}
	ahead(0)
	e.adapt(r, false, 1_000_000, time.Second)
	require.Equal(t, 2, e.lanes)
	require.Equal(t, 2, e.growth.ceiling)
}

// A lane asks alone after a failure, and the endpoint is reloaded before the others' turn.
func TestAReloadAfterALaneHasAskedAloneKeepsTheAccount(t *testing.T) {
	for _, mapping := range []bool{false, true} {
		t.Run(fmt.Sprint("another mapping: ", mapping), func(t *testing.T) { reloadAfterOneLane(t, mapping) })
	}
}

// reloadAfterOneLane reloads when one of four lanes is ahead. Under another mapping of series to
// lanes, what it has sent is sent again.
func reloadAfterOneLane(t *testing.T, mapping bool) {
	r, url := strict(t)
	log := newMemlog()
	for n := range 3 { // a batch for each lane
		log.scrape(40, n+1)
	}
	var failed sync.WaitGroup
	applied := make(chan error)
	shown := make(chan struct{})
	var once sync.Once
	failed.Add(4)
	var requests atomic.Int32
	r.Before = func(*receivertest.Request) int {
		if requests.Add(1) <= 4 { // one of each lane
			failed.Done()
			failed.Wait()
			return http.StatusTooManyRequests
		}
		return 0
	}
	config := func(version string) EndpointConfig {
		cfg := writeConfig(t, url, withLanes(4, 4), perSend(50), func(c *promconfig.RemoteWriteConfig) {
			c.Headers = map[string]string{"X-Version": version}
			c.SendExemplars = mapping && version == "b"
		})
		return EndpointConfig{Config: cfg, CursorID: "a", Open: log.open("a")}
	}
	q := newQueue(t)
	r.After = func(*receivertest.Request) int {
		once.Do(func() {
			<-shown
			e := (*q.live.Load())[0]
			go func() { applied <- q.Apply([]EndpointConfig{config("b")}) }()
			<-e.soft.Done()
		})
		return 0
	}
	require.NoError(t, q.Apply([]EndpointConfig{config("a")}))
	close(shown)
	require.NoError(t, <-applied)
	requireDrained(t, q)
	status := q.Endpoints()[0]
	require.Equal(t, mapping, status.Repeated > 0)
	require.EqualValues(t, 120+status.Repeated, status.Committed)
	requireBalance(t, q, int(status.Committed))
	require.Equal(t, 120, r.Samples())
	require.Equal(t, status.Committed, status.Sent)
}

package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestTheHistoryKeepsTheLastHourAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &web.History{}
		sender := fakeInstances{instances: []web.Instance{{Name: "a", Endpoints: []web.Endpoint{{Sent: 5, Pending: 7, Lag: 2}, {Sent: 1, Lag: 3}}}}}
		go h.Run(ctx, sender)
		<-time.After(3 * time.Hour)
		cancel()
		synctest.Wait()
		points := h.Points()
		require.Len(t, points, 120)
		require.Equal(t, web.Point{Step: points[0].Step, Sent: 6, Pending: 7, Lag: 3}, points[0])
		require.EqualValues(t, 119, points[119].Step-points[0].Step)
	})
	require.Empty(t, (*web.History)(nil).Points())
}

func TestTheOverviewDrawsTheLastHourOfAllNodes(t *testing.T) {
	step := now.Unix() / 30
	net, fake := network{}, &fakeCluster{}
	for _, node := range []string{"a", "b"} {
		fake.state.Members = append(fake.state.Members, web.Member{ID: node, State: web.StateActive, Address: node + ":80"})
		net[node+":80"] = web.New(web.Options{
			Node: node, Cluster: fake, Now: clock, PeerClient: &http.Client{Transport: net},
			History: func() []web.Point {
				return []web.Point{{Step: step - 200, Sent: 1}, {Step: step - 2, Sent: 300, Pending: 10, Lag: 1}, {Step: step - 1, Sent: 3300, Pending: 20, Lag: 4}, {Step: step, Sent: 0}}
			},
		})
	}
	page := bodyOf(t, call(t, net["a:80"], "GET", "/", ""))
	require.Equal(t, 3, strings.Count(page, `<figure class="plot">`))
	require.Contains(t, page, "Samples sent per second <strong>200</strong>", "100 a second from each; what began again at 0 is no rate")
	require.NotContains(t, page, "NaN")
	none := bodyOf(t, call(t, web.New(web.Options{}), "GET", "/", ""))
	require.NotContains(t, none, "The last hour")
}

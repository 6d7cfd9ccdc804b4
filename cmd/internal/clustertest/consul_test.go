package clustertest

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster/consulstore/consultest"
)

// consulTakeover is how soon others scrape what a killed node had, with sessions of 10 s: Consul
// waits for two of these.
const consulTakeover = 22 * time.Second

func TestAKilledNodeIsTakenOverOnConsul(t *testing.T) {
	if *consul == "" {
		t.Skip("this row needs a Consul; task consul builds one and passes it with -consul")
	}
	measured(t, "kill -9 of one node, on Consul", "every config scraped again within 22 s; 0 doubled", func(r *row) {
		c := clusterWithoutStore(t)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.serve(listener)
		server, err := consultest.StartProcess(t.Context(), *consul, c.directory)
		require.NoError(t, err)
		t.Cleanup(server.Stop)
		c.consul = server.Address()
		c.startAll("a", "b", "c")
		c.populate("a", "b", "c")
		lost := ownedBy(c.owners(), "c")
		killed := time.Now()
		c.nodes["c"].Kill()
		c.logf("node c killed")
		c.settle("a", "b")
		m := c.measure(killed, c.configs)
		longest := c.lostTheirNode(r, lost, "c", killed, m)
		r.wants(longest <= consulTakeover, "scraped again after %s", sec(longest))
	})
}

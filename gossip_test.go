package ringmaster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
)

func TestAPeerThatHasLeftCountsOnlyIfItCouldNotEndItsSession(t *testing.T) {
	now := time.Now()
	require.Equal(t, []actors.Peer{
		{Node: "a", Alive: true, Assured: now, Status: actors.PeerStatus{Session: "1", ReachesStore: true}},
		{Node: "b", Status: actors.PeerStatus{Session: "2"}},
		{Node: "d", Status: actors.PeerStatus{Session: "4", Fenced: true}},
	}, present([]gossip.Peer{
		{Node: "a", Alive: true, Assured: now, Status: gossip.Status{Session: "1", ReachesStore: true}},
		{Node: "b", Status: gossip.Status{Session: "2"}},
		{Node: "c", Left: true, Status: gossip.Status{Session: "3"}},
		{Node: "d", Left: true, Status: gossip.Status{Session: "4", Fenced: true}},
	}))
}

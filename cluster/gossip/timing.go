package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// Timing sets how fast nodes notice each other. The zero value means the defaults, which the
// package doc explains.
type Timing struct {
	ProbeInterval time.Duration // between two probes, and between two rounds of questions. 0: 500 ms
	ProbeTimeout  time.Duration // for a direct answer; less than half of ProbeInterval. 0: 2/5 of ProbeInterval
	SuspicionMult int           // suspicion lasts SuspicionMult × max(1, log10 n) × ProbeInterval. 0: 4
}

const (
	// maxAwareness is how much slower a node probes that has reason to distrust itself.
	maxAwareness = 4
	// streamTimeout bounds a dialogue over TCP, dialTimeout its beginning.
	streamTimeout = 3 * time.Second
	dialTimeout   = time.Second
	// retention is how long the dead and those who left are remembered.
	retention = time.Hour
)

func (t Timing) withDefaults() Timing {
	if t.ProbeInterval <= 0 {
		t.ProbeInterval = 500 * time.Millisecond
	}
	if t.ProbeTimeout <= 0 {
		t.ProbeTimeout = t.ProbeInterval * 2 / 5
	}
	if t.SuspicionMult <= 0 {
		t.SuspicionMult = 4
	}
	return t
}

// apply sets everything of memberlist's that is about time. The arithmetic is in the package doc.
func (t Timing) apply(c *memberlist.Config) {
	c.ProbeInterval = t.ProbeInterval
	c.ProbeTimeout = t.ProbeTimeout
	c.IndirectChecks = 3
	c.AwarenessMaxMultiplier = maxAwareness
	c.SuspicionMult = t.SuspicionMult
	c.SuspicionMaxTimeoutMult = 3
	c.GossipInterval = t.ProbeInterval / 5
	c.GossipNodes = 3
	c.RetransmitMult = 4
	c.GossipToTheDeadTime = 30 * time.Second // a node that was stopped for so long hears of its death when it goes on, and objects
	c.DeadNodeReclaimTime = t.ProbeInterval
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = streamTimeout
}

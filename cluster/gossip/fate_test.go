package gossip

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
)

func TestPacketsAndStreamsMeetTheirFate(t *testing.T) {
	var parted, late atomic.Bool
	fate := func(peer string, incoming bool) (bool, time.Duration) {
		if late.Load() {
			return false, 20 * time.Millisecond
		}
		return parted.Load() && (peer == "b" || incoming), 0
	}
	a := start(t, "a", func(o *Options) { o.Fate = fate })
	b := start(t, "b")
	peers := map[string]string{"a": a.Address(), "b": b.Address()}
	a.SetPeers(peers)
	b.SetPeers(peers)
	eventually(t, "they see each other", func() bool { return a.living() == 1 && b.living() == 1 })
	late.Store(true)
	before := a.LastContact()
	eventually(t, "they have contact although everything is late", func() bool { return a.LastContact().After(before) })
	late.Store(false)
	parted.Store(true)
	eventually(t, "they take each other for dead", func() bool { return a.living() == 0 && b.living() == 0 })
	parted.Store(false)
	eventually(t, "they find each other again", func() bool { return a.living() == 1 && b.living() == 1 })
	require.Equal(t, "b", a.table.nameAt(b.Address()))
}

// talkative is a transport whose Shutdown first has to get rid of what has arrived, as memberlist's
// does.
type talkative struct {
	memberlist.NodeAwareTransport
	packets chan *memberlist.Packet
	streams chan net.Conn
}

func (t talkative) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t talkative) StreamCh() <-chan net.Conn           { return t.streams }

func (t talkative) Shutdown() error {
	for range 3 {
		t.packets <- &memberlist.Packet{From: &net.UDPAddr{}}
		conn, other := net.Pipe()
		t.streams <- conn
		if _, err := other.Read(make([]byte, 1)); err == nil {
			return errors.New("a stream is passed on after the end")
		}
	}
	return nil
}

func TestATransportWithSomethingOnItsWayEnds(t *testing.T) {
	f := newFated(talkative{packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)},
		func(string, bool) (bool, time.Duration) { return false, 0 }, &table{})
	ended := make(chan error, 1)
	go func() { ended <- f.Shutdown() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the transport does not end")
	}
}

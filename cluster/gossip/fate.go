package gossip

import (
	"errors"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// Fate decides what becomes of a packet or a stream to a peer, or from one, whose name is empty if
// it is not known: it is lost, or it is late by so much. Any goroutine may call it.
type Fate func(peer string, incoming bool) (lost bool, late time.Duration)

// fated is a transport on which not everything arrives.
type fated struct {
	memberlist.NodeAwareTransport
	fate  Fate
	table *table
	// packets and streams are what has arrived.
	packets chan *memberlist.Packet
	streams chan net.Conn
	// ended: nothing is passed on any more. silent: nothing arrives any more. pumped: pump has
	// returned.
	ended, silent, pumped chan struct{}
}

var errLost = errors.New("the connection was lost on purpose")

func newFated(t memberlist.NodeAwareTransport, fate Fate, peers *table) *fated {
	f := &fated{NodeAwareTransport: t, fate: fate, table: peers, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		ended: make(chan struct{}), silent: make(chan struct{}), pumped: make(chan struct{})}
	go f.pump()
	return f
}

// nameAt is the peer that gossips at the address; empty if it is not known.
func (t *table) nameAt(address string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.peers {
		if p.Address == address {
			return name
		}
	}
	return ""
}

func (f *fated) peer(a memberlist.Address) string {
	if a.Name != "" {
		return a.Name
	}
	return f.table.nameAt(a.Addr)
}

// WriteTo implements memberlist.Transport.
func (f *fated) WriteTo(b []byte, address string) (time.Time, error) {
	return f.WriteToAddress(b, memberlist.Address{Addr: address})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (f *fated) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	lost, late := f.fate(f.peer(a), false)
	switch {
	case lost:
		return time.Now(), nil
	case late > 0:
		packet := append([]byte(nil), b...)
		time.AfterFunc(late, func() {
			select {
			case <-f.ended:
			default:
				_, _ = f.NodeAwareTransport.WriteToAddress(packet, a) // as good as lost on the way
			}
		})
		return time.Now(), nil
	}
	return f.NodeAwareTransport.WriteToAddress(b, a)
}

// DialTimeout implements memberlist.Transport.
func (f *fated) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return f.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (f *fated) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if lost, late := f.fate(f.peer(a), false); lost || late >= timeout {
		return nil, errLost
	}
	return f.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

// PacketCh implements memberlist.Transport.
func (f *fated) PacketCh() <-chan *memberlist.Packet { return f.packets }

// StreamCh implements memberlist.Transport.
func (f *fated) StreamCh() <-chan net.Conn { return f.streams }

// pump passes on what arrives. From Shutdown on it throws it away, until nothing arrives any more:
// the transport does not end while it has something that nobody takes.
func (f *fated) pump() {
	defer close(f.pumped)
	for {
		select {
		case <-f.silent:
			return
		case p := <-f.NodeAwareTransport.PacketCh():
			f.arrived(p)
		case conn := <-f.NodeAwareTransport.StreamCh():
			if lost, _ := f.fate("", true); lost {
				_ = conn.Close()
				continue
			}
			select {
			case f.streams <- conn:
			case <-f.ended:
				_ = conn.Close()
			}
		}
	}
}

func (f *fated) arrived(p *memberlist.Packet) {
	lost, late := f.fate(f.table.nameAt(p.From.String()), true)
	pass := func() {
		select {
		case f.packets <- p:
		case <-f.ended:
		}
	}
	switch {
	case lost:
	case late > 0:
		time.AfterFunc(late, pass)
	default:
		pass()
	}
}

// Shutdown implements memberlist.Transport.
func (f *fated) Shutdown() error {
	select {
	case <-f.ended:
		return f.NodeAwareTransport.Shutdown()
	default:
		close(f.ended)
	}
	err := f.NodeAwareTransport.Shutdown()
	close(f.silent)
	<-f.pumped
	return err
}

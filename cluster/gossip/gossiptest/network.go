// Package gossiptest is a network in memory for tests of gossip, in real or in virtual time
// (testing/synctest).
//
// A Network hands out transports, each with an address of its own. Packets take the network's
// latency, and are lost on the way to who is cut off, is down, or has a full queue, as with UDP:
// nobody ever waits for the receiver, unlike with memberlist's own mock. Dialling who is cut off
// takes the whole timeout; who is down refuses at once. What is random has a seed.
//
// It owns no clock and starts no goroutine that outlives a packet's latency. Everything may be used
// by any number of goroutines. It is tested by the tests of package gossip, which is never linked
// with it into a binary.
package gossiptest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	latency   = time.Millisecond
	queueSize = 256
	port      = 7946
)

// Network connects transports.
type Network struct {
	mu         sync.Mutex
	random     *rand.Rand
	loss       float64
	side       map[string]int // address → side of the partition; who is in none is on side 0
	transports map[string]*Transport
	links      map[*link]bool
}

// NewNetwork returns a network on which all is well. The seed decides which packets are lost once
// Lose says how many.
func NewNetwork(seed uint64) *Network {
	return &Network{
		random: rand.New(rand.NewPCG(seed, 0)), side: map[string]int{}, transports: map[string]*Transport{}, links: map[*link]bool{},
	}
}

// Join returns the transport of a new node. It ends with Shutdown.
func (n *Network) Join() *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	ip := net.IPv4(10, 0, byte(len(n.transports)/250), byte(1+len(n.transports)%250)).To4()
	t := &Transport{
		network: n, ip: ip, address: fmt.Sprintf("%s:%d", ip, port),
		packets: make(chan *memberlist.Packet, queueSize), streams: make(chan net.Conn, queueSize), down: make(chan struct{}),
	}
	n.transports[t.address] = t
	return t
}

// Partition cuts the network: only addresses of one side reach each other. Those that are in none
// form one side more. It replaces any partition before; without sides there is none.
func (n *Network) Partition(sides ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.side)
	for i, addresses := range sides {
		for _, a := range addresses {
			n.side[a] = i + 1
		}
	}
	for l := range n.links {
		if n.side[l.a] != n.side[l.b] {
			n.unlink(l)
		}
	}
}

// Lose makes packets get lost, with this probability each. Connections lose nothing.
func (n *Network) Lose(probability float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = probability
}

func (n *Network) deliver(p *memberlist.Packet, from, to string) {
	n.mu.Lock()
	t := n.transports[to]
	lost := t == nil || t.isDown || n.side[from] != n.side[to] || n.random.Float64() < n.loss
	n.mu.Unlock()
	if lost {
		return
	}
	p.Timestamp = time.Now()
	select {
	case t.packets <- p:
	default:
	}
}

func (n *Network) dial(from, to string) (conn net.Conn, cut bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.transports[to]
	switch {
	case n.side[from] != n.side[to]:
		return nil, true, nil
	case t == nil || t.isDown || len(t.streams) == cap(t.streams) || n.transports[from].isDown:
		return nil, false, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	l := &link{network: n, a: from, b: to}
	l.near, l.far = net.Pipe()
	n.links[l] = true
	t.streams <- end{l.far, l, address(to), address(from)}
	return end{l.near, l, address(from), address(to)}, false, nil
}

// unlink closes both ends of a connection. The caller holds n.mu.
func (n *Network) unlink(l *link) {
	delete(n.links, l)
	l.near.Close()
	l.far.Close()
}

// Transport is one node's access to a Network.
type Transport struct {
	network *Network
	ip      net.IP
	address string
	packets chan *memberlist.Packet
	streams chan net.Conn
	down    chan struct{}
	isDown  bool // under network.mu
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Address returns the host:port of this node.
func (t *Transport) Address() string { return t.address }

// FinalAdvertiseAddr implements memberlist.Transport; what was configured does not matter.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return t.ip, port, nil }

// WriteTo implements memberlist.Transport.
func (t *Transport) WriteTo(b []byte, to string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: to})
}

// WriteToAddress implements memberlist.NodeAwareTransport. It never fails.
func (t *Transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: address(t.address)}
	t.network.mu.Lock()
	down := t.isDown
	t.network.mu.Unlock()
	if !down {
		time.AfterFunc(latency, func() { t.network.deliver(p, t.address, to.Addr) })
	}
	return time.Now(), nil
}

// PacketCh implements memberlist.Transport.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout implements memberlist.Transport.
func (t *Transport) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: to}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *Transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, cut, err := t.network.dial(t.address, to.Addr)
	if !cut {
		return conn, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.down:
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// StreamCh implements memberlist.Transport.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport: the node is down, and its connections are broken. It
// may be called earlier and more than once: then it is as if the process had been killed.
func (t *Transport) Shutdown() error {
	n := t.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.isDown {
		return nil
	}
	t.isDown = true
	close(t.down)
	for l := range n.links {
		if l.a == t.address || l.b == t.address {
			n.unlink(l)
		}
	}
	return nil
}

// link is one connection between two nodes.
type link struct {
	network   *Network
	a, b      string
	near, far net.Conn
}

// end is one end of a link, with addresses as a real one has them.
type end struct {
	net.Conn
	link          *link
	local, remote address
}

func (e end) LocalAddr() net.Addr  { return e.local }
func (e end) RemoteAddr() net.Addr { return e.remote }

func (e end) Close() error {
	n := e.link.network
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, e.link)
	return e.Conn.Close()
}

// address is a net.Addr.
type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

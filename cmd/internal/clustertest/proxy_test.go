package clustertest

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is a network between a node and the store that can be cut: then nothing passes any more,
// and nobody is told.
type proxy struct {
	listener net.Listener
	target   string
	ended    sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]bool
	whole *sync.Cond
	cut   bool
	over  bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, target: target, open: map[net.Conn]bool{}}
	p.whole = sync.NewCond(&p.mu)
	p.ended.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.connect(from) })
	}
}

func (p *proxy) connect(from net.Conn) {
	defer from.Close()
	if !p.passes() {
		return
	}
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer to.Close()
	p.remember(from, to)
	defer p.forget(from, to)
	var ways sync.WaitGroup
	ways.Go(func() { p.copy(to, from) })
	ways.Go(func() { p.copy(from, to) })
	ways.Wait()
}

// copy passes on what comes, when the network is whole.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !p.passes() {
			return
		}
		if _, broken := to.Write(buffer[:n]); broken != nil || err != nil {
			return
		}
	}
}

// passes waits until the network is whole; not so in the end.
func (p *proxy) passes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cut && !p.over {
		p.whole.Wait()
	}
	return !p.over
}

func (p *proxy) remember(connections ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range connections {
		p.open[c] = true
		if p.over {
			_ = c.Close()
		}
	}
}

func (p *proxy) forget(connections ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range connections {
		delete(p.open, c)
	}
}

func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	p.whole.Broadcast()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.over = true
	for c := range p.open {
		_ = c.Close()
	}
	p.whole.Broadcast()
	p.mu.Unlock()
	p.ended.Wait()
}

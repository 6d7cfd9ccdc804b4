package gossip

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// bindAttempts: with port 0 the TCP port that was free may be taken for UDP.
const bindAttempts = 10

// listen opens UDP and TCP at host:port.
func listen(ctx context.Context, hostport string, logger *log.Logger) (*memberlist.NetTransport, error) {
	at, err := resolve(ctx, hostport)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip: %w", err)
	}
	attempts := 1
	if at.Port() == 0 {
		attempts = bindAttempts
	}
	var transport *memberlist.NetTransport
	for range attempts {
		transport, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{at.Addr().String()}, BindPort: int(at.Port()), Logger: logger,
		})
		if err == nil {
			return transport, nil
		}
	}
	return nil, fmt.Errorf("listen for gossip on %s: %w", hostport, err)
}

// resolve turns host:port into an IP address and a port; an empty host is 0.0.0.0. memberlist takes
// what is no IP address for all interfaces.
func resolve(ctx context.Context, hostport string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolve %q: %w", hostport, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolve %q: port %q is no number up to 65535", hostport, portText)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil || len(found) == 0 {
			return netip.AddrPort{}, fmt.Errorf("resolve %q: %w", hostport, err)
		}
		ip = found[0]
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

// abortable is the network, with connections that end with a context, so that Close need not wait
// for a peer. It dials briefly: to nodes of the same network.
type abortable struct {
	*memberlist.NetTransport
	ctx context.Context
}

func (t abortable) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

func (t abortable) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: min(timeout, dialTimeout)}).DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	return abortableConn{conn, context.AfterFunc(t.ctx, func() { conn.Close() })}, nil
}

type abortableConn struct {
	net.Conn
	release func() bool
}

func (c abortableConn) Close() error {
	c.release()
	return c.Conn.Close()
}

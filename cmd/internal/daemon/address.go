package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/config"
)

// networkInterface is one of the host's, with its addresses.
type networkInterface struct {
	name      string
	addresses []netip.Addr
}

// hostInterfaces are the host's, in its own order.
func hostInterfaces() ([]networkInterface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var found []networkInterface
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue // as good as none
		}
		one := networkInterface{name: i.Name}
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				one.addresses = append(one.addresses, prefix.Addr())
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// usualInterfaces are where an address is looked for first if nobody says where; those with private
// addresses come next.
func usualInterfaces(of []networkInterface) []string {
	names := []string{"eth0", "en0"}
	for _, i := range of {
		for _, a := range i.addresses {
			if a.IsPrivate() {
				names = append(names, i.name)
				break
			}
		}
	}
	return names
}

// firstAddress is that of the first interface in names that has one: its first IPv6 address if
// these are wanted, else its first IPv4 address. Loopback and link-local addresses don't count.
func firstAddress(of []networkInterface, names []string, inet6 bool) (found netip.Addr, ok bool) {
	for _, name := range names {
		for _, i := range of {
			if i.name != name {
				continue
			}
			for _, a := range i.addresses {
				switch {
				case a.IsLoopback() || a.IsLinkLocalUnicast() || a.Is6() && !inet6:
				case !found.IsValid() || a.Is6() && found.Is4():
					found = a
				}
			}
		}
		if found.IsValid() {
			return found, true
		}
	}
	return found, false
}

// reachableIP is the IP address by which others reach what listens there; the zero value if there
// is none, as far as can be known here.
func reachableIP(listener *net.TCPAddr, l config.Lifecycler, interfaces []networkInterface) netip.Addr {
	if ip, err := netip.ParseAddr(l.Address); err == nil {
		return ip.Unmap()
	}
	if ip, ok := netip.AddrFromSlice(listener.IP); ok && !listener.IP.IsUnspecified() {
		return ip.Unmap()
	}
	names := l.InterfaceNames
	if len(names) == 0 {
		names = usualInterfaces(interfaces)
	}
	ip, _ := firstAddress(interfaces, names, l.EnableInet6)
	return ip
}

// advertised is the host:port at which others reach the HTTP listener: what the lifecycler says, or
// else where it listens, or else, when it listens everywhere, the address of an interface.
func advertised(listener *net.TCPAddr, l config.Lifecycler, interfaces []networkInterface) (string, error) {
	port := l.Port
	if port == 0 {
		port = listener.Port
	}
	host := l.Address
	if _, _, err := net.SplitHostPort(host); err == nil {
		return "", fmt.Errorf("find this node's address: metrics.scraping_service.lifecycler.address is %q: leave the host there, and put the port into lifecycler.port", host)
	}
	if host == "" {
		ip := reachableIP(listener, l, interfaces)
		if !ip.IsValid() {
			return "", noAddress(l)
		}
		host = ip.String()
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port)), nil
}

func noAddress(l config.Lifecycler) error {
	const wayOut = "set metrics.scraping_service.lifecycler.address to where others reach this node"
	if len(l.InterfaceNames) == 0 {
		return errors.New("find this node's address: no network interface has a private address; " + wayOut)
	}
	return fmt.Errorf("find this node's address: none of the network interfaces %s has one; %s, or interface_names to those that this host has",
		strings.Join(l.InterfaceNames, ", "), wayOut)
}

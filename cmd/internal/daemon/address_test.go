package daemon

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
)

func hostWith(interfaces ...networkInterface) []networkInterface { return interfaces }

func on(name string, addresses ...string) networkInterface {
	i := networkInterface{name: name}
	for _, a := range addresses {
		i.addresses = append(i.addresses, netip.MustParseAddr(a))
	}
	return i
}

func TestANodeAdvertisesWhereOthersReachItsListener(t *testing.T) {
	host := hostWith(on("lo", "127.0.0.1", "::1"), on("ens3", "fe80::1", "10.0.0.7", "fd00::7"), on("eth0", "169.254.3.4"), on("eth1", "203.0.113.9", "2001:db8::9"))
	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: 80}
	for name, c := range map[string]struct {
		listener   *net.TCPAddr
		lifecycler config.Lifecycler
		want       string
	}{
		"a listener on one address is reached there":              {&net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 80}, config.Lifecycler{}, "10.0.0.9:80"},
		"on loopback, too":                                        {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, config.Lifecycler{InterfaceNames: []string{"eth1"}}, "127.0.0.1:80"},
		"on all addresses, by the first private one":              {everywhere, config.Lifecycler{}, "10.0.0.7:80"},
		"or by that of the first interface that has one":          {everywhere, config.Lifecycler{InterfaceNames: []string{"none", "eth0", "eth1", "ens3"}}, "203.0.113.9:80"},
		"in IPv6 if that is wanted":                               {everywhere, config.Lifecycler{InterfaceNames: []string{"eth1"}, EnableInet6: true}, "[2001:db8::9]:80"},
		"what is written counts most":                             {everywhere, config.Lifecycler{Address: "agent-1.example.org", Port: 8080}, "agent-1.example.org:8080"},
		"an IPv6 address may be written with brackets or without": {everywhere, config.Lifecycler{Address: "[2001:db8::1]"}, "[2001:db8::1]:80"},
		"a port may be written alone":                             {everywhere, config.Lifecycler{Port: 8080}, "10.0.0.7:8080"},
	} {
		got, err := advertised(c.listener, c.lifecycler, host)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestAnAddressThatCannotBeFoundIsSaidWithTheWayOut(t *testing.T) {
	host := hostWith(on("lo", "127.0.0.1"), on("wan0", "203.0.113.9"))
	everywhere := &net.TCPAddr{IP: net.IPv4zero, Port: 80}
	_, err := advertised(everywhere, config.Lifecycler{}, host)
	require.ErrorContains(t, err, "lifecycler.address")
	_, err = advertised(everywhere, config.Lifecycler{InterfaceNames: []string{"lo", "eth7"}}, host)
	require.ErrorContains(t, err, "lo, eth7")
	_, err = advertised(everywhere, config.Lifecycler{Address: "10.0.0.1:80"}, host)
	require.ErrorContains(t, err, "lifecycler.port")
}

func TestThisHostHasALoopbackInterface(t *testing.T) {
	all, err := hostInterfaces()
	require.NoError(t, err)
	var addresses []netip.Addr
	for _, i := range all {
		addresses = append(addresses, i.addresses...)
	}
	require.Contains(t, addresses, netip.MustParseAddr("127.0.0.1"))
}

func TestGossipListensWhereTheAPIDoes(t *testing.T) {
	at := func(ip string) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 80} }
	ip := netip.MustParseAddr
	for name, c := range map[string]struct {
		settings          config.Gossip
		http              *net.TCPAddr
		reachable         netip.Addr
		listen, advertise string
	}{
		"on one address":                      {config.Gossip{}, at("10.0.0.9"), ip("10.0.0.9"), "10.0.0.9:0", ""},
		"on all":                              {config.Gossip{}, at("::"), ip("10.0.0.9"), ":0", "10.0.0.9:0"},
		"on all of IPv6":                      {config.Gossip{}, at("::"), ip("2001:db8::9"), "[::]:0", "[2001:db8::9]:0"},
		"on all, without knowing how":         {config.Gossip{}, at("0.0.0.0"), netip.Addr{}, ":0", ""},
		"on a port that is written":           {config.Gossip{ListenAddress: ":7946"}, at("::"), ip("10.0.0.9"), ":7946", "10.0.0.9:0"},
		"on an address that is written":       {config.Gossip{ListenAddress: "10.0.0.8:7946"}, at("::"), ip("10.0.0.9"), "10.0.0.8:7946", ""},
		"and tells others what is written":    {config.Gossip{AdvertiseAddress: "a.example.org:7946"}, at("::"), ip("10.0.0.9"), ":0", "a.example.org:7946"},
		"a node behind NAT listens elsewhere": {config.Gossip{}, at("10.0.0.9"), ip("203.0.113.9"), "10.0.0.9:0", ""},
	} {
		listen, advertise := gossipAddresses(c.settings, c.http, c.reachable)
		require.Equal(t, c.listen, listen, name)
		require.Equal(t, c.advertise, advertise, name)
	}
}

package config

import (
	"net"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// addressUse is what a host:port is for.
type addressUse int

const (
	// reached: others connect to it.
	reached addressUse = iota
	// listenedOn: any interface, none for all; port 0 is a free one.
	listenedOn
	// listenedOnFixed: the interface is an IP address, the port is known to others.
	listenedOnFixed
)

func (u addressUse) hint() string {
	switch u {
	case listenedOn:
		return "write it like 10.0.0.1:7946, :7946 for all interfaces, or with port 0 for a free one"
	case listenedOnFixed:
		return "write it like 10.0.0.1:2380, or 0.0.0.0:2380 for all interfaces"
	default:
		return "write host:port, with a host that other nodes can reach"
	}
}

// hostPort checks the address behind a key, if there is one; the empty one is as good as none.
func (d *document) hostPort(n *yaml.Node, key, address string, use addressUse) {
	where, ok := at(n, key)
	if !ok || d.bad[where] || address == "" {
		return
	}
	if problem := addressProblem(address, use); problem != "" {
		d.fail(where, problem, use.hint())
	}
}

// addressProblem says what is wrong with an address, nothing if it is fine.
func addressProblem(address string, use addressUse) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "this is not host:port"
	}
	ip := net.ParseIP(host)
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil, number == 0 && use != listenedOn:
		return "this has no port between 1 and 65535"
	case use == reached && (host == "" || ip != nil && ip.IsUnspecified()):
		return "this has no host that others can reach"
	case use == listenedOnFixed && host != "localhost" && ip == nil:
		return "this has no IP address to listen on"
	}
	return ""
}

// told says whether an error about a key of a block, or about what was likely meant to be it, is
// already recorded.
func (d *document) told(block *yaml.Node, key string) bool {
	if value := child(block, key); value != nil && d.bad[value] {
		return true
	}
	return slices.Contains(d.badKeys[block], key)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

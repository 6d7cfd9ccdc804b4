package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// metadataHosts are where machines of the large clouds find out who they are, and get credentials
// for it.
func metadataHosts() []string {
	return []string{
		"169.254.169.254", // AWS, Azure, Google, OpenStack, Oracle, DigitalOcean, Hetzner
		"fd00:ec2::254",   // AWS
		"169.254.170.2",   // AWS, containers
		"169.254.170.23",  // AWS, pods
		"fd00:ec2::23",    // AWS, pods
		"100.100.100.200", // Alibaba
		"168.63.129.16",   // Azure, agents
		"192.0.0.192",     // Oracle
		"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
	}
}

// isMetadataService says whether an address, which may be a URL, is that of a metadata service. A
// name that somebody else's DNS makes one of them is not noticed here.
func isMetadataService(text string) bool {
	host := hostOf(strings.TrimSpace(text))
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().WithZone("").String()
	}
	return slices.Contains(metadataHosts(), strings.TrimSuffix(strings.ToLower(host), "."))
}

// hostOf is the host of a URL, of host:port, or of a host.
func hostOf(text string) string {
	if strings.Contains(text, "://") {
		if u, err := url.Parse(text); err == nil {
			return u.Hostname()
		}
	}
	text, _, _ = strings.Cut(text, "/")
	if host, _, err := net.SplitHostPort(text); err == nil {
		return host
	}
	return strings.Trim(text, "[]")
}

package scrape

import (
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// sockets maps the host and port of a target's URL to the unix socket behind it, "" for a target reached over TCP.
//
// Prometheus has a dialer for each socket, which the scraper's own dialer displaces, and a dialer is told no more than host and
// port. So targets behind different sockets need different addresses; ambiguous says which have not.
type sockets struct {
	paths     map[string]string
	ambiguous map[string]bool
}

// findSockets looks at the targets of all jobs, or returns nil at once if no job mentions the label.
func findSockets(jobs []jobTargets) *sockets {
	if !slices.ContainsFunc(jobs, mentionsSocket) {
		return nil
	}
	found := &sockets{paths: map[string]string{}, ambiguous: map[string]bool{}}
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, job := range jobs {
		for _, group := range job.groups {
			targets, _ := promscrape.TargetsFromGroup(group, job.config, nil, builder)
			for _, target := range targets {
				found.add(dialAddress(target.URL()), target.GetValue(promscrape.UnixSocketLabel))
			}
		}
	}
	return found
}

func (s *sockets) add(address, path string) {
	if known, ok := s.paths[address]; ok && known != path {
		s.ambiguous[address] = true
	}
	s.paths[address] = path
}

// resolve returns the network and address to dial for what the HTTP transport asked for.
func (s *sockets) resolve(network, address string) (string, string, error) {
	switch {
	case s == nil || s.paths[address] == "" && !s.ambiguous[address]:
		return network, address, nil
	case s.ambiguous[address]:
		return "", "", fmt.Errorf("dial target %s: targets with different %s have this address, give each its own",
			address, promscrape.UnixSocketLabel)
	default:
		return "unix", s.paths[address], nil
	}
}

func mentionsSocket(job jobTargets) bool {
	for _, rule := range job.config.RelabelConfigs {
		if rule.TargetLabel == promscrape.UnixSocketLabel || rule.Replacement == promscrape.UnixSocketLabel {
			return true
		}
	}
	for _, group := range job.groups {
		if _, ok := group.Labels[promscrape.UnixSocketLabel]; ok {
			return true
		}
		for _, target := range group.Targets {
			if _, ok := target[promscrape.UnixSocketLabel]; ok {
				return true
			}
		}
	}
	return false
}

// dialAddress is what the HTTP transport dials for u.
func dialAddress(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

package scrape

import (
	"net"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// HostFilter keeps only the targets that run on one host. Immutable.
type HostFilter struct {
	// Host is the name of this host, as discoveries spell it.
	Host string
	// Relabel is applied to a copy of each discovered target before it is compared, and forgotten
	// afterwards. A target that it drops is not kept.
	Relabel []*relabel.Config
}

// hostLabels are compared with the host's name when __address__ is not on it.
var hostLabels = [...]string{
	"__meta_consul_node",
	"__meta_dockerswarm_node_id",
	"__meta_dockerswarm_node_hostname",
	"__meta_dockerswarm_node_address",
	"__meta_kubernetes_pod_node_name",
	"__meta_kubernetes_node_name",
	"__host__",
}

// apply returns the groups with only the targets to keep. Groups are shared with the discovery that
// made them and are never changed; emptied groups stay, so that the receiver sees that their
// targets went. A nil filter keeps everything.
func (f *HostFilter) apply(groups []*targetgroup.Group) []*targetgroup.Group {
	if f == nil {
		return groups
	}
	builder := labels.NewBuilder(labels.EmptyLabels())
	kept := make([]*targetgroup.Group, 0, len(groups))
	for _, group := range groups {
		copied := &targetgroup.Group{Labels: group.Labels, Source: group.Source}
		for _, target := range group.Targets {
			if f.keeps(builder, target, group.Labels) {
				copied.Targets = append(copied.Targets, target)
			}
		}
		kept = append(kept, copied)
	}
	return kept
}

// keeps decides about one target. A target without an address is kept: the scrape loop refuses it
// with a message.
func (f *HostFilter) keeps(builder *labels.Builder, target, common model.LabelSet) bool {
	builder.Reset(labels.EmptyLabels())
	for _, set := range [...]model.LabelSet{common, target} {
		for name, value := range set {
			builder.Set(string(name), string(value))
		}
	}
	if !relabel.ProcessBuilder(builder, f.Relabel...) {
		return false
	}
	address := builder.Get(model.AddressLabel)
	if address == "" || f.isHere(address) {
		return true
	}
	for _, name := range hostLabels {
		if value := builder.Get(name); value != "" && f.isHere(value) {
			return true
		}
	}
	return false
}

// isHere compares a host, or a host and port, with this host. Loopback is always here.
func (f *HostFilter) isHere(address string) bool {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if address == "localhost" || address == f.Host {
		return true
	}
	ip := net.ParseIP(address)
	return ip != nil && ip.IsLoopback()
}

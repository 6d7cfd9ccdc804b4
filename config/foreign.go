package config

import "slices"

// prometheusDiscoveries are the names of all discoveries that a complete build of the agent has.
var prometheusDiscoveries = []string{
	"aws", "azure", "consul", "digitalocean", "dns", "docker", "dockerswarm", "ec2", "ecs", "elasticache", "eureka", "file", "gce", "hetzner", "http",
	"ionos", "kubernetes", "kuma", "lightsail", "linode", "marathon", "msk", "nerve", "nomad", "oci", "openstack", "outscale", "ovhcloud", "puppetdb",
	"rds", "scaleway", "serverset", "stackit", "triton", "uyuni", "vultr",
}

// leaveOut passes a discovery over that this program does not contain and the agent does, if the
// caller has asked for that.
func (d *document) leaveOut(name string) bool {
	if !d.lenient || !slices.Contains(prometheusDiscoveries, name) {
		return false
	}
	if key := name + discoverySuffix; !slices.Contains(d.unchecked, key) {
		d.unchecked = append(d.unchecked, key)
	}
	return true
}

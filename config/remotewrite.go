package config

import (
	"strings"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// Endpoint is what a remote_write block says beside what it says to Prometheus.
type Endpoint struct {
	// StrictSpec makes the endpoint give up what the protocol's specification forbids to send again.
	StrictSpec bool `yaml:"strict_spec"`
	// RecentFirst makes the endpoint send what is scraped after an outage before the backlog, to a
	// receiver that takes samples out of order.
	RecentFirst bool `yaml:"recent_first"`
}

// endpointFile is what a remote_write block is decoded into.
type endpointFile struct {
	promconfig.RemoteWriteConfig `yaml:",inline"`
	Ours                         Endpoint `yaml:",inline"`
}

// UnmarshalYAML implements yaml.Unmarshaler. Prometheus' type passes over keys that it does not know.
func (e *endpointFile) UnmarshalYAML(unmarshal func(any) error) error {
	if err := unmarshal(&e.Ours); err != nil {
		return err
	}
	return unmarshal(&e.RemoteWriteConfig)
}

// blocksOf takes blocks apart. Both lists have an entry for each.
func blocksOf(files []*endpointFile) (prometheus []*promconfig.RemoteWriteConfig, ours []Endpoint) {
	for _, f := range files {
		prometheus, ours = append(prometheus, &f.RemoteWriteConfig), append(ours, f.Ours)
	}
	return prometheus, ours
}

// remoteWrites validates decoded endpoints, which come from the entries of list that are not bad,
// and returns the digest of each block.
func (d *document) remoteWrites(list *yaml.Node, configs []*promconfig.RemoteWriteConfig, scheme model.ValidationScheme) []Digest {
	digests := make([]Digest, len(configs))
	names := d.uniques("remote_write")
	for i, n := range d.items(list) {
		if i >= len(configs) {
			break
		}
		rw := configs[i]
		digests[i] = canonical(n)
		applyOurDefaults(n, rw)
		if where, ok := at(n, "name"); ok && rw.Name != "" {
			names.add(where, rw.Name)
		}
		if rw.URL.Scheme != "http" && rw.URL.Scheme != "https" || rw.URL.Host == "" {
			where, _ := at(n, "url")
			d.fail(where, "this is not a URL of a receiver", "write it like http://host:9090/api/v1/write")
		}
		if err := rw.Validate(scheme); err != nil {
			d.relabelRules(child(n, "write_relabel_configs"), rw.WriteRelabelConfigs, scheme)
		}
	}
	return digests
}

// applyOurDefaults sets what is on unless the user wrote otherwise, where Prometheus has it off.
func applyOurDefaults(n *yaml.Node, rw *promconfig.RemoteWriteConfig) {
	if child(n, "send_exemplars") == nil {
		rw.SendExemplars = true
	}
	if child(child(n, "queue_config"), "retry_on_http_429") == nil {
		rw.QueueConfig.RetryOnRateLimit = true
	}
}

// endpointName is the name the user gave, or else one that stays the same as long as the block
// means the same.
func endpointName(instance, name string, block Digest) string {
	if name != "" {
		return name
	}
	return instance + "-" + block.String()[:6]
}

// uniqueEndpoints reports endpoints of one instance that get the same name because their blocks are
// the same.
func (d *document) uniqueEndpoints(list *yaml.Node, configs []*promconfig.RemoteWriteConfig) {
	names := d.uniques("remote_write")
	for i, n := range d.items(list) {
		if _, written := at(n, "name"); i < len(configs) && !written {
			names.add(n, configs[i].Name)
		}
	}
}

// relabelRules validates each rule of a list and reports each that is wrong.
func (d *document) relabelRules(list *yaml.Node, rules []*relabel.Config, scheme model.ValidationScheme) {
	for i, n := range d.items(list) {
		if i >= len(rules) {
			break
		}
		// A rule that lost a value above is only known in part.
		if err := rules[i].Validate(scheme); err != nil && len(d.badKeys[n]) == 0 {
			problem := plain(err, n)
			d.fail(d.culprit(n, problem, err), strings.TrimPrefix(problem, "relabel configuration for "), "")
		}
	}
}

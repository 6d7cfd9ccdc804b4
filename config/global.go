package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// Digest is a SHA-256. Two configs with equal digests mean the same, secrets included.
type Digest [sha256.Size]byte

// String renders the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Global is metrics.global: the defaults of all instances. Immutable.
type Global struct {
	// Prometheus is Prometheus' own global block, with its defaults filled in.
	Prometheus promconfig.GlobalConfig
	// RemoteWrite are the endpoints of instances that name none. Those without a name in the file
	// have none here; the copy in an Instance has.
	RemoteWrite []*promconfig.RemoteWriteConfig
	// Endpoints has the rest of each of these blocks.
	Endpoints []Endpoint

	// Compatibility says of configs that don't say it themselves whose series theirs are.
	Compatibility Compatibility

	blocks []Digest // of RemoteWrite, for names
	digest Digest
}

// Digest covers everything in the block, secrets included.
func (g *Global) Digest() Digest { return g.digest }

// DefaultGlobal is the block when the file has none.
func DefaultGlobal() *Global {
	return &Global{Prometheus: promconfig.DefaultGlobalConfig, digest: canonical(nil)}
}

// globalFile is what metrics.global is decoded into. The tags of its fields are for the schema: it
// decodes itself, since Prometheus' type has to see its block without remote_write.
type globalFile struct {
	Prometheus  promconfig.GlobalConfig `yaml:",inline"`
	RemoteWrite []*endpointFile         `yaml:"remote_write"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (g *globalFile) UnmarshalYAML(unmarshal func(any) error) error {
	var endpoints struct {
		RemoteWrite []*endpointFile `yaml:"remote_write"`
	}
	if err := unmarshal(&endpoints); err != nil {
		return err
	}
	g.RemoteWrite = endpoints.RemoteWrite
	return unmarshal(&g.Prometheus)
}

// global validates the decoded block. n is nil if the file has none.
func (d *document) global(n *yaml.Node, f globalFile) *Global {
	g := &Global{Prometheus: f.Prometheus, digest: canonical(nil)}
	g.RemoteWrite, g.Endpoints = blocksOf(f.RemoteWrite)
	if n == nil {
		return g
	}
	g.digest = canonical(n)
	// Some of the global values are only looked at when a scrape config takes them over.
	probe := promconfig.DefaultScrapeConfig
	if err := probe.Validate(g.Prometheus); err != nil {
		problem := plain(err, n)
		d.fail(d.culprit(n, problem, err), problem, remedy(problem))
	}
	g.blocks = d.remoteWrites(child(n, "remote_write"), g.RemoteWrite, g.Prometheus.MetricNameValidationScheme)
	return g
}

// setEndpointDirectory makes the paths of files of endpoints relative to the directory of the file
// that names them.
func (g *Global) setEndpointDirectory(dir string) {
	for _, rw := range g.RemoteWrite {
		rw.SetDirectory(dir)
	}
}

// remoteWritesOf are the global endpoints under names of their own for one instance.
func (g *Global) remoteWritesOf(instance string) []*promconfig.RemoteWriteConfig {
	own := slices.Clone(g.RemoteWrite)
	for i, rw := range own {
		named := *rw
		named.Name = endpointName(instance, rw.Name, g.blocks[i])
		own[i] = &named
	}
	return own
}

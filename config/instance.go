package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"
)

// Instance is one validated instance config with all defaults applied. Immutable; values may be shared.
type Instance struct {
	// Name is where it comes from: the URL of an upload, the key in the store, or the text.
	Name string
	// Text is what the user wrote. Of a local instance, which is a part of a file, it is that part
	// after variables and aliases were expanded.
	Text string
	// ScrapeConfigs are ready for Prometheus' scrape manager.
	ScrapeConfigs []*promconfig.ScrapeConfig
	// RemoteWrite are the instance's own endpoints, or else the global ones. Each has a name.
	RemoteWrite []*promconfig.RemoteWriteConfig
	// Endpoints has the rest of each of these blocks.
	Endpoints      []Endpoint
	ExternalLabels labels.Labels
	// Global is the block the defaults were taken from; never nil.
	Global *Global
	// HostFilter drops targets on other hosts, after HostFilterRelabelConfigs.
	HostFilter               bool
	HostFilterRelabelConfigs []*relabel.Config
	// WALTruncateFrequency is > 0.
	WALTruncateFrequency time.Duration
	// MinWALTime ≤ MaxWALTime; MaxWALTime is the age at which unsent samples are given up.
	MinWALTime, MaxWALTime time.Duration
	// RemoteFlushDeadline is > 0: how long a shutdown waits for what is unsent.
	RemoteFlushDeadline  time.Duration
	WriteStaleOnShutdown bool
	// Compatibility says whose series its series are. Not empty.
	Compatibility Compatibility
	// Slices is into how many parts its targets are divided, 1 to maxSlices.
	Slices int
	// Earlier is how its targets are divided before Slices is in force, in the order of time. It is
	// no part of the text: who puts a changed instance in force sets it, in a copy.
	Earlier []Division
	// Ambient says that it may use what the machine is and has besides files, as
	// InstanceOptions.AllowAmbient does. That of the main file may.
	Ambient bool

	// Unchecked are the keys of discoveries that were left out; see InstanceOptions.ForeignDiscoveries.
	Unchecked []string

	// WALMaxSize is how large its log may get in bytes; 0: as large as any.
	WALMaxSize int64

	limits Limits
	digest Digest
}

// Division is into how many slices targets are divided until an instant.
type Division struct {
	Slices int
	Until  time.Time
}

// maxSlices is more than there is use for: each slice of a config is scheduled and stored like a
// config.
const maxSlices = 64

// Digest covers the name, the text and the global block. Equal digests: there is nothing to reload.
func (i *Instance) Digest() Digest { return i.digest }

// Limits are what it may cost; the zero value of a field is no limit.
func (i *Instance) Limits() Limits { return i.limits }

// MinInterval is the shortest interval that its targets may have; 0: any.
func (i *Instance) MinInterval() time.Duration { return i.limits.MinInterval }

// InstanceOptions say how an instance's text is to be taken.
type InstanceOptions struct {
	// Global gives the defaults; nil is DefaultGlobal.
	Global *Global
	// AllowFiles permits keys that name files of this machine.
	AllowFiles bool
	// AllowAmbient permits the machine's environment, identity, programs, local sockets and
	// metadata service.
	AllowAmbient bool
	// Limits are what the config may cost. The zero value has none.
	Limits Limits
	// ForeignDiscoveries leaves discoveries that this program does not contain, and a complete
	// agent does, unchecked and out.
	ForeignDiscoveries bool
	// Origin is the name of the file in errors; empty: the instance's name.
	Origin string
}

// instanceFile is what an instance's text is decoded into.
type instanceFile struct {
	Name                     string                     `yaml:"name"`
	HostFilter               bool                       `yaml:"host_filter"`
	HostFilterRelabelConfigs []*relabel.Config          `yaml:"host_filter_relabel_configs"`
	ScrapeConfigs            []*promconfig.ScrapeConfig `yaml:"scrape_configs"`
	RemoteWrite              []*endpointFile            `yaml:"remote_write"`
	WALTruncateFrequency     time.Duration              `yaml:"wal_truncate_frequency"`
	MinWALTime               time.Duration              `yaml:"min_wal_time"`
	MaxWALTime               time.Duration              `yaml:"max_wal_time"`
	RemoteFlushDeadline      time.Duration              `yaml:"remote_flush_deadline"`
	WriteStaleOnShutdown     bool                       `yaml:"write_stale_on_shutdown"`
	Slices                   int                        `yaml:"slices"`
	Compatibility            Compatibility              `yaml:"compatibility"`
}

// UnmarshalYAML implements yaml.Unmarshaler: the defaults hold for what is not written.
func (f *instanceFile) UnmarshalYAML(unmarshal func(any) error) error {
	type plain instanceFile
	*f = instanceFile{
		WALTruncateFrequency: 60 * time.Minute,
		MinWALTime:           5 * time.Minute,
		MaxWALTime:           4 * time.Hour,
		RemoteFlushDeadline:  time.Minute,
		Slices:               1,
	}
	return unmarshal((*plain)(f))
}

// ParseInstance validates one instance document. A name that is not empty wins over the text's. The
// error, if any, is Errors.
func ParseInstance(name, text string, opts InstanceOptions) (*Instance, error) {
	i, d := parseInstance(name, text, opts, (*document).decode)
	if err := d.verdict(); err != nil {
		return nil, err
	}
	return i, nil
}

// OutlineInstance is for a node that does not run the config: it validates the document as
// ParseInstance does, with the same errors, but compiles none of its regular expressions and
// returns only an outline.
func OutlineInstance(name, text string, opts InstanceOptions) (*Instance, error) {
	i, d := parseInstance(name, text, opts, (*document).decodeUncompiled)
	if err := d.verdict(); err != nil {
		return nil, err
	}
	return i.Outline(), nil
}

// Outline is what a node keeps of a config that it does not run: its name, its slices and its digest.
func (i *Instance) Outline() *Instance {
	return &Instance{Name: i.Name, Slices: i.Slices, Earlier: i.Earlier, digest: i.digest}
}

// parseInstance returns the document, too, for those who want to know more of it. The instance is of
// use only if the document has no errors.
func parseInstance(name, text string, opts InstanceOptions, decode func(d *document, n *yaml.Node, out any) bool) (*Instance, *document) {
	origin := opts.Origin
	if origin == "" {
		origin = fmt.Sprintf("config %q", name)
	}
	if opts.Global == nil {
		opts.Global = DefaultGlobal()
	}
	d := parseDocument(origin, text, nil, opts.Limits.Values)
	if d.root == nil {
		if len(d.errs) == 0 {
			d.failLine(1, "the config is empty", "it needs scrape_configs")
		}
		return nil, d
	}
	d.lenient = opts.ForeignDiscoveries
	t := reflect.TypeFor[instanceFile]()
	d.structure(d.root, t)
	opts.Limits.check(d, d.root, t)
	var f instanceFile
	decoded := !d.overBudget && decode(d, d.root, &f)
	d.forbid(d.root, t, opts)
	if !decoded {
		d.nameInstance("", name)
		return nil, d
	}
	if name != "" {
		f.Name = name
	}
	i := d.instanceOf(d.root, f, opts.Global)
	if len(d.errs) > 0 {
		d.nameInstance("", f.Name)
		return nil, d
	}
	i.Ambient, i.WALMaxSize = opts.AllowAmbient, int64(opts.Limits.WALSize)
	for _, job := range i.ScrapeConfigs {
		opts.Limits.hold(job)
	}
	i.limits, i.Unchecked = opts.Limits, d.unchecked
	i.seal(text)
	return i, d
}

// instanceOf validates a decoded instance. What it returns is of use only if no errors were recorded.
func (d *document) instanceOf(n *yaml.Node, f instanceFile, g *Global) *Instance {
	d.checkInstance(n, f)
	compatibility := cmp.Or(f.Compatibility, g.Compatibility, PrometheusSeries)
	scheme := g.Prometheus.MetricNameValidationScheme
	if compatibility == AgentSeries {
		scheme = model.LegacyValidation
		forAgent(f.ScrapeConfigs)
	}
	d.relabelRules(child(n, "host_filter_relabel_configs"), f.HostFilterRelabelConfigs, scheme)
	d.scrapeConfigs(child(n, "scrape_configs"), f.ScrapeConfigs, g.Prometheus)

	list := child(n, "remote_write")
	endpoints, ours := blocksOf(f.RemoteWrite)
	blocks := d.remoteWrites(list, endpoints, scheme)
	for i, rw := range endpoints {
		rw.Name = endpointName(f.Name, rw.Name, blocks[i])
	}
	d.uniqueEndpoints(list, endpoints)
	if len(endpoints) == 0 {
		endpoints, ours = g.remoteWritesOf(f.Name), g.Endpoints
	}
	if compatibility == AgentSeries {
		f.HostFilterRelabelConfigs = agentRules(f.HostFilterRelabelConfigs)
		endpoints = agentJobs(f.ScrapeConfigs, endpoints)
	}
	return &Instance{
		Name:                     f.Name,
		Compatibility:            compatibility,
		ScrapeConfigs:            f.ScrapeConfigs,
		RemoteWrite:              endpoints,
		Endpoints:                ours,
		ExternalLabels:           g.Prometheus.ExternalLabels,
		Global:                   g,
		HostFilter:               f.HostFilter,
		HostFilterRelabelConfigs: f.HostFilterRelabelConfigs,
		WALTruncateFrequency:     f.WALTruncateFrequency,
		MinWALTime:               f.MinWALTime,
		MaxWALTime:               f.MaxWALTime,
		RemoteFlushDeadline:      f.RemoteFlushDeadline,
		WriteStaleOnShutdown:     f.WriteStaleOnShutdown,
		Slices:                   f.Slices,
	}
}

func (d *document) checkInstance(n *yaml.Node, f instanceFile) {
	if where, _ := at(n, "name"); f.Name == "" && !d.follows(n, "name") {
		d.fail(where, "the instance has no name", "add name:")
	} else if err := ValidateName(f.Name); err != nil && f.Name != "" {
		d.fail(where, err.Error(), "choose another name")
	}
	positive := func(key string, v time.Duration) {
		if where, ok := at(n, key); ok && v <= 0 && !d.bad[where] {
			d.fail(where, "this must be more than 0", "write it like 1m, or leave the key out")
		}
	}
	positive("wal_truncate_frequency", f.WALTruncateFrequency)
	positive("remote_flush_deadline", f.RemoteFlushDeadline)
	d.oneOf(n, "compatibility", string(f.Compatibility), compatibilities...)
	if where, ok := at(n, "slices"); ok && !d.bad[where] && (f.Slices < 1 || f.Slices > maxSlices) {
		d.fail(where, fmt.Sprintf("a config has 1 to %d slices", maxSlices), "leave the key out for a config that is not divided")
	}
	if f.MinWALTime > f.MaxWALTime {
		where, ok := at(n, "min_wal_time")
		if !ok {
			where, _ = at(n, "max_wal_time")
		}
		d.fail(where, fmt.Sprintf("min_wal_time %s is longer than max_wal_time %s", f.MinWALTime, f.MaxWALTime), "lower it or raise max_wal_time")
	}
}

// seal sets the text and the digest that goes with it.
func (i *Instance) seal(text string) {
	i.Text = text
	h := sha256.New()
	for _, part := range []string{i.Name, text} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(i.Global.digest[:])
	if i.limits != (Limits{}) {
		fmt.Fprintf(h, "%+v", i.limits)
	}
	i.digest = Digest(h.Sum(nil))
}

// setDirectory makes the paths of files relative to the directory of the file that names them.
// Endpoints taken from the global block were already treated.
func (i *Instance) setDirectory(dir string, ownEndpoints bool) {
	for _, sc := range i.ScrapeConfigs {
		sc.SetDirectory(dir)
	}
	if !ownEndpoints {
		return
	}
	for _, rw := range i.RemoteWrite {
		rw.SetDirectory(dir)
	}
}

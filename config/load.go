package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// LoadOptions say how an agent.yaml is to be taken.
type LoadOptions struct {
	// ExpandEnv replaces references to variables, like ${VAR} and ${VAR:-default}, before anything
	// else.
	ExpandEnv bool
	// LookupEnv finds a variable; nil knows none.
	LookupEnv func(name string) (value string, set bool)
	// Overrides are keys that the command line sets.
	Overrides []Override
	// ForeignDiscoveries is as in InstanceOptions; a warning tells each.
	ForeignDiscoveries bool
	// Exists tells whether there is a file, for relative paths that Grafana Agent took for others.
	// nil: nobody asks.
	Exists func(path string) bool
	// WALDirectory takes the place of the file's wal_directory, unless it is empty.
	WALDirectory string
}

// Default is the agent without a file: a scraping service of one on the embedded store. An empty
// walDirectory is the default one.
func Default(walDirectory string) *Agent {
	f := defaultAgentFile()
	m := f.Metrics.Metrics
	m.WALDirectory = cmp.Or(walDirectory, m.WALDirectory)
	m.WALMaxSize = int64(f.Metrics.WALMaxSize)
	m.Global = DefaultGlobal()
	m.ScrapingService.Enabled = true
	m.completeService()
	return &Agent{Server: f.Server, Metrics: m}
}

// LoadAgent decodes and validates the text of an agent.yaml. filename is for messages, and the
// directory it is in is what relative paths in scrape configs and remote_write are relative to. The
// error, if any, is Errors.
func LoadAgent(filename string, text []byte, opts LoadOptions) (*Agent, error) {
	expanded := expansion{text: string(text)}
	if opts.ExpandEnv {
		lookup := opts.LookupEnv
		if lookup == nil {
			lookup = func(string) (string, bool) { return "", false }
		}
		expanded = expandVariables(filename, string(text), lookup)
	}
	d := parseDocument(filename, expanded.text, expanded.lines, 0)
	if len(d.errs) > 0 {
		d.unreadable(expanded.errs)
		return nil, d.result()
	}
	a := &Agent{text: expanded.text}
	for _, ref := range expanded.unset {
		a.Warnings = append(a.Warnings, fmt.Sprintf("%s: %s is not set in the environment, so it expands to nothing", filename, ref))
	}
	root := d.root
	if root == nil {
		root = &yaml.Node{Kind: yaml.MappingNode, Line: 1}
		d.root = root
	}
	d.lenient = opts.ForeignDiscoveries
	d.override(root, opts.Overrides)
	texts := d.instanceTexts(child(child(root, "metrics"), "configs"))
	d.structure(root, reflect.TypeFor[agentFile]())
	f := defaultAgentFile()
	if d.decode(root, &f) {
		f.Metrics.WALDirectory = cmp.Or(opts.WALDirectory, f.Metrics.WALDirectory)
		d.finish(a, root, f, texts)
		d.foundElsewhere(root, opts.Exists)
	}
	d.unreadable(expanded.errs)
	if len(d.errs) > 0 {
		for i, n := range listed(child(child(root, "metrics"), "configs")) {
			if name := child(n, "name"); name != nil {
				d.nameInstance(fmt.Sprintf("metrics.configs[%d]", i), name.Value)
			}
		}
		return nil, d.result()
	}
	return a, nil
}

// unreadable adds the errors about references to variables, in place of what their lines look like
// without being expanded.
func (d *document) unreadable(references Errors) {
	if len(references) == 0 {
		return
	}
	d.errs = slices.DeleteFunc(d.errs, func(e Error) bool {
		return slices.ContainsFunc(references, func(r Error) bool { return r.Line == e.Line })
	})
	d.errs = append(d.errs, references...)
}

// instanceTexts renders each local instance, before decoding rewrites anything.
func (d *document) instanceTexts(list *yaml.Node) map[*yaml.Node]string {
	texts := map[*yaml.Node]string{}
	for _, n := range d.items(list) {
		text, err := yaml.Marshal(n)
		if err != nil {
			d.fail(n, "this instance cannot be written as YAML: "+err.Error(), "")
			continue
		}
		texts[n] = string(text)
	}
	return texts
}

// finish validates the decoded file and makes an Agent of it.
func (d *document) finish(a *Agent, root *yaml.Node, f agentFile, texts map[*yaml.Node]string) {
	metrics := child(root, "metrics")
	a.Server, a.Metrics = f.Server, f.Metrics.Metrics
	a.Metrics.WALMaxSize = int64(f.Metrics.WALMaxSize)
	a.Metrics.completeService()
	d.leastBackoff(metrics, &a.Metrics)
	d.server(child(root, "server"), f.Server)
	d.metrics(metrics, a.Metrics)
	dir := filepath.Dir(d.file)
	if a.Tracing = f.Tracing; a.Tracing != nil {
		a.Tracing.SetDirectory(dir)
		d.tracing(child(root, "tracing"), a.Tracing)
	}

	g := d.global(child(metrics, "global"), f.Metrics.Global)
	g.setEndpointDirectory(dir)
	g.standFor(a.Metrics.Compatibility)
	a.Metrics.Global = g
	a.Metrics.Configs = d.localInstances(child(metrics, "configs"), f.Metrics.Configs, g)
	for i, n := range d.items(child(metrics, "configs")) {
		if i < len(a.Metrics.Configs) {
			a.Metrics.Configs[i].setDirectory(dir, len(f.Metrics.Configs[i].RemoteWrite) > 0)
			a.Metrics.Configs[i].Ambient = true
			a.Metrics.Configs[i].seal(texts[n])
		}
	}
	// Last, because local jobs have taken paths over from it, and made those relative themselves.
	g.Prometheus.SetDirectory(dir)
	d.replicaLabels(child(child(metrics, "scraping_service"), "replica_labels"), g.Prometheus.MetricNameValidationScheme)
	for _, key := range d.unchecked {
		d.notes = append(d.notes, fmt.Sprintf("%s: %s is not checked by this program, but by the agent", d.file, key))
	}
	a.Warnings = append(a.Warnings, d.notes...)
	a.Warnings = append(a.Warnings, d.warnings(metrics, a.Metrics.ScrapingService)...)
	if !a.Metrics.ScrapingService.Enabled && len(a.Metrics.Configs) == 0 {
		a.Warnings = append(a.Warnings, d.file+": nothing is scraped: the scraping service is not enabled, and there are no configs")
	}
}

func (d *document) localInstances(list *yaml.Node, files []instanceFile, g *Global) []*Instance {
	var instances []*Instance
	names := d.uniques("instance")
	for i, n := range d.items(list) {
		if i >= len(files) {
			break
		}
		instances = append(instances, d.instanceOf(n, files[i], g))
		if where, named := at(n, "name"); named {
			names.add(where, files[i].Name)
		}
	}
	return instances
}

func (d *document) server(n *yaml.Node, s Server) {
	d.oneOf(n, "log_level", s.LogLevel, "debug", "info", "warn", "error")
	d.oneOf(n, "log_format", s.LogFormat, "logfmt", "json")
}

func (d *document) metrics(n *yaml.Node, m Metrics) {
	service := child(n, "scraping_service")
	d.oneOf(n, "detail", m.Detail, DetailBasic, DetailFull)
	if where, ok := at(n, "configs"); ok && m.ScrapingService.Enabled {
		d.fail(where, "local configs and scraping_service.enabled exclude each other", "upload the configs, or disable the scraping service")
	}
	if where, ok := at(n, "wal_directory"); ok && m.WALDirectory == "" {
		d.fail(where, "the directory is empty", "leave the key out for data-agent/")
	}
	if where, ok := at(n, "wal_max_size"); ok && m.WALMaxSize < 0 {
		d.fail(where, "a size must not be negative", "write it like 512MB, or 0 for no bound")
	}
	d.oneOf(n, "compatibility", string(m.Compatibility), compatibilities...)
	d.oneOf(n, "instance_mode", m.InstanceMode, "shared", "distinct")
	d.service(service, m.ScrapingService)
}

// tracing checks what Prometheus takes without a word: a fraction of nothing, or of more than all.
func (d *document) tracing(n *yaml.Node, t *promconfig.TracingConfig) {
	switch where, written := at(n, "sampling_fraction"); {
	case !written:
		d.notes = append(d.notes, d.warning(n, "tracing.sampling_fraction is not set, so nothing is traced"))
	case t.SamplingFraction < 0 || t.SamplingFraction > 1:
		d.fail(where, "a fraction is between 0 and 1", "write 0.01 for one trace in a hundred")
	}
}

func (d *document) oneOf(n *yaml.Node, key, value string, allowed ...string) {
	where, ok := at(n, key)
	if !ok || d.bad[where] || slices.Contains(allowed, value) {
		return
	}
	d.fail(where, fmt.Sprintf("%q is not known here", value), "use "+abridged(allowed))
}

// within checks a number that is at least 1.
func (d *document) within(n *yaml.Node, value, most int, keys ...string) {
	d.moreThanZero(n, value > 0, keys...)
	if where, ok := at(n, keys...); ok && value > most && !d.bad[where] {
		d.fail(where, fmt.Sprintf("this must be at most %d", most), "lower it, or leave the key out for its default")
	}
}

// leastRestartBackoff keeps an instance that fails at once from being started all the time.
const leastRestartBackoff = 100 * time.Millisecond

func (d *document) leastBackoff(n *yaml.Node, m *Metrics) {
	where, _ := at(n, "instance_restart_backoff")
	if m.InstanceRestartBackoff < leastRestartBackoff && !d.bad[where] {
		m.InstanceRestartBackoff = leastRestartBackoff
		d.notes = append(d.notes, d.warning(where, fmt.Sprintf("metrics.instance_restart_backoff: the first pause is %s at least", leastRestartBackoff)))
	}
}

func (d *document) moreThanZero(n *yaml.Node, holds bool, keys ...string) {
	if where, ok := at(n, keys...); ok && !holds && !d.bad[where] {
		d.fail(where, "this must be more than 0", "leave the key out for its default")
	}
}

// warnings tell of keys that are written and have no effect, or another than one may think.
func (d *document) warnings(metrics *yaml.Node, s ScrapingService) []string {
	var found []string
	note := func(why string, keys ...string) {
		if where, ok := at(metrics, keys...); ok {
			found = append(found, d.warning(where, why))
		}
	}
	note("metrics.instance_mode has no effect: each instance is always on its own", "instance_mode")
	note("metrics.wal_cleanup_period has no effect: logs are looked after every minute", "wal_cleanup_period")
	for _, key := range []string{"evaluation_interval", "rule_query_offset", "query_log_file"} {
		note("metrics.global."+key+" has no effect: this agent evaluates no rules", "global", key)
	}
	return append(found, d.serviceWarnings(child(metrics, "scraping_service"), s)...)
}

func (d *document) warning(where *yaml.Node, why string) string {
	return fmt.Sprintf("%s: line %d: %s", d.file, d.line(where), why)
}

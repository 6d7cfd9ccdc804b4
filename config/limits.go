package config

import (
	"fmt"
	"path"
	"reflect"
	"regexp/syntax"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// Limits are what one uploaded config may cost. The zero value of a field is no limit. What can be
// counted in the text is refused on upload and again at the start, with the figure and the limit;
// the rest is held at each scrape, which fails as under the job's own limits, so that only that
// target is down. The last eight are about all targets of an instance together; see scrape.Budget.
type Limits struct {
	// MinInterval is the shortest interval of scrapes and of asking a discovery.
	MinInterval time.Duration `yaml:"min_interval"`
	// Values is how many values the text has once its aliases are expanded.
	Values int `yaml:"values"`
	// StaticTargets is how many targets it lists.
	StaticTargets int `yaml:"static_targets"`
	// RegexInstructions is how long the programs of all its regular expressions are together. One
	// instruction takes about 90 bytes of memory.
	RegexInstructions int `yaml:"regex_instructions"`
	// TargetsPerJob, SamplesPerScrape, BodySize and those about labels are the most that a job's
	// target_limit, sample_limit, body_size_limit, label_limit, label_name_length_limit and
	// label_value_length_limit may be, and what they are if the job has none.
	TargetsPerJob    uint             `yaml:"targets_per_job"`
	SamplesPerScrape uint             `yaml:"samples_per_scrape"`
	BodySize         units.Base2Bytes `yaml:"body_size"`
	Labels           uint             `yaml:"labels"`
	LabelNameLength  uint             `yaml:"label_name_length"`
	LabelValueLength uint             `yaml:"label_value_length"`
	// WALSize is how large its log may get; wal_max_size holds, too.
	WALSize units.Base2Bytes `yaml:"wal_size"`
	// SamplesPerSecond is how many it may scrape, and be sent, on average over a minute.
	SamplesPerSecond uint `yaml:"samples_per_second"`
	// Series is how many it may have, and LabelBytes how large their labels may be.
	Series     uint             `yaml:"series"`
	LabelBytes units.Base2Bytes `yaml:"label_bytes"`
	// BodyBytesInFlight is the size of all answers of targets that are read at one time.
	BodyBytesInFlight units.Base2Bytes `yaml:"body_bytes_in_flight"`
	// DiscoveryBytes is the size of one answer to a service discovery.
	DiscoveryBytes units.Base2Bytes `yaml:"discovery_bytes"`
	// DiscoveredBytes is the size of the labels of all targets that its discoveries find, and
	// DiscoveredTargets the number of these targets, both before relabelling.
	DiscoveredBytes   units.Base2Bytes `yaml:"discovered_bytes"`
	DiscoveredTargets uint             `yaml:"discovered_targets"`
	// CPU is how many processors may unpack, parse and relabel for it, on average over a minute.
	CPU float64 `yaml:"cpu"`
}

// LimitsFile is metrics.scraping_service.limits.
type LimitsFile struct {
	Limits `yaml:",inline"`
	// Overrides are for the configs whose names match. The first that matches is used; what it
	// leaves out is as above.
	Overrides []LimitsOverride `yaml:"overrides"`
}

// LimitsOverride are limits of some configs.
type LimitsOverride struct {
	// Configs is a pattern of names, as in path.Match: * stands for anything but a slash.
	Configs string `yaml:"configs"`
	Limits  `yaml:",inline"`
}

func defaultLimits() Limits {
	return Limits{
		MinInterval:       100 * time.Millisecond,
		Values:            100_000,
		StaticTargets:     20_000,
		RegexInstructions: 100_000,
		TargetsPerJob:     50_000,
		SamplesPerScrape:  1_000_000,
		BodySize:          256 * units.MiB,
		Labels:            128,
		LabelNameLength:   1024,
		LabelValueLength:  16 << 10,
		SamplesPerSecond:  100_000,
		Series:            1_000_000,
		LabelBytes:        512 * units.MiB,
		BodyBytesInFlight: 512 * units.MiB,
		DiscoveryBytes:    64 * units.MiB,
		DiscoveredBytes:   256 * units.MiB,
		DiscoveredTargets: 200_000,
		CPU:               0.5,
	}
}

// Of are the limits of the config with this name.
func (f LimitsFile) Of(name string) Limits {
	for _, o := range f.Overrides {
		if matches, err := path.Match(o.Configs, name); err != nil || !matches {
			continue
		}
		limits := f.Limits
		to, from := reflect.ValueOf(&limits).Elem(), reflect.ValueOf(o.Limits)
		for i := range from.NumField() {
			if !from.Field(i).IsZero() {
				to.Field(i).Set(from.Field(i))
			}
		}
		return limits
	}
	return f.Limits
}

func (d *document) limitsFile(n *yaml.Node, f LimitsFile) {
	d.notNegative(child(n, "cpu"), f.CPU)
	for i, item := range d.items(child(n, "overrides")) {
		if i >= len(f.Overrides) {
			break
		}
		where, given := at(item, "configs")
		if _, err := path.Match(f.Overrides[i].Configs, ""); err != nil || !given {
			d.fail(where, "this is no pattern of names", "write it like team-a-*")
		}
		d.notNegative(child(item, "cpu"), f.Overrides[i].CPU)
	}
}

func (d *document) notNegative(n *yaml.Node, v float64) {
	if n != nil && !(v >= 0 && v < 1<<20) { // not NaN either
		d.fail(n, "this is no number of processors", "write a part of one, like 0.5; 0 is no limit")
	}
}

// check refuses what can be counted before anything is decoded: decoding is what costs.
func (l Limits) check(d *document, root *yaml.Node, t reflect.Type) {
	instructions, targets := 0, 0
	d.schema.visit(root, t, func(k keyAt) bool {
		switch {
		case d.overBudget: // one figure is enough
		case k.verdict == rewritten && k.key.Value == "regex" && k.value.Kind == yaml.ScalarNode:
			if instructions += programSize(k.value.Value); l.RegexInstructions > 0 && instructions > l.RegexInstructions {
				d.exceeded(k.value, "regex_instructions", "regular expressions come to %d instructions", instructions, l.RegexInstructions)
				return false
			}
		case k.key.Value == "targets" && k.verdict == address:
			if targets += len(listed(k.value)); l.StaticTargets > 0 && targets > l.StaticTargets {
				d.exceeded(k.value, "static_targets", "static configs list %d targets", targets, l.StaticTargets)
				return false
			}
		case k.key.Value == "scrape_interval" || k.key.Value == "refresh_interval":
			d.interval(k.value, l.MinInterval)
		}
		return !d.overBudget
	})
}

func (d *document) exceeded(n *yaml.Node, limit, what string, figure, most int) {
	d.overBudget = true
	d.reject(n, fmt.Sprintf("the config's "+what+", %d are allowed", figure, most), "split the config, or have scraping_service.limits."+limit+" raised on the agents")
}

// maxInterval keeps the arithmetic of schedules far from its ends.
const maxInterval = 365 * 24 * time.Hour

// interval refuses a time between two requests that is too short for its kind, or too long to be meant.
func (d *document) interval(n *yaml.Node, least time.Duration) {
	interval, err := model.ParseDuration(n.Value)
	switch {
	case err != nil || interval == 0: // told elsewhere, or the default
	case time.Duration(interval) < least:
		d.reject(n, fmt.Sprintf("the interval %s is shorter than %s", interval, least), "raise it, or have scraping_service.limits.min_interval lowered on the agents")
	case time.Duration(interval) > maxInterval:
		d.reject(n, fmt.Sprintf("the interval %s is longer than a year", interval), "lower it")
	}
}

// programSize is about how many instructions a regular expression compiles to. It does not compile
// it: 85 KB of text can make a GiB.
func programSize(text string) int {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0 // told by who compiles it
	}
	return sizeOf(parsed)
}

// decodeUncompiled decodes an instance as decode does, with a short regular expression in the place
// of each one that would compile.
func (d *document) decodeUncompiled(n *yaml.Node, out any) bool {
	written := map[*yaml.Node]string{}
	d.schema.visit(n, reflect.TypeOf(out).Elem(), func(k keyAt) bool {
		if k.verdict == rewritten && k.key.Value == "regex" && k.value.Kind == yaml.ScalarNode && k.value.ShortTag() == "!!str" {
			if _, err := syntax.Parse("^(?s:"+k.value.Value+")$", syntax.Perl); err == nil {
				written[k.value] = k.value.Value
				k.value.Value = "x"
			}
		}
		return true
	})
	defer func() {
		for value, text := range written {
			value.Value = text // the name of an endpoint depends on it
		}
	}()
	return d.decode(n, out)
}

func sizeOf(re *syntax.Regexp) int {
	inside := 0
	for _, sub := range re.Sub {
		inside += sizeOf(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return max(len(re.Rune), 1)
	case syntax.OpCharClass:
		return 1 + len(re.Rune)/8 // the ranges of one instruction
	case syntax.OpRepeat:
		return inside*max(re.Min, re.Max, 1) + max(re.Max-re.Min, 1)
	case syntax.OpAlternate:
		return inside + len(re.Sub)
	default:
		return inside + 1
	}
}

// hold makes the limits of a decoded job's own at most l's.
func (l Limits) hold(job *promconfig.ScrapeConfig) {
	lower(&job.TargetLimit, l.TargetsPerJob)
	lower(&job.SampleLimit, l.SamplesPerScrape)
	lower(&job.BodySizeLimit, l.BodySize)
	lower(&job.LabelLimit, l.Labels)
	lower(&job.LabelNameLengthLimit, l.LabelNameLength)
	lower(&job.LabelValueLengthLimit, l.LabelValueLength)
}

func lower[T uint | units.Base2Bytes](limit *T, most T) {
	if most > 0 && (*limit == 0 || *limit > most) {
		*limit = most
	}
}

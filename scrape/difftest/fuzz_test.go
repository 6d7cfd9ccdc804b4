package difftest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"
)

// fuzzed makes scenarios out of numbers and bytes.
type fuzzed struct {
	base    *promconfig.ScrapeConfig // all defaults
	global  promconfig.Config
	relabel []*relabel.Config
}

func newFuzzed(f *testing.F) *fuzzed {
	plain, relabelled := parse(f, configs["defaults"]), parse(f, configs["relabelling"])
	return &fuzzed{base: plain.ScrapeConfigs[0], global: *plain, relabel: relabelled.ScrapeConfigs[0].MetricRelabelConfigs}
}

// dial takes settings from a number, bit by bit.
type dial uint64

func (d *dial) bit() bool { return d.oneOf(2) == 1 }

// oneOf returns 0 … n-1; n is a power of two.
func (d *dial) oneOf(n uint64) uint64 {
	v := uint64(*d) % n
	*d /= dial(n)
	return v
}

var fallbacks = []promconfig.ScrapeProtocol{"", promconfig.PrometheusProto, promconfig.PrometheusText0_0_4, promconfig.PrometheusText1_0_0,
	promconfig.OpenMetricsText1_0_0, promconfig.OpenMetricsText0_0_1, "", promconfig.PrometheusText0_0_4}

// config makes a config out of a number: each bit is a setting, 0 is all defaults.
func (z *fuzzed) config(number uint64) (*promconfig.Config, features) {
	d := dial(number)
	job := *z.base
	set := features{parseStartTimestamps: d.bit(), typeAndUnitLabels: d.bit(), openMetrics2: d.bit(), zstd: d.bit()}
	job.HonorLabels = d.bit()
	job.HonorTimestamps = !d.bit()
	job.TrackTimestampsStaleness = d.bit()
	job.ScrapeNativeHistograms = new(d.bit())
	job.AlwaysScrapeClassicHistograms = new(d.bit())
	job.ConvertClassicHistogramsToNHCB = new(d.bit())
	job.ExtraScrapeMetrics = new(d.bit())
	job.EnableCompression = !d.bit()
	job.SampleLimit = []uint{0, 1, 3, 10}[d.oneOf(4)]
	job.LabelLimit = []uint{0, 4, 5, 7}[d.oneOf(4)]
	job.LabelNameLengthLimit = []uint{0, 8, 10, 20}[d.oneOf(4)]
	job.LabelValueLengthLimit = []uint{0, 6, 8, 40}[d.oneOf(4)]
	job.BodySizeLimit = []units.Base2Bytes{0, 10, 100, 1000}[d.oneOf(4)]
	job.NativeHistogramBucketLimit = []uint{0, 1, 4, 20}[d.oneOf(4)]
	job.NativeHistogramMinBucketFactor = []float64{0, 1.1, 2, 5}[d.oneOf(4)]
	if d.bit() {
		job.MetricNameValidationScheme, job.MetricNameEscapingScheme = model.LegacyValidation, model.EscapeUnderscores
	}
	job.ScrapeFallbackProtocol = fallbacks[d.oneOf(8)]
	if d.bit() {
		job.MetricRelabelConfigs = z.relabel
	}
	if d.bit() {
		job.ScrapeTimeout = model.Duration(4 * time.Second)
	}
	set.synthesis = d.bit()
	config := z.global
	config.ScrapeConfigs = []*promconfig.ScrapeConfig{&job}
	return &config, set
}

// The actions of a step, in the upper bits of its byte.
const (
	actFail = 5 + iota
	actReload
	actForget
)

// steps makes a step of each byte of script: which body, how encoded, and what happens before.
func (z *fuzzed) steps(script []byte, kind string, first, second []byte, configs [2]*promconfig.Config) []step {
	bodies := [][]byte{first, second, slices.Concat(first, second), slices.Concat(second, first), nil, first[:len(first)/2],
		withoutLine(first), bytes.ToUpper(second)}
	var steps []step
	current := 0
	for _, b := range script {
		content, encoding, act := bodies[b%8], b/8%4, b/32
		a := answer{body: content}
		if kind != "" {
			a.header = []string{"Content-Type: " + kind}
		}
		switch encoding {
		case 1:
			a.header, a.body = append(a.header, "Content-Encoding: gzip"), gzipped(content)
		case 2:
			a.header, a.body = append(a.header, "Content-Encoding: gzip"), gzipped(content)
			a.body = a.body[:len(a.body)/2]
		case 3:
			a.length, a.hangUp = 1, true
		}
		next := step{}
		switch act {
		case actFail:
			a = answer{status: 500}
		case actReload:
			current = 1 - current
			next.parsed = configs[current]
		case actForget:
			next.forget = true
		}
		next.answers = all(a)
		steps = append(steps, next)
	}
	steps[0].parsed = configs[current]
	return steps
}

// withoutLine leaves out the line in the middle.
func withoutLine(content []byte) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	return bytes.Join(slices.Delete(lines, len(lines)/2, len(lines)/2+1), nil)
}

// FuzzDifferential changes bodies, their content type, the settings (and which of them a reload
// changes) and the order of events. An input that is too long is cut, so that each execution is a
// comparison.
func FuzzDifferential(f *testing.F) {
	z := newFuzzed(f)
	script := []byte{0, 1, 8, 4, 0}
	for i, b := range append(textBodies(), protoBodies()...) {
		content := []byte(b.content)
		if len(content) > 4096 {
			continue
		}
		f.Add(uint64(0), uint32(0), b.kind, content, []byte(b.without().content), script)
		f.Add(uint64(i)*0x9e3779b97f4a7c15, uint32(1<<uint(i%32)), b.kind, content, []byte("a 1\nb{x=\"y\"} 2 946684000000\n"), []byte{0, 1, 0xc2, 5, 0xe0, 0xa6})
	}
	f.Fuzz(func(t *testing.T, settings uint64, reloaded uint32, kind string, first, second, script []byte) {
		if len(script) == 0 {
			script = []byte{0}
		}
		script = script[:min(len(script), 6)]
		keepsCache := reloaded != 0 && slices.ContainsFunc(script, func(b byte) bool { return b/32 == actReload })
		if keepsCache { // a marker that the storage does not take fails the scrape that writes it, and that is another one
			first, second = withoutMarkerFaults(first), withoutMarkerFaults(second)
		}
		first, second, kind = first[:min(len(first), 4096)], second[:min(len(second), 4096)], sendable(kind)
		config, set := z.config(settings)
		if bytes.Contains(slices.Concat(first, second), []byte("# {")) {
			set.parseStartTimestamps = false // Prometheus' loop can hang in its OpenMetrics parser then, at a broken exemplar
		}
		other, _ := z.config(settings ^ uint64(reloaded))
		if keepsCache {
			// The loops end series at other times then, and a timestamp of the target's own can be
			// before the one end and after the other.
			config.ScrapeConfigs[0].HonorTimestamps, other.ScrapeConfigs[0].HonorTimestamps = false, false
			set.synthesis = false // begins anew where Prometheus forgets, see TestDeliberateDifferences
		}
		both := slices.Concat(first, second)
		if set.typeAndUnitLabels || bytes.Contains(both, []byte("le=\"")) || bytes.Contains(both, []byte("quantile=\"")) {
			for i, b := range script { // see TestDeliberateDifferences
				if b/32 == actForget {
					script[i] = b % 32
				}
			}
		}
		s := scenario{keepsCache: keepsCache, features: set, steps: z.steps(script, kind, first, second, [2]*promconfig.Config{config, other})}
		if keepsCache {
			s.steps = still(s.steps...)
		}
		s.check(t)
	})
}

func withoutMarkerFaults(content []byte) []byte {
	return bytes.ReplaceAll(content, []byte("marker"), []byte("taken!"))
}

// sendable leaves out of a content type what no header may hold. What else one may hold is
// net/http's business.
func sendable(kind string) string {
	kept := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, kind)
	return kept[:min(len(kept), 200)]
}

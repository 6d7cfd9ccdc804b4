package scrape

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// job is one scrape config, prepared. A changed config is another job.
type job struct {
	config    *promconfig.ScrapeConfig
	options   *Options
	client    *client
	accept    string
	encoding  string
	fallback  string // media type
	maxSchema int32  // of native histograms
	// labelsAsWritten is Config.LabelsAsWritten.
	labelsAsWritten bool
	metrics         *jobMetrics

	// lastHeader is the header of the last request.
	lastHeader atomic.Pointer[requestHeader]
}

// newJob prepares a config. Release it.
func newJob(config *promconfig.ScrapeConfig, o *Options) (*job, error) {
	escaping, err := promconfig.ToEscapingScheme(config.MetricNameEscapingScheme, config.MetricNameValidationScheme)
	if err != nil {
		return nil, fmt.Errorf("choose escaping scheme of job %q: %w", config.JobName, err)
	}
	j := &job{
		config:    config,
		options:   o,
		accept:    acceptHeader(o.protocols(config), escaping),
		encoding:  acceptEncoding(config.EnableCompression, o.ZstdScrape),
		fallback:  config.ScrapeFallbackProtocol.HeaderMediaType(),
		maxSchema: schemaOf(config.NativeHistogramMinBucketFactor),
	}
	if j.client, err = j.clientFor(""); err != nil {
		return nil, fmt.Errorf("build HTTP client of job %q: %w", config.JobName, err)
	}
	j.metrics = o.Metrics.loops.job(jobKey{o.Instance, config.JobName})
	j.metrics.limit.Add(float64(config.TargetLimit))
	return j, nil
}

// Two features of Prometheus are other defaults of what a job and the global block may say. Defaults
// that nobody has replaced are told by their addresses, since what says the same is not one.

// protocols are those to ask for.
func (o *Options) protocols(config *promconfig.ScrapeConfig) []promconfig.ScrapeProtocol {
	if o.ProtobufFirst && len(config.ScrapeProtocols) > 0 && &config.ScrapeProtocols[0] == &promconfig.DefaultScrapeProtocols[0] {
		return promconfig.DefaultProtoFirstScrapeProtocols
	}
	return config.ScrapeProtocols
}

// extraMetrics reports whether the job's targets have the extra report series.
func (j *job) extraMetrics() bool {
	said := j.config.ExtraScrapeMetrics
	if said == nil || said == promconfig.DefaultGlobalConfig.ExtraScrapeMetrics {
		return j.options.ExtraScrapeMetrics
	}
	return *said
}

// clientFor returns the client of the targets behind a unix socket, or of all others. Release it.
func (j *job) clientFor(socket string) (*client, error) {
	if socket == "" && j.client != nil { // finding it by its config costs more than all else about a new target
		j.client.retain()
		return j.client, nil
	}
	return j.options.Shared.client(j.config.HTTPClientConfig, clientOptions{
		disableKeepAlives: j.options.HTTPDisableKeepAlives,
		idleTimeout:       j.options.HTTPIdleConnTimeout,
		socket:            socket,
	})
}

func (j *job) release() {
	j.metrics.limit.Sub(float64(j.config.TargetLimit))
	j.options.Metrics.loops.forgetJob(jobKey{j.options.Instance, j.config.JobName})
	j.client.release()
}

// same reports whether config means the same job. Where targets come from is not part of it.
func (j *job) same(config *promconfig.ScrapeConfig) bool {
	a, b := *j.config, *config
	a.ServiceDiscoveryConfigs, b.ServiceDiscoveryConfigs = nil, nil
	return reflect.DeepEqual(a, b)
}

// keepsCache reports whether what a target writes means the same under both jobs. A series keeps
// the type and unit labels that it was first seen with, so with these the cache is kept when
// Prometheus keeps it, and not more often.
func (j *job) keepsCache(old *job) bool {
	strictly := j.options.TypeAndUnitLabels
	return j.labelsAsWritten == old.labelsAsWritten && reflect.DeepEqual(meaning(j.config, strictly), meaning(old.config, strictly))
}

// meaning is a config without what is not about the samples of a target that both configs have;
// strictly, without what Prometheus says is not.
func meaning(config *promconfig.ScrapeConfig, strictly bool) promconfig.ScrapeConfig {
	m := *config
	m.ServiceDiscoveryConfigs = nil
	m.HTTPClientConfig = config_util.HTTPClientConfig{}
	m.ScrapeInterval, m.ScrapeTimeout = 0, 0
	m.SampleLimit = 0
	if !strictly {
		m.RelabelConfigs = nil // a target that both have came out equal
		m.TargetLimit, m.BodySizeLimit, m.KeepDroppedTargets = 0, 0, 0
		m.EnableCompression = false
		m.ScrapeFailureLogFile = ""
	}
	return m
}

// header returns the header of requests to targets with this timeout.
func (j *job) header(timeout time.Duration) *requestHeader {
	if h := j.lastHeader.Load(); h != nil && h.key.timeout == timeout {
		return h
	}
	agent := cmp.Or(j.options.UserAgent, promscrape.UserAgent)
	h := j.options.Shared.headers.get(headerKey{j.accept, j.encoding, agent, timeout})
	j.lastHeader.Store(h)
	return h
}

// acceptHeader lists protocols in falling preference, and anything else at the end.
func acceptHeader(protocols []promconfig.ScrapeProtocol, escaping model.EscapingScheme) string {
	var b strings.Builder
	weight := len(promconfig.ScrapeProtocolsHeaders) + 1
	for _, protocol := range protocols {
		b.WriteString(promconfig.ScrapeProtocolsHeaders[protocol])
		if protocol == promconfig.PrometheusText1_0_0 || protocol == promconfig.OpenMetricsText1_0_0 {
			b.WriteString(";" + model.EscapingKey + "=" + escaping.String())
		}
		fmt.Fprintf(&b, ";q=0.%d,", weight)
		weight--
	}
	fmt.Fprintf(&b, "*/*;q=0.%d", weight)
	return b.String()
}

func acceptEncoding(compress, zstd bool) string {
	switch {
	case !compress:
		return "identity"
	case zstd:
		return "zstd,gzip"
	default:
		return "gzip"
	}
}

// schemaOf is the finest schema whose buckets grow by at least factor; 0 and 1: any.
func schemaOf(factor float64) int32 {
	if factor <= 1 {
		return histogram.ExponentialSchemaMax
	}
	schema := math.Floor(-math.Log2(math.Log2(factor)))
	return int32(min(max(schema, float64(histogram.ExponentialSchemaMin)), float64(histogram.ExponentialSchemaMax)))
}

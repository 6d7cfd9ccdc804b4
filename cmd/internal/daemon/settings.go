package daemon

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/web"
)

// settings is the agent's config in force. It is replaced as a whole by a reload and may be read by
// anybody at any time.
type settings struct {
	current atomic.Pointer[config.Agent]
	checked checked
}

func newSettings(agent *config.Agent) *settings {
	s := &settings{}
	s.current.Store(agent)
	return s
}

func (s *settings) agent() *config.Agent { return s.current.Load() }

// instanceOptions are the rules for configs that come from outside.
func (s *settings) instanceOptions() config.InstanceOptions {
	agent := s.agent()
	return config.InstanceOptions{
		Global:       agent.Metrics.Global,
		AllowFiles:   agent.Metrics.ScrapingService.DangerousAllowReadingFiles,
		AllowAmbient: agent.Metrics.ScrapingService.AllowAmbientCredentials,
	}
}

// optionsOf are these rules for one config.
func (s *settings) optionsOf(name string) config.InstanceOptions {
	o := s.instanceOptions()
	o.Limits = s.agent().Metrics.ScrapingService.Limits.Of(name)
	return o
}

// uploads are what one client may upload.
func (s *settings) uploads() web.UploadLimits {
	service := s.agent().Metrics.ScrapingService
	return web.UploadLimits{PerSecond: uint64(service.UploadsPerSecond), BytesPerSecond: uint64(service.UploadBytesPerSecond)}
}

// parse is what the supervisor asks about every document: the local configs were validated with the
// main file.
func (s *settings) parse(document messages.Document) (*config.Instance, error) {
	if !document.Local {
		by := s.optionsOf(document.Name)
		if instance := s.checked.take(document.Name, string(document.Text), by); instance != nil {
			return instance, nil
		}
		return config.ParseInstance(document.Name, string(document.Text), by)
	}
	for _, instance := range s.agent().Metrics.Configs {
		if instance.Name == document.Name {
			return instance, nil
		}
	}
	return nil, fmt.Errorf("find config %q: it is not in the main file any more", document.Name)
}

// outline is the same about a document of the store that other nodes run.
func (s *settings) outline(document messages.Document) (*config.Instance, error) {
	by := s.optionsOf(document.Name)
	if instance := s.checked.take(document.Name, string(document.Text), by); instance != nil {
		return instance.Outline(), nil
	}
	return config.OutlineInstance(document.Name, string(document.Text), by)
}

// localDocuments are the configs of the main file, none if the scraping service is on.
func localDocuments(agent *config.Agent) []messages.Document {
	documents := make([]messages.Document, len(agent.Metrics.Configs))
	for i, instance := range agent.Metrics.Configs {
		documents[i] = messages.Document{Name: instance.Name, Text: messages.Text(instance.Text)}
	}
	return documents
}

// localTexts are the same by name, as a supervisor takes them.
func localTexts(agent *config.Agent) map[string]string {
	texts := map[string]string{}
	for _, d := range localDocuments(agent) {
		texts[d.Name] = string(d.Text)
	}
	return texts
}

// needsRestart names everything that a reload found changed and can't put in force. What it accepts
// is in force after a reload, as a whole.
func needsRestart(before, after *config.Agent) error {
	var changed []string
	compare := func(key string, before, after any) {
		if !reflect.DeepEqual(before, after) {
			changed = append(changed, key)
		}
	}
	compare("server.log_format", before.Server.LogFormat, after.Server.LogFormat)
	compare("server.allowed_hosts", before.Server.AllowedHosts, after.Server.AllowedHosts)
	compare("server.http_tls_config", before.Server.HTTPTLS, after.Server.HTTPTLS)
	compare("tracing", before.Tracing, after.Tracing)
	b, a := before.Metrics, after.Metrics
	compare("metrics.wal_directory", b.WALDirectory, a.WALDirectory)
	compare("metrics.wal_max_size", b.WALMaxSize, a.WALMaxSize)
	compare("metrics.wal_cleanup_age", b.WALCleanupAge, a.WALCleanupAge)
	compare("metrics.http_disable_keepalives", b.HTTPDisableKeepAlives, a.HTTPDisableKeepAlives)
	compare("metrics.http_idle_conn_timeout", b.HTTPIdleConnTimeout, a.HTTPIdleConnTimeout)
	compare("metrics.instance_restart_backoff", b.InstanceRestartBackoff, a.InstanceRestartBackoff)
	compare("metrics.scraping_service.enabled", b.ScrapingService.Enabled, a.ScrapingService.Enabled)
	compare("metrics.scraping_service.reshard_interval", b.ScrapingService.ReshardInterval, a.ScrapingService.ReshardInterval)
	compare("metrics.scraping_service.allow_ambient_credentials", b.ScrapingService.AllowAmbientCredentials, a.ScrapingService.AllowAmbientCredentials)
	compare("metrics.scraping_service.when_isolated", b.ScrapingService.WhenIsolated, a.ScrapingService.WhenIsolated)
	compare("metrics.scraping_service.gossip", b.ScrapingService.Gossip, a.ScrapingService.Gossip)
	compare("metrics.scraping_service.replica_labels", b.ScrapingService.ReplicaLabels, a.ScrapingService.ReplicaLabels)
	compare("metrics.scraping_service.kvstore", b.ScrapingService.KVStore, a.ScrapingService.KVStore)
	compare("metrics.scraping_service.lifecycler", b.ScrapingService.Lifecycler, a.ScrapingService.Lifecycler)
	if len(changed) == 0 {
		return nil
	}
	return fmt.Errorf("%s can't be changed while the agent runs: restart it, or take the change back", strings.Join(changed, ", "))
}

// rulesDiffer says whether configs from outside have to be looked at again: under other rules they
// can mean something else, or be valid where they were not.
func rulesDiffer(before, after *config.Agent) bool {
	b, a := before.Metrics, after.Metrics
	return b.Global.Digest() != a.Global.Digest() ||
		!reflect.DeepEqual(b.ScrapingService.Limits, a.ScrapingService.Limits) ||
		b.ScrapingService.DangerousAllowReadingFiles != a.ScrapingService.DangerousAllowReadingFiles
}

// loadMetrics tell how the last load of agent.yaml went.
type loadMetrics struct {
	successful  prometheus.Gauge
	lastSuccess prometheus.Gauge
	failures    prometheus.Counter
	hash        *prometheus.GaugeVec
}

func newLoadMetrics(registerer prometheus.Registerer) *loadMetrics {
	m := &loadMetrics{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agent_config_last_load_successful", Help: "Whether the last load of the agent's config succeeded.",
		}),
		hash: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agent_config_hash", Help: "The hash of the agent's config in force.",
		}, []string{"sha256"}),
	}
	m.lastSuccess = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agent_config_last_load_success_timestamp_seconds", Help: "When the agent's config was last loaded with success.",
	})
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "agent_config_load_failures_total", Help: "Loads of the agent's config that failed.",
	})
	registerer.MustRegister(m.successful, m.hash, m.lastSuccess, m.failures)
	return m
}

func (m *loadMetrics) loaded(agent *config.Agent) {
	m.hash.Reset()
	m.hash.WithLabelValues(agent.Digest().String()).Set(1)
	m.successful.Set(1)
	m.lastSuccess.SetToCurrentTime()
}

func (m *loadMetrics) refused() {
	m.successful.Set(0)
	m.failures.Inc()
}

func logWarnings(logger *zap.Logger, agent *config.Agent) {
	for _, warning := range agent.Warnings {
		logger.Warn("config warning", zap.String("reason", warning))
	}
}

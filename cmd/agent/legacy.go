package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/config"
)

// kindOfFlag is how the value of a flag of Grafana Agent becomes one of the main file.
type kindOfFlag uint8

const (
	plainValue kindOfFlag = iota // a number or a duration
	textValue
	switchValue // true or false; true if only the flag is given
	listValue   // may be given several times
)

// legacyFlag is a flag of Grafana Agent that sets a key of the main file.
type legacyFlag struct {
	path string
	kind kindOfFlag
}

// legacyFlags are the flags of Grafana Agent by which a scraping service was configured without a file.
func legacyFlags() map[string]legacyFlag {
	flags := map[string]legacyFlag{
		"metrics.wal-cleanup-age":          {"metrics.wal_cleanup_age", plainValue},
		"metrics.wal-cleanup-period":       {"metrics.wal_cleanup_period", plainValue},
		"metrics.instance-restart-backoff": {"metrics.instance_restart_backoff", plainValue},
	}
	service := map[string]legacyFlag{
		"enabled":                            {"enabled", switchValue},
		"reshard-interval":                   {"reshard_interval", plainValue},
		"reshard-timeout":                    {"reshard_timeout", plainValue},
		"cluster-reshard-event-timeout":      {"cluster_reshard_event_timeout", plainValue},
		"ring.heartbeat-timeout":             {"lifecycler.ring.heartbeat_timeout", plainValue},
		"distributor.replication-factor":     {"lifecycler.ring.replication_factor", plainValue},
		"distributor.zone-awareness-enabled": {"lifecycler.ring.zone_awareness_enabled", switchValue},
		"distributor.excluded-zones":         {"lifecycler.ring.excluded_zones", textValue},
		"num-tokens":                         {"lifecycler.num_tokens", plainValue},
		"heartbeat-period":                   {"lifecycler.heartbeat_period", plainValue},
		"join-after":                         {"lifecycler.join_after", plainValue},
		"observe-period":                     {"lifecycler.observe_period", plainValue},
		"min-ready-duration":                 {"lifecycler.min_ready_duration", plainValue},
		"final-sleep":                        {"lifecycler.final_sleep", plainValue},
		"tokens-file-path":                   {"lifecycler.tokens_file_path", textValue},
		"lifecycler.interface":               {"lifecycler.interface_names", listValue},
		"lifecycler.addr":                    {"lifecycler.address", textValue},
		"lifecycler.port":                    {"lifecycler.port", plainValue},
		"lifecycler.ID":                      {"lifecycler.id", textValue},
		"availability-zone":                  {"lifecycler.availability_zone", textValue},
		"unregister-on-shutdown":             {"lifecycler.unregister_on_shutdown", switchValue},
		"readiness-check-ring-health":        {"lifecycler.readiness_check_ring_health", switchValue},
		"enable-inet6":                       {"lifecycler.enable_inet6", switchValue},
	}
	for name, flag := range storeFlags() {
		service["config-store."+name] = legacyFlag{"kvstore." + flag.path, flag.kind}
		service[name] = legacyFlag{"lifecycler.ring.kvstore." + flag.path, flag.kind}
	}
	for name, flag := range service {
		for _, prefix := range []string{"metrics.service.", "prometheus.service."} {
			flags[prefix+name] = legacyFlag{"metrics.scraping_service." + flag.path, flag.kind}
		}
	}
	return flags
}

// storeFlags are those of one kvstore block.
func storeFlags() map[string]legacyFlag {
	return map[string]legacyFlag{
		"store":                         {"store", textValue},
		"prefix":                        {"prefix", textValue},
		"consul.hostname":               {"consul.host", textValue},
		"consul.acl-token":              {"consul.acl_token", textValue},
		"consul.client-timeout":         {"consul.http_client_timeout", plainValue},
		"consul.consistent-reads":       {"consul.consistent_reads", switchValue},
		"consul.watch-rate-limit":       {"consul.watch_rate_limit", plainValue},
		"consul.watch-burst-size":       {"consul.watch_burst_size", plainValue},
		"consul.cas-retry-delay":        {"consul.cas_retry_delay", plainValue},
		"etcd.endpoints":                {"etcd.endpoints", listValue},
		"etcd.dial-timeout":             {"etcd.dial_timeout", plainValue},
		"etcd.max-retries":              {"etcd.max_retries", plainValue},
		"etcd.tls-enabled":              {"etcd.tls_enabled", switchValue},
		"etcd.tls-cert-path":            {"etcd.tls_cert_path", textValue},
		"etcd.tls-key-path":             {"etcd.tls_key_path", textValue},
		"etcd.tls-ca-path":              {"etcd.tls_ca_path", textValue},
		"etcd.tls-server-name":          {"etcd.tls_server_name", textValue},
		"etcd.tls-insecure-skip-verify": {"etcd.tls_insecure_skip_verify", switchValue},
		"etcd.tls-cipher-suites":        {"etcd.tls_cipher_suites", textValue},
		"etcd.tls-min-version":          {"etcd.tls_min_version", textValue},
		"etcd.username":                 {"etcd.username", textValue},
		"etcd.password":                 {"etcd.password", textValue},
	}
}

// withoutEffect are flags of Grafana Agent that are accepted, each with what became of it. A
// trailing dot or dash stands for all flags that begin so.
var withoutEffect = []struct {
	name, why string
	isSwitch  bool
}{
	{"server.grpc.enable-tls", "there is no gRPC listener", true},
	{"server.grpc.tls-enabled", "there is no gRPC listener", true},
	{"server.grpc.", "there is no gRPC listener", false},
	{"server.http.network", "the listener takes the family of its address", false},
	{"server.http.in-memory-addr", "the agent makes no connections to itself", false},
	{"server.register-instrumentation", "/metrics and /debug/pprof are always served", true},
	{"server.log.source-ips.enabled", "the address of a client is in each request's debug line", true},
	{"server.log.source-ips.", "the address of a client is in each request's debug line", false},
	{"disable-reporting", "this agent reports nothing to anybody", true},
	{"disable-support-bundle", "the support bundle holds no secrets", true},
	{"metrics.service-client.", "nodes ask each other over HTTP, not gRPC", false},
	{"metrics.service.grpc-", "nodes ask each other over HTTP, not gRPC", false},
	{"metrics.service.backoff-", "nodes ask each other over HTTP, not gRPC", false},
	{"metrics.service.tls-", "nodes ask each other over HTTP, not gRPC", false},
	{"metrics.service.config-store.multi.", "there is one store", false},
	{"metrics.service.multi.", "there is one store", false},
	{"config.url.", "the config is read from a file", false},
}

// legacy takes Grafana Agent's flags and their values off a command line.
func (f *flags) legacy(args []string) (kept []string, err error) {
	known := legacyFlags()
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		flag, sets := known[name]
		why, isSwitch, ignored := ignoredFlag(name)
		if !strings.HasPrefix(args[i], "-") || !sets && !ignored {
			kept = append(kept, args[i])
			continue
		}
		if isSwitch = isSwitch || sets && flag.kind == switchValue; !hasValue && !isSwitch {
			if i++; i == len(args) {
				return nil, fmt.Errorf("flag needs an argument: -%s", name)
			}
			value = args[i]
		} else if !hasValue {
			value = "true"
		}
		if !sets {
			f.ignored = append(f.ignored, fmt.Sprintf("-%s: %s", name, why))
			continue
		}
		if flag.kind == switchValue {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("invalid boolean value %q for -%s", value, name)
			}
			value = strconv.FormatBool(on)
		}
		f.overrides = append(f.overrides, config.Override{
			Flag: "-" + name, Path: flag.path, Value: value, Text: flag.kind == textValue || flag.kind == listValue, Append: flag.kind == listValue,
		})
	}
	return kept, nil
}

func ignoredFlag(name string) (why string, isSwitch, ignored bool) {
	for _, flag := range withoutEffect {
		below := strings.HasSuffix(flag.name, ".") || strings.HasSuffix(flag.name, "-")
		if name == flag.name || below && strings.HasPrefix(name, flag.name) {
			return flag.why, flag.isSwitch, true
		}
	}
	return "", false, false
}

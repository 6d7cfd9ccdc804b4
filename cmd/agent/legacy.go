package main

import (
	"flag"
	"fmt"
	"slices"
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

// ignoredFlags are flags of Grafana Agent that are accepted without an effect.
type ignoredFlags struct {
	// prefixes are what the names begin with; a family may have been registered under several.
	prefixes []string
	why      string // what became of them
	// switches and values are the rest of the names, separated by spaces. Only a value takes the
	// argument after it.
	switches, values string
	// open families have other names in some versions. Nobody knows what these take, so they are
	// accepted only in the form -name=value.
	open bool
}

// withoutEffect are all ignored flags, as Grafana Agent and the dskit library registered them.
func withoutEffect() []ignoredFlags {
	const noGRPC = "nodes ask each other over HTTP, not gRPC"
	client := ignoredFlags{
		why:      noGRPC,
		switches: "grpc-use-gzip-compression backoff-on-ratelimits tls-enabled tls-insecure-skip-verify",
		values: "grpc-max-recv-msg-size grpc-max-send-msg-size grpc-compression grpc-client-rate-limit grpc-client-rate-limit-burst" +
			" backoff-min-period backoff-max-period backoff-retries initial-stream-window-size initial-connection-window-size" +
			" connect-timeout connect-backoff-base-delay connect-backoff-max-delay" +
			" tls-cert-path tls-key-path tls-ca-path tls-server-name tls-cipher-suites tls-min-version",
	}
	ofClient, ofService := client, client
	ofClient.prefixes, ofClient.open = []string{"metrics.service-client.", "prometheus.service-client."}, true
	ofService.prefixes = []string{"metrics.service.", "prometheus.service."} // other flags there have an effect
	return []ignoredFlags{
		{
			prefixes: []string{"server.grpc."}, why: "there is no gRPC listener", open: true,
			switches: "enable-tls tls-enabled keepalive.ping-without-stream-allowed",
			values: "address network in-memory-addr conn-limit max-recv-msg-size-bytes max-send-msg-size-bytes max-concurrent-streams" +
				" keepalive.max-connection-idle keepalive.max-connection-age keepalive.max-connection-age-grace keepalive.time keepalive.timeout" +
				" keepalive.min-time-between-pings",
		},
		{prefixes: []string{"server.http."}, why: "the listener takes the family of its address", values: "network"},
		{prefixes: []string{"server.http."}, why: "the agent makes no connections to itself", values: "in-memory-addr"},
		{prefixes: []string{"server."}, why: "/metrics and /debug/pprof are always served", switches: "register-instrumentation"},
		{
			prefixes: []string{"server.log.source-ips."}, why: "the address of a client is in each request's debug line", open: true,
			switches: "enabled", values: "header regex",
		},
		{prefixes: []string{""}, why: "this agent reports nothing to anybody", switches: "disable-reporting"},
		{prefixes: []string{""}, why: "the support bundle holds no secrets", switches: "disable-support-bundle"},
		ofClient,
		ofService,
		{
			prefixes: []string{
				"metrics.service.config-store.multi.", "metrics.service.multi.", "prometheus.service.config-store.multi.", "prometheus.service.multi.",
			},
			why: "there is one store", open: true, switches: "mirror-enabled", values: "primary secondary mirror-timeout",
		},
		{prefixes: []string{"config.url."}, why: "the config is read from a file", open: true, values: "basic-auth-user basic-auth-password-file"},
	}
}

// arity is whether a flag takes the argument after it.
type arity uint8

const (
	takesValue arity = iota
	takesNone
	takesWhatNobodyKnows
)

func ignoredFlag(name string) (why string, takes arity, ignored bool) {
	for _, family := range withoutEffect() {
		for _, prefix := range family.prefixes {
			rest, below := strings.CutPrefix(name, prefix)
			switch {
			case !below:
			case slices.Contains(strings.Fields(family.switches), rest):
				return family.why, takesNone, true
			case slices.Contains(strings.Fields(family.values), rest):
				return family.why, takesValue, true
			case family.open:
				return family.why, takesWhatNobodyKnows, true
			}
		}
	}
	return "", 0, false
}

// legacy takes Grafana Agent's flags and their values off a command line. own are the flags that
// are left on it. The flag package lets a flag without its value take the next flag for it, and a
// -config.file that is taken so leaves an agent that starts without its file. So a value that begins
// with a dash has to be written -name=value, whichever flag it is for.
func (f *flags) legacy(args []string, own *flag.FlagSet) (kept []string, err error) {
	known := legacyFlags()
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || name == "" {
			return append(kept, args[i:]...), nil // where the flag package ends, too
		}
		setting, sets := known[name]
		why, takes, ignored := ignoredFlag(name)
		mine := own.Lookup(name)
		switch {
		case sets && setting.kind == switchValue, mine != nil && isSwitch(mine), mine == nil && !sets && !ignored:
			takes = takesNone
		}
		written := args[i : i+1]
		switch {
		case hasValue:
		case takes == takesNone:
			value = "true"
		case takes == takesWhatNobodyKnows:
			return nil, fmt.Errorf("-%s: this agent does not know whether it takes a value; write -%s=VALUE, or leave it out, since it has no effect here", name, name)
		case i+1 == len(args) || strings.HasPrefix(args[i+1], "-"):
			// The argument is not shown: it may be a password.
			return nil, fmt.Errorf("flag needs an argument: -%s; a value that begins with a dash is written -%s=VALUE", name, name)
		default:
			written = args[i : i+2]
			i++
			value = args[i]
		}
		if !sets && !ignored {
			kept = append(kept, written...)
			continue
		}
		if !sets {
			f.ignored = append(f.ignored, fmt.Sprintf("-%s: %s", name, why))
			continue
		}
		if setting.kind == switchValue {
			on, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("invalid boolean value %q for -%s", value, name)
			}
			value = strconv.FormatBool(on)
		}
		f.overrides = append(f.overrides, config.Override{
			Flag: "-" + name, Path: setting.path, Value: value, Text: setting.kind == textValue || setting.kind == listValue, Append: setting.kind == listValue,
		})
	}
	return kept, nil
}

// isSwitch reports whether a flag does not take the argument after it.
func isSwitch(f *flag.Flag) bool {
	of, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && of.IsBoolFlag()
}

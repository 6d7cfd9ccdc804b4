package config

import (
	"cmp"
	"crypto/sha256"
	"time"

	"github.com/alecthomas/units"
	promcommon "github.com/prometheus/common/config"
	"github.com/prometheus/exporter-toolkit/web"
	promconfig "github.com/prometheus/prometheus/config"
)

// Agent is a validated agent.yaml. Immutable.
type Agent struct {
	Server  Server
	Metrics Metrics
	// Tracing is where spans are sent, as Prometheus has it; nil: there are none.
	Tracing *promconfig.TracingConfig
	// Warnings are sentences about keys that are accepted and have no effect here. The caller logs
	// each once.
	Warnings []string

	text string
}

// Digest covers the whole text, after variables were expanded.
func (a *Agent) Digest() Digest { return sha256.Sum256([]byte(a.text)) }

// Server is how the process logs and listens.
type Server struct {
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
	// LogFormat is logfmt or json.
	LogFormat string `yaml:"log_format"`
	// AllowedHosts are names by which the API may be asked, beside addresses and local names. They
	// are not looked at where the listener has TLS, whose certificate says as much.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// HTTPTLS makes the listener serve TLS; nil if the file has no http_tls_config.
	HTTPTLS *web.TLSConfig `yaml:"http_tls_config"`
}

// Metrics is the metrics block.
type Metrics struct {
	// WALDirectory is the directory that holds one WAL per instance. Absolute, or relative to the
	// working directory.
	WALDirectory string `yaml:"wal_directory"`
	// WALMaxSize bounds each instance's WAL, in bytes; 0 is no bound.
	WALMaxSize int64 `yaml:"-"`
	// Global is never nil.
	Global *Global `yaml:"-"`
	// Configs are the local instances, empty if the scraping service is enabled.
	Configs []*Instance `yaml:"-"`
	// ScrapingService is meaningful if its Enabled is true.
	ScrapingService ScrapingService `yaml:"scraping_service"`
	// InstanceRestartBackoff is the first step of the exponential backoff after an instance failed.
	InstanceRestartBackoff time.Duration `yaml:"instance_restart_backoff"`
	// HTTPDisableKeepAlives closes the connection to a target after each scrape.
	HTTPDisableKeepAlives bool `yaml:"http_disable_keepalives"`
	// HTTPIdleConnTimeout is how long a connection to a target is kept unused; 0 takes Prometheus'
	// own limit.
	HTTPIdleConnTimeout time.Duration `yaml:"http_idle_conn_timeout"`
	// InstanceMode is shared or distinct; it has no effect.
	InstanceMode string `yaml:"instance_mode"`
	// WALCleanupAge is how long the WAL of a config that is gone is kept after its last write.
	WALCleanupAge time.Duration `yaml:"wal_cleanup_age"`
	// Detail says how much the agent exposes about each config: DetailBasic or DetailFull.
	Detail string `yaml:"detail"`
	// Compatibility says of configs that don't say it themselves whose series theirs are.
	Compatibility Compatibility `yaml:"compatibility"`
	// WALCleanupPeriod has no effect.
	WALCleanupPeriod time.Duration `yaml:"wal_cleanup_period"`
}

// Values of Metrics.Detail.
const (
	DetailBasic = "basic"
	DetailFull  = "full"
)

// ScrapingService is how nodes share the configs in a store.
type ScrapingService struct {
	Enabled bool `yaml:"enabled"`
	// ReshardInterval is how often a node decides anew what it runs, in case an event was lost.
	ReshardInterval time.Duration `yaml:"reshard_interval"`
	// ReshardTimeout bounds one such round.
	ReshardTimeout time.Duration `yaml:"reshard_timeout"`
	// ClusterReshardEventTimeout bounds telling the others.
	ClusterReshardEventTimeout time.Duration `yaml:"cluster_reshard_event_timeout"`
	// DangerousAllowReadingFiles lets uploaded configs name files of this machine.
	DangerousAllowReadingFiles bool `yaml:"dangerous_allow_reading_files"`
	// AllowAmbientCredentials lets uploaded configs use what the machine is and has besides files:
	// its environment, its identity in a cloud, programs, local sockets.
	AllowAmbientCredentials bool `yaml:"allow_ambient_credentials"`
	// Limits are what one uploaded config may cost.
	Limits LimitsFile `yaml:"limits"`
	// UploadsPerSecond and UploadBytesPerSecond are what one client may upload, on average over a
	// minute. 0: no limit.
	UploadsPerSecond     uint             `yaml:"uploads_per_second"`
	UploadBytesPerSecond units.Base2Bytes `yaml:"upload_bytes_per_second"`
	// WhenIsolated is IsolatedContinue or IsolatedStop.
	WhenIsolated string `yaml:"when_isolated"`
	// Gossip is how nodes learn from each other who is alive.
	Gossip Gossip `yaml:"gossip"`
	// ReplicaLabels are the names and the values, with {{replica}} for its number, of the labels of
	// replicas; see WithReplicaLabels. Never nil.
	ReplicaLabels map[string]string `yaml:"replica_labels"`
	// KVStore holds the configs.
	KVStore KVStore `yaml:"kvstore"`
	// Lifecycler is how the node takes its place in the ring.
	Lifecycler Lifecycler `yaml:"lifecycler"`
}

// What a node does that reaches neither the store nor any other node.
const (
	IsolatedContinue = "continue"
	IsolatedStop     = "stop"
)

// The kinds of KVStore.
const (
	StoreEmbedded = "embedded"
	StoreEtcd     = "etcd"
	StoreConsul   = "consul"
	StoreInMemory = "inmemory"
)

// KVStore says which store is used, and under which prefix.
type KVStore struct {
	// Store is one of the Store constants.
	Store string `yaml:"store"`
	// Prefix is put before every key as it is.
	Prefix   string   `yaml:"prefix"`
	Embedded Embedded `yaml:"embedded"`
	Etcd     Etcd     `yaml:"etcd"`
	Consul   Consul   `yaml:"consul"`
}

// Etcd is a client's view of an etcd cluster.
type Etcd struct {
	Endpoints             []string          `yaml:"endpoints"`
	DialTimeout           time.Duration     `yaml:"dial_timeout"`
	MaxRetries            int               `yaml:"max_retries"`
	TLSEnabled            bool              `yaml:"tls_enabled"`
	TLSCertPath           string            `yaml:"tls_cert_path"`
	TLSKeyPath            string            `yaml:"tls_key_path"`
	TLSCAPath             string            `yaml:"tls_ca_path"`
	TLSServerName         string            `yaml:"tls_server_name"`
	TLSInsecureSkipVerify bool              `yaml:"tls_insecure_skip_verify"`
	Username              string            `yaml:"username"`
	Password              promcommon.Secret `yaml:"password"`
}

// Consul is a client's view of Consul.
type Consul struct {
	Host              string            `yaml:"host"`
	ACLToken          promcommon.Secret `yaml:"acl_token"`
	HTTPClientTimeout time.Duration     `yaml:"http_client_timeout"`
	ConsistentReads   bool              `yaml:"consistent_reads"`
	// WatchRateLimit is in requests per second; 0 is no limit.
	WatchRateLimit float64       `yaml:"watch_rate_limit"`
	WatchBurstSize int           `yaml:"watch_burst_size"`
	CASRetryDelay  time.Duration `yaml:"cas_retry_delay"`
}

// Lifecycler is how a node takes its place in the ring.
type Lifecycler struct {
	Ring Ring `yaml:"ring"`
	// NumTokens is 1 to maxTokens.
	NumTokens int `yaml:"num_tokens"`
	// HeartbeatPeriod has no effect.
	HeartbeatPeriod time.Duration `yaml:"heartbeat_period"`
	// JoinAfter is how long a node that is ready waits before it joins the ring.
	JoinAfter time.Duration `yaml:"join_after"`
	// ObservePeriod is how long a node that joins is shown as joining before it owns anything.
	ObservePeriod time.Duration `yaml:"observe_period"`
	// MinReadyDuration is how long everything has to be ready before the node says that it is.
	MinReadyDuration time.Duration `yaml:"min_ready_duration"`
	// InterfaceNames are where Address is looked for, if it is empty; EnableInet6 takes IPv6
	// addresses, too.
	InterfaceNames []string `yaml:"interface_names"`
	EnableInet6    bool     `yaml:"enable_inet6"`
	// FinalSleep is how long a process that has stopped everything waits before it ends, so that
	// its last metrics can be scraped.
	FinalSleep time.Duration `yaml:"final_sleep"`
	// TokensFilePath is where the tokens are kept over a restart; empty: .ring/tokens.json in the
	// WAL directory.
	TokensFilePath string `yaml:"tokens_file_path"`
	// AvailabilityZone is where the node fails together with others; may be empty.
	AvailabilityZone string `yaml:"availability_zone"`
	// UnregisterOnShutdown hands everything over to others at a shutdown. Without it a node that is
	// back in time goes on where it was.
	UnregisterOnShutdown bool `yaml:"unregister_on_shutdown"`
	// Address is what others reach this node at; empty: found by InterfaceNames.
	Address string `yaml:"address"`
	// Port is the port of Address; 0: the listener's.
	Port int `yaml:"port"`
	// ID names the node; empty: the host's name.
	ID string `yaml:"id"`
}

// Ring is where the members of the ring are recorded, and when one counts as gone.
type Ring struct {
	// KVStore is the configs' own store under another prefix.
	KVStore KVStore `yaml:"kvstore"`
	// HeartbeatTimeout is 0 if the file has none; see SessionTTL.
	HeartbeatTimeout time.Duration `yaml:"heartbeat_timeout"`
	// ReplicationFactor is how many members run each config, 1 to maxReplicas.
	ReplicationFactor int `yaml:"replication_factor"`
	// ZoneAwarenessEnabled places the replicas of a config in different zones, as far as there are
	// so many.
	ZoneAwarenessEnabled bool `yaml:"zone_awareness_enabled"`
}

// DefaultSessionTTL is the SessionTTL of a file without heartbeat_timeout.
const DefaultSessionTTL = 10 * time.Second

// SessionTTL is how long the store keeps what a node holds after the node was last heard of. At
// least minSessionTTL.
func (r Ring) SessionTTL() time.Duration { return cmp.Or(r.HeartbeatTimeout, DefaultSessionTTL) }

// agentFile is what agent.yaml is decoded into.
type agentFile struct {
	Server  Server                    `yaml:"server"`
	Metrics metricsFile               `yaml:"metrics"`
	Tracing *promconfig.TracingConfig `yaml:"tracing"`
}

// metricsFile is Metrics with the keys that need more than decoding.
type metricsFile struct {
	Metrics    `yaml:",inline"`
	WALMaxSize units.Base2Bytes `yaml:"wal_max_size"`
	Global     globalFile       `yaml:"global"`
	Configs    []instanceFile   `yaml:"configs"`
}

func defaultAgentFile() agentFile {
	store := KVStore{
		Store:    StoreEmbedded,
		Prefix:   "configurations/",
		Embedded: Embedded{ListenClient: "127.0.0.1:0", MaxSize: 2 * units.GiB},
		Etcd:     Etcd{DialTimeout: 10 * time.Second, MaxRetries: 10},
		Consul: Consul{
			Host: "localhost:8500", HTTPClientTimeout: 20 * time.Second,
			WatchRateLimit: 1, WatchBurstSize: 1, CASRetryDelay: time.Second,
		},
	}
	ringStore := store
	ringStore.Prefix = "collectors/"
	return agentFile{
		Server: Server{LogLevel: "info", LogFormat: "logfmt"},
		Metrics: metricsFile{
			WALMaxSize: 4 * units.GiB,
			Global:     globalFile{Prometheus: promconfig.DefaultGlobalConfig},
			Metrics: Metrics{
				WALDirectory:           "data-agent/",
				InstanceRestartBackoff: 5 * time.Second,
				InstanceMode:           "shared",
				Compatibility:          PrometheusSeries,
				WALCleanupAge:          12 * time.Hour,
				WALCleanupPeriod:       30 * time.Minute,
				Detail:                 DetailBasic,
				ScrapingService: ScrapingService{
					ReshardInterval:            time.Minute,
					ReshardTimeout:             30 * time.Second,
					ClusterReshardEventTimeout: 30 * time.Second,
					Limits:                     LimitsFile{Limits: defaultLimits()},
					UploadsPerSecond:           200,
					UploadBytesPerSecond:       4 * units.MiB,
					WhenIsolated:               IsolatedContinue,
					Gossip:                     Gossip{Enabled: true},
					KVStore:                    store,
					Lifecycler: Lifecycler{
						Ring:                 Ring{KVStore: ringStore, ReplicationFactor: 1},
						NumTokens:            128,
						HeartbeatPeriod:      5 * time.Second,
						UnregisterOnShutdown: true,
					},
				},
			},
		},
	}
}

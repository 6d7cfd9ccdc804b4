//go:build !light

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
)

// canary is in every value of the machine that a client could find by itself.
const canary = "cAnArY"

// machine is one on which everything that an uploaded config must not use is watched.
type machine struct {
	t        *testing.T
	dir      string
	uploader string // the address of a server of the config's author, who sees all requests to it

	mu   sync.Mutex
	seen []string // what was touched
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir()}
	uploader := httptest.NewServer(http.HandlerFunc(m.serveUploader))
	metadata := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { m.touch("metadata service: " + r.URL.Path) }))
	t.Cleanup(uploader.Close)
	t.Cleanup(metadata.Close)
	m.uploader = strings.TrimPrefix(uploader.URL, "http://")
	m.listen(m.path("docker.sock"))
	m.programs("az", "azd", "aws", "gcloud", "kubectl", "pwsh", "docker-credential-x", "process")
	m.files()
	m.environment(strings.TrimPrefix(metadata.URL, "http://"))
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) touch(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.seen, what) {
		m.seen = append(m.seen, what)
	}
}

// touched is what was touched so far.
func (m *machine) touched() []string {
	executed, _ := os.ReadFile(m.path("executed"))
	for name := range strings.FieldsSeq(string(executed)) {
		m.touch("program: " + name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

func (m *machine) serveUploader(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), canary) {
			m.touch("credentials sent in " + name)
		}
	}
	if strings.Contains(r.URL.String()+string(body), canary) {
		m.touch("credentials sent in a request")
	}
	w.WriteHeader(http.StatusNotFound)
}

func (m *machine) listen(socket string) {
	listener, err := net.Listen("unix", socket)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.touch("socket: " + filepath.Base(socket))
			_ = conn.Close()
		}
	}()
}

func (m *machine) programs(names ...string) {
	require.NoError(m.t, os.Mkdir(m.path("bin"), 0o755))
	for _, name := range names {
		script := fmt.Sprintf("#!/bin/sh\necho %s >> %s\necho '{\"accessToken\": \"%s\", \"expiresOn\": \"2099-01-01 00:00:00.000000\", \"expires_on\": 4070908800}'\n", name, m.path("executed"), canary)
		require.NoError(m.t, os.WriteFile(m.path("bin/"+name), []byte(script), 0o755))
	}
}

func (m *machine) files() {
	for name, text := range map[string]string{
		"token":            canary,
		".aws/credentials": "[default]\naws_access_key_id = " + canary + "\naws_secret_access_key = " + canary + "\naws_session_token = " + canary + "\n",
		".aws/config":      "[default]\nregion = us-east-1\ncredential_process = " + m.path("bin/process") + "\n",
		".config/gcloud/application_default_credentials.json": `{"type": "authorized_user", "client_id": "` + canary + `", "client_secret": "` + canary + `", "refresh_token": "` + canary + `"}`,
		".stackit/credentials.json":                           `{"STACKIT_SERVICE_ACCOUNT_TOKEN": "` + canary + `"}`,
		".ovh.conf":                                           "[default]\nendpoint=ovh-eu\napplication_key=" + canary + "\n",
	} {
		require.NoError(m.t, os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
		require.NoError(m.t, os.WriteFile(m.path(name), []byte(text), 0o600))
	}
}

func (m *machine) environment(metadata string) {
	host, port, _ := net.SplitHostPort(metadata)
	for name, value := range map[string]string{
		"HOME": m.dir, "PATH": m.path("bin") + ":/bin:/usr/bin",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + metadata, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://" + metadata + "/ecs",
		"AWS_EC2_METADATA_DISABLED": "", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
		"GCE_METADATA_HOST": metadata, "IDENTITY_ENDPOINT": "http://" + metadata + "/identity", "IDENTITY_HEADER": canary, "MSI_ENDPOINT": "http://" + metadata + "/msi",
		"OCI_METADATA_BASE_URL": "http://" + metadata, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port,
		"AZURE_FEDERATED_TOKEN_FILE": m.path("token"), "AZURE_AUTHORITY_HOST": "https://" + metadata,
		"OS_AUTH_URL": "http://" + metadata + "/openstack", "OS_DOMAIN_NAME": canary, "LINODE_URL": "http://" + metadata,
		"CONSUL_HTTP_ADDR": metadata, "CONSUL_HTTP_TOKEN_FILE": m.path("token"), "NOMAD_ADDR": "http://" + metadata, "DOCKER_HOST": "unix://" + m.path("docker.sock"),
		"STACKIT_TOKEN_BASEURL": "http://" + metadata, "GOOGLE_APPLICATION_CREDENTIALS": m.path(".config/gcloud/application_default_credentials.json"),
	} {
		m.t.Setenv(name, value)
	}
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NOMAD_TOKEN", "NOMAD_REGION", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME",
		"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "LINODE_TOKEN", "IONOS_TOKEN", "IONOS_PASSWORD", "STACKIT_SERVICE_ACCOUNT_TOKEN",
		"SCW_SECRET_KEY", "HCLOUD_TOKEN", "VULTR_API_KEY", "DIGITALOCEAN_TOKEN", "OVH_CONSUMER_KEY", "OSC_SECRET_KEY", "CONSUL_NAMESPACE", "CONSUL_PARTITION",
	} {
		m.t.Setenv(name, canary)
	}
}

// uuid is what Azure wants names to look like.
const uuid = "00000000-0000-0000-0000-000000000000"

// ownMeans are configs that bring everything themselves, at least one for each discovery and
// receiver. S is the uploader's server.
var ownMeans = []string{
	"aws_sd_configs: [{role: ec2, region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"azure_sd_configs: [{subscription_id: s, tenant_id: " + uuid + ", client_id: c, client_secret: d, proxy_url: 'http://S'}]",
	"consul_sd_configs: [{server: S}]",
	"digitalocean_sd_configs: [{bearer_token: x, proxy_url: 'http://S'}]",
	"dns_sd_configs: [{names: [a.invalid]}]",
	"docker_sd_configs: [{host: 'http://S'}]",
	"docker_sd_configs: [{host: 'tcp://S'}]",
	"dockerswarm_sd_configs: [{host: 'http://S', role: nodes}]",
	"ec2_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"ec2_sd_configs: [{region: r, access_key: a, secret_key: b, role_arn: 'arn:aws:iam::1:role/x', endpoint: 'http://S', proxy_url: 'http://S'}]",
	"ecs_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"elasticache_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"eureka_sd_configs: [{server: 'http://S'}]",
	"hetzner_sd_configs: [{role: hcloud, bearer_token: x, proxy_url: 'http://S'}]",
	"http_sd_configs: [{url: 'http://S/'}]",
	"ionos_sd_configs: [{datacenter_id: d, bearer_token: x, proxy_url: 'http://S'}]",
	"kubernetes_sd_configs: [{role: pod, api_server: 'http://S'}]",
	"kuma_sd_configs: [{server: 'http://S'}]",
	"lightsail_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"linode_sd_configs: [{bearer_token: x, proxy_url: 'http://S'}]",
	"marathon_sd_configs: [{servers: ['http://S']}]",
	"msk_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"nerve_sd_configs: [{servers: ['S'], paths: [/a]}]",
	"nomad_sd_configs: [{server: 'http://S'}]",
	"openstack_sd_configs: [{identity_endpoint: 'http://S/v3/', role: instance, region: r, username: u, password: p, domain_name: d}]",
	"outscale_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"ovhcloud_sd_configs: [{endpoint: 'http://S', application_key: a, application_secret: b, consumer_key: c, service: vps}]",
	"puppetdb_sd_configs: [{url: 'http://S', query: q}]",
	"rds_sd_configs: [{region: r, access_key: a, secret_key: b, endpoint: 'http://S'}]",
	"scaleway_sd_configs: [{role: instance, project_id: " + uuid + ", access_key: SCWXXXXXXXXXXXXXXXXX, secret_key: " + uuid + ", api_url: 'http://S'}]",
	"serverset_sd_configs: [{servers: ['S'], paths: [/a]}]",
	"stackit_sd_configs: [{project: " + uuid + ", region: r, endpoint: 'http://S'}]",
	"triton_sd_configs: [{account: a, dns_suffix: d, endpoint: S, version: 1, tls_config: {insecure_skip_verify: true}}]",
	"uyuni_sd_configs: [{server: 'http://S', username: u, password: p}]",
	"vultr_sd_configs: [{bearer_token: x, proxy_url: 'http://S'}]",
	"remote_write: [{url: 'http://S/'}]",
	"remote_write: [{url: 'http://S/', sigv4: {region: r, access_key: a, secret_key: b}}]",
	"remote_write: [{url: 'http://S/', azuread: {oauth: {client_id: " + uuid + ", client_secret: s, tenant_id: t}}}]",
}

// theMachines are configs that live on the machine they run on.
var theMachines = []string{
	"aws_sd_configs: [{role: ec2, region: r, endpoint: 'http://S'}]",
	"azure_sd_configs: [{subscription_id: s, authentication_method: SDK, proxy_url: 'http://S'}]",
	"azure_sd_configs: [{subscription_id: s, authentication_method: ManagedIdentity, proxy_url: 'http://S'}]",
	"azure_sd_configs: [{subscription_id: s, authentication_method: WorkloadIdentity, proxy_url: 'http://S'}]",
	"consul_sd_configs: [{server: 'unix:DOCKERSOCK'}]",
	"docker_sd_configs: [{host: 'unix:DOCKERSOCK'}]",
	"dockerswarm_sd_configs: [{host: 'unix:DOCKERSOCK', role: nodes}]",
	"ec2_sd_configs: [{region: r, endpoint: 'http://S'}]",
	"ec2_sd_configs: [{region: r, access_key: a, endpoint: 'http://S'}]",
	"file_sd_configs: [{files: [TOKEN.json]}]",
	"gce_sd_configs: [{project: p, zone: z}]",
	"kubernetes_sd_configs: [{role: pod}]",
	"nomad_sd_configs: [{server: 'unix:DOCKERSOCK'}]",
	"oci_sd_configs: [{auth: instance_principal, region: r, compartments: [c]}]",
	"oci_sd_configs: [{tenancy: t, user: u, fingerprint: f, key_file: TOKEN, region: r}]",
	"openstack_sd_configs: [{role: instance, region: r}]",
	"http_sd_configs: [{url: 'http://S/', proxy_from_environment: true}]",
	"remote_write: [{url: 'http://S/', sigv4: {region: r}}]",
	"remote_write: [{url: 'http://S/', sigv4: {region: r, profile: default, access_key: a, secret_key: b}}]",
	"remote_write: [{url: 'http://S/', google_iam: {}}]",
	"remote_write: [{url: 'http://S/', azuread: {sdk: {tenant_id: t}}}]",
	"remote_write: [{url: 'http://S/', azuread: {managed_identity: {}}}]",
	"remote_write: [{url: 'http://S/', azuread: {workload_identity: {client_id: " + uuid + ", tenant_id: " + uuid + "}}}]",
}

func (m *machine) text(of string) string {
	of = strings.NewReplacer("'S'", "'"+m.uploader+"'", "//S", "//"+m.uploader, ": S}", ": "+m.uploader+"}", ": S,", ": "+m.uploader+",",
		"DOCKERSOCK", "//"+m.path("docker.sock"), "TOKEN", m.path("token")).Replace(of)
	if strings.HasPrefix(of, "remote_write") {
		return of
	}
	return "scrape_configs: [{job_name: a, " + of + "}]"
}

// run does for some seconds what an instance does with its discoveries and endpoints.
func (m *machine) run(instances ...*config.Instance) {
	registry := prometheus.NewRegistry()
	metrics, err := discovery.CreateAndRegisterSDMetrics(registry)
	require.NoError(m.t, err)
	ctx, cancel := context.WithTimeout(m.t.Context(), 4*time.Second)
	defer cancel()
	var running sync.WaitGroup
	for i, instance := range instances {
		for _, job := range instance.ScrapeConfigs {
			for _, c := range job.ServiceDiscoveryConfigs {
				running.Go(func() { discover(ctx, c, fmt.Sprint(i), metrics.MechanismMetrics[c.Name()]) })
			}
		}
		for _, endpoint := range instance.RemoteWrite {
			running.Go(func() { send(ctx, endpoint) })
		}
	}
	running.Wait()
}

func discover(ctx context.Context, c discovery.Config, name string, metrics discovery.DiscovererMetrics) {
	discoverer, err := c.NewDiscoverer(discovery.DiscovererOptions{Logger: promslog.NewNopLogger(), Metrics: metrics, SetName: name})
	if err != nil {
		return
	}
	updates := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, updates)
	for {
		select {
		case <-ctx.Done():
			return
		case <-updates:
		}
	}
}

func send(ctx context.Context, c *promconfig.RemoteWriteConfig) {
	client, err := remote.NewWriteClient(c.Name, &remote.ClientConfig{
		URL: c.URL, Timeout: c.RemoteTimeout, HTTPClientConfig: c.HTTPClientConfig, SigV4Config: c.SigV4Config, AzureADConfig: c.AzureADConfig,
		GoogleIAMConfig: c.GoogleIAMConfig, Headers: c.Headers, WriteProtoMsg: c.ProtobufMessage,
	})
	if err == nil {
		_, _ = client.Store(ctx, []byte("x"), 0)
	}
}

func TestEveryDiscoveryHasASentinel(t *testing.T) {
	marshalled, err := new(promconfig.ScrapeConfig).MarshalYAML()
	require.NoError(t, err)
	built := reflect.TypeOf(marshalled).Elem() // Prometheus makes it with a field for each discovery
	for i := range built.NumField() {
		key, _, _ := strings.Cut(built.Field(i).Tag.Get("yaml"), ",")
		if !strings.HasSuffix(key, "_sd_configs") {
			continue
		}
		key += ":"
		require.True(t, slices.ContainsFunc(append(slices.Clone(ownMeans), theMachines...), func(text string) bool { return strings.HasPrefix(text, key) }),
			"%s is in neither list: add a config that brings its own means, or one that lives on the machine", key)
	}
}

func TestNoUploadedConfigTouchesTheMachine(t *testing.T) {
	m := newMachine(t)
	var accepted []*config.Instance
	for _, of := range theMachines {
		_, err := config.ParseInstance("app", m.text(of), config.InstanceOptions{})
		require.ErrorContains(t, err, "an uploaded config may not", of)
	}
	for _, of := range ownMeans {
		instance, err := config.ParseInstance("app", m.text(of), config.InstanceOptions{})
		require.NoError(t, err, of)
		accepted = append(accepted, instance)
	}
	currentEnvironment().seal()
	m.run(accepted...)
	require.Empty(t, m.touched())
}

// What the sentinels are worth: they see what the same machine gives away when it may.
func TestTheSentinelsSeeWhatIsTouched(t *testing.T) {
	m := newMachine(t)
	var allowed []*config.Instance
	for _, of := range append(slices.Clone(theMachines), "consul_sd_configs: [{server: S}]") {
		instance, err := config.ParseInstance("app", m.text(of), config.InstanceOptions{AllowFiles: true, AllowAmbient: true})
		require.NoError(t, err, of)
		allowed = append(allowed, instance)
	}
	m.run(allowed...)
	touched := strings.Join(m.touched(), "\n")
	for _, what := range []string{"socket: docker.sock", "metadata service", "credentials sent in X-Consul-Token", "credentials sent in X-Amz-Security-Token", "credentials sent in Authorization"} {
		require.Contains(t, touched, what)
	}
}

package daemon

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light" // discoveries that fail
)

// tellTale answers every request with an error that repeats it.
func tellTale(t *testing.T, status int) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, false)
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "text/plain")
		if status == http.StatusFound {
			w.Header().Set("Location", "http://u:cAnArY99x@127.0.0.1:1/?x=cAnArY98x")
		}
		w.WriteHeader(status)
		// Errors quote the first line.
		_, _ = io.WriteString(w, "I don't like "+strings.ReplaceAll(strings.ReplaceAll(string(dump), "\r", ""), "\n", " | ")+r.Form.Encode())
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// secretive is a config that fails in every way, with a secret of its own in every place that can
// have one.
const secretive = `
remote_flush_deadline: 1s
scrape_configs:
- job_name: refused
  params: {token: [cAnArY01x], any: [cAnArY02x]}
  basic_auth: {username: visible, password: cAnArY03x}
  http_headers: {X-JWT: {values: [cAnArY04x]}, x-honeycomb-team: {secrets: [cAnArY05x]}}
  static_configs: [{targets: ["ECHO", "127.0.0.1:1"], labels: {__tmp_k: cAnArY06x, __param_k: cAnArY07x, api_key: cAnArY08x}}]
  relabel_configs: [{target_label: __param_l, replacement: cAnArY09x}]
  metric_relabel_configs: [{target_label: __tmp_m, regex: "(cAnArY10x)?", replacement: cAnArY11x}]
- job_name: bearer
  authorization: {credentials: cAnArY12x}
  proxy_url: http://visible:cAnArY13x@ECHO/
  static_configs: [{targets: ["visible.invalid:80"]}]
- job_name: oauth
  oauth2: {client_id: visible, client_secret: cAnArY14x, token_url: "http://visible:cAnArY15x@ECHO/token?t=cAnArY16x", endpoint_params: {assertion: cAnArY17x}}
  static_configs: [{targets: ["ECHO"]}]
- job_name: user
  static_configs: [{targets: ["visible:cAnArY18x@ECHO"]}]
- job_name: moved
  params: {k: [cAnArY19x]}
  static_configs: [{targets: ["MOVED"]}]
- job_name: discovered
  http_sd_configs:
  - {url: "http://cAnArY20x:cAnArY21x@ECHO/sd?t=cAnArY22x", refresh_interval: 1s}
  - {url: "http://127.0.0.1:1/sd?t=cAnArY23x", bearer_token: cAnArY24x, refresh_interval: 1s}
  consul_sd_configs:
  - {server: "ECHO", token: cAnArY25x, username: visible, password: cAnArY26x}
  - {server: "127.0.0.1:1", token: cAnArY27x}
remote_write:
- {name: a, url: "http://visible:cAnArY28x@ECHO/write?t=cAnArY29x", headers: {X-Auth: cAnArY30x, x-honeycomb-team: cAnArY31x}}
- {name: b, url: "http://127.0.0.1:1/write?t=cAnArY32x", bearer_token: cAnArY33x}
- {name: c, url: "http://MOVED/write?t=cAnArY34x", basic_auth: {username: visible, password: cAnArY35x}}
- {name: d, url: "http://BUSY/write?t=cAnArY36x", headers: {X-JWT: cAnArY37x}, queue_config: {min_backoff: 30ms, max_backoff: 50ms}}
- {name: e, url: "http://ECHO/", sigv4: {region: r, access_key: cAnArY38x, secret_key: cAnArY39x}}
- {name: f, url: "http://ECHO/", oauth2: {client_id: visible, client_secret: cAnArY40x, token_url: "http://ECHO/?x=cAnArY41x"}}
`

func TestNothingThatLeavesTheProcessHoldsASecretOfAConfig(t *testing.T) {
	agent := load(t, fmt.Sprintf("server: {log_level: debug}\nmetrics: {wal_directory: %s, global: {scrape_interval: 1s, scrape_timeout: 1s}, scraping_service: {enabled: true, kvstore: {store: inmemory}}}", t.TempDir()))
	r := startDaemon(t, Options{Agent: agent, ReadAPI: true, ShutdownTimeout: 2 * time.Second})
	defer func() { _ = r.end(t) }()
	text := strings.NewReplacer("ECHO", tellTale(t, http.StatusBadRequest), "MOVED", tellTale(t, http.StatusFound), "BUSY", tellTale(t, http.StatusServiceUnavailable)).Replace(secretive)
	answer := func(method, path, body string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, r.base+path, strings.NewReader(body))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		all, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(all)
	}
	require.Contains(t, answer("PUT", "/agent/api/v1/config/app", text), "success")
	// All targets have failed, and all endpoints.
	require.Eventually(t, func() bool {
		return strings.Count(answer("GET", "/agent/api/v1/metrics/targets", ""), `"state":"down"`) >= 6 && strings.Count(r.log.String(), "level=warn") > 5
	}, patience, 50*time.Millisecond, "everything fails")

	outputs := map[string]string{"the log": "", "a refused upload": answer("PUT", "/agent/api/v1/config/b", "remote_write: [{url: 'http://u:cAnArY50x@h:x/'}]")}
	for _, path := range []string{
		"/", "/metrics", "/-/ready", "/-/config", "/debug/ring", "/debug/cluster", "/agent/api/v1/configs", "/agent/api/v1/configs/app", "/agent/api/v1/metrics/instances/status",
		"/agent/api/v1/metrics/targets", "/agent/api/v1/cluster", "/agent/api/v1/cluster/targets", "/agent/api/v1/cluster/instances", "/agent/api/v1/cluster/units",
		"/debug/pprof/goroutine?debug=2", "/configs", "/configs/app", "/targets", "/receivers", "/receivers/destinations", "/cluster", "/discovery", "/discovery?config=app", "/status",
		"/?format=json", "/configs?format=json", "/configs/app?format=json", "/targets?format=json", "/receivers?format=json", "/discovery?config=app&format=json", "/status?format=json",
	} {
		outputs[path] = answer("GET", path, "")
	}
	for _, job := range []string{"refused", "bearer", "user", "moved"} {
		var listed struct {
			Data struct {
				Items []struct{ ID, Instance string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(answer("GET", "/targets?format=json&job="+job, "")), &listed))
		for _, target := range listed.Data.Items {
			where := "?config=" + target.Instance + "&id=" + target.ID
			outputs["a target of job "+job] = answer("GET", "/target"+where, "")
			outputs["what a target of job "+job+" answers"] = answer("POST", "/target"+where, "")
			outputs["the relabelling of a target of job "+job] = answer("GET", "/relabel"+where, "")
		}
	}
	require.Contains(t, outputs["what a target of job refused answers"], "400 Bad Request")
	bundle := answer("GET", "/-/support", "")
	archive, err := zip.NewReader(bytes.NewReader([]byte(bundle)), int64(len(bundle)))
	require.NoError(t, err)
	for _, file := range archive.File {
		f, err := file.Open()
		require.NoError(t, err)
		all, err := io.ReadAll(f)
		require.NoError(t, err)
		outputs["support: "+file.Name] = string(all)
	}
	outputs["the log"] = r.log.String()
	for where, output := range outputs {
		for at := range strings.SplitSeq(output, "cAnArY") {
			if len(at) < len(output) {
				t.Errorf("%s holds a secret after …%s", where, at[max(0, len(at)-200):])
				break
			}
		}
	}
	require.Contains(t, outputs["the log"], "I don't like", "what the receivers say is still there")
}

func TestNothingThatLeavesTheProcessHoldsASecretOfTheStore(t *testing.T) {
	for name, store := range map[string]string{
		"etcd":   "{store: etcd, etcd: {endpoints: ['127.0.0.1:1'], username: visible, password: cAnArY61x}}",
		"consul": "{store: consul, consul: {host: '127.0.0.1:1', acl_token: cAnArY62x}}",
	} {
		t.Run(name, func(t *testing.T) {
			agent := load(t, fmt.Sprintf(`server: {log_level: debug}
metrics:
  wal_directory: %s
  scraping_service:
    enabled: true
    gossip: {encryption_key: cAnArY63xAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}
    kvstore: %s
    lifecycler: {ring: {kvstore: %s}}
`, t.TempDir(), store, store))
			r := startDaemon(t, Options{Agent: agent, ReadAPI: true, ShutdownTimeout: time.Second})
			require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "127.0.0.1:1") }, patience, 20*time.Millisecond, "it says that the store is away")
			outputs := map[string]string{}
			for _, path := range []string{"/", "/metrics", "/-/ready", "/-/config", "/debug/ring", "/agent/api/v1/cluster", "/agent/api/v1/configs", "/status?format=json"} {
				_, outputs[path] = r.request(t, http.MethodGet, path)
			}
			_, outputs["a deletion"] = r.request(t, http.MethodDelete, "/agent/api/v1/config/x")
			require.Contains(t, outputs["/agent/api/v1/configs"], "error")
			_ = r.end(t)
			outputs["the log"] = r.log.String()
			for where, output := range outputs {
				require.NotContains(t, output, "cAnArY", where)
			}
		})
	}
}

package daemon

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

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

// everyPath asks for everything that can be asked for: what docs/openapi.yaml has, which a test of
// package web holds against the router, and what pages link to. It returns the paths of pages.
func everyPath(t *testing.T, get func(path string) string, outputs map[string]string) (pages map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/openapi.yaml")
	require.NoError(t, err)
	var doc struct{ Paths map[string]map[string]any }
	require.NoError(t, yaml.Unmarshal(text, &doc))
	next := []string{
		"/", "/-/config", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/relabel", "/upload", "/flow", "/status",
	}
	for path, methods := range doc.Paths {
		if methods["get"] != nil {
			next = append(next, strings.ReplaceAll(path, "{name}", "app"))
		}
	}
	const variants = 8 // of one path, with other parameters
	pages = map[string]bool{}
	times := map[string]int{}
	link := regexp.MustCompile(`(?:href|src|action)="(/[^"]*)"`)
	for len(next) > 0 {
		path := next[0]
		next = next[1:]
		_, asked := outputs[path]
		where, _, _ := strings.Cut(path, "?")
		switch where { // what changes something, has no end, or is asked elsewhere
		case "/-/reload", "/-/support", "/live", "/debug/pprof/profile", "/debug/pprof/trace":
			continue
		}
		if times[where]++; asked || times[where] > variants {
			continue
		}
		outputs[path] = get(path)
		if !strings.Contains(outputs[path], "<html") {
			continue
		}
		pages[where] = true
		for _, found := range link.FindAllStringSubmatch(outputs[path], -1) {
			target, _, _ := strings.Cut(html.UnescapeString(found[1]), "#")
			next = append(next, target)
		}
	}
	for _, page := range []string{
		"/configs", "/configs/app", "/targets", "/target", "/receivers", "/flow", "/cluster", "/discovery", "/relabel", "/status", "/upload",
	} {
		require.True(t, pages[page], "no page links to %s", page)
	}
	return pages
}

func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(all)
}

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
		return bodyOf(t, response)
	}
	require.Contains(t, answer("PUT", "/agent/api/v1/config/app", text), "success")
	// All targets have failed, and all endpoints.
	require.Eventually(t, func() bool {
		return strings.Count(answer("GET", "/agent/api/v1/metrics/targets", ""), `"state":"down"`) >= 6 && strings.Count(r.log.String(), "level=warn") > 5
	}, patience, 50*time.Millisecond, "everything fails")

	outputs := map[string]string{"the log": "", "a refused upload": answer("PUT", "/agent/api/v1/config/b", "remote_write: [{url: 'http://u:cAnArY50x@h:x/'}]")}
	// The history has a difference, and so has a text that is only checked.
	changed := strings.ReplaceAll(text, "cAnArY2", "cAnArY8")
	require.Contains(t, answer("PUT", "/agent/api/v1/config/app", changed), "success")
	form := url.Values{"name": {"app"}, "text": {"scrape_configs: [{job_name: visible}]\n"}, "do": {"check"}}
	checked, err := http.PostForm(r.base+"/upload", form)
	require.NoError(t, err)
	outputs["a text that is checked"] = bodyOf(t, checked)
	require.Contains(t, outputs["a text that is checked"], "&lt;secret&gt;", "the stored text that it would replace")
	for path := range everyPath(t, func(path string) string { return answer("GET", path, "") }, outputs) {
		outputs[path+"?format=json"] = answer("GET", path+"?format=json", "")
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
	t.Logf("%d outputs", len(outputs))
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

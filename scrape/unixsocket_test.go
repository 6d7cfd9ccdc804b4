package scrape

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// serveSocket answers on a unix socket and returns its path.
func serveSocket(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		_, _ = io.WriteString(w, body)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return path
}

func localSockets(o *Options) { o.LocalSockets = true }

// Whoever names the socket, a scraper that may not reach it says so and does not connect: the
// target is down, and its neighbours are not.
func TestASocketThatMayNotBeReachedIsNotDialled(t *testing.T) {
	dialled := make(chan struct{}, 100)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			dialled <- struct{}{}
			_ = conn.Close()
		}
	}()
	discovery := serve(t, "application/json", strings.ReplaceAll(`[{"targets": ["three:80"], "labels": {"__unix_socket__": "SOCKET"}}]`, "SOCKET", path))
	tcp := serve(t, textFormat, "metric 3\n")
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, strings.ReplaceAll(`
- {job_name: a, static_configs: [{targets: ["one:80"], labels: {__unix_socket__: SOCKET}}]}
- {job_name: b, static_configs: [{targets: ["two:80"]}], relabel_configs: [{target_label: "__unix_${1}", regex: (.*), replacement: SOCKET, source_labels: [job]},
    {source_labels: [x], regex: (.*), target_label: __unix_socket__, replacement: SOCKET}]}
- {job_name: c, http_sd_configs: [{url: "http://ADDR1/"}]}
- {job_name: d, static_configs: [{targets: [ADDR0]}]}
`, "SOCKET", path), tcp, discovery))
	for _, job := range []string{"a", "b", "c"} {
		eventually(t, func() bool { return len(m.find("up", "job", job)) > 0 }, "the target of job "+job+" is reported")
		require.Zero(t, m.find("up", "job", job)[0].v)
	}
	eventually(t, func() bool { return len(m.find("metric", "job", "d")) > 0 }, "the neighbour is scraped")
	require.Empty(t, dialled)
	for _, target := range s.Targets() {
		if target.Job != "d" {
			require.Contains(t, target.LastError, "may not reach local sockets")
		}
	}
}

func TestTargetsBehindUnixSockets(t *testing.T) {
	first, second := serveSocket(t, "metric 1\n"), serveSocket(t, "metric 2\n")
	tcp := serve(t, textFormat, "metric 3\n")
	text := `
- job_name: a
  static_configs:
  - {targets: [one], labels: {__unix_socket__: FIRST}}
  - {targets: ["two:81"], labels: {__unix_socket__: SECOND}}
- {job_name: b, static_configs: [{targets: [ADDR0]}]}
`
	text = strings.NewReplacer("FIRST", first, "SECOND", second).Replace(text)
	m := newMemory()
	s := newScraper(t, m, localSockets)
	run(t, s, configure(t, text, tcp))
	eventually(t, func() bool {
		return len(m.find("metric", "instance", "one")) > 0 && len(m.find("metric", "instance", "two:81")) > 0 &&
			len(m.find("metric", "job", "b")) > 0
	}, "all are scraped")
	require.Equal(t, 1.0, m.find("metric", "instance", "one")[0].v)
	require.Equal(t, 2.0, m.find("metric", "instance", "two:81")[0].v)
	require.Equal(t, 3.0, m.find("metric", "job", "b")[0].v)
}

func TestUnixSocketsMayHaveOneAddress(t *testing.T) {
	first, second := serveSocket(t, "metric 1\n"), serveSocket(t, "metric 2\n")
	m := newMemory()
	s := newScraper(t, m, localSockets)
	run(t, s, configure(t, strings.NewReplacer("FIRST", first, "SECOND", second).Replace(`
- job_name: a
  static_configs: [{targets: [one], labels: {__unix_socket__: FIRST}}]
- job_name: b
  static_configs: [{targets: [one], labels: {__unix_socket__: SECOND}}]
`)))
	eventually(t, func() bool { return len(m.find("metric", "job", "a")) > 0 && len(m.find("metric", "job", "b")) > 0 }, "both are scraped")
	require.Equal(t, 1.0, m.find("metric", "job", "a")[0].v)
	require.Equal(t, 2.0, m.find("metric", "job", "b")[0].v)
}

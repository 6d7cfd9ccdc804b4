package processtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// doFor is do with more patience than a request usually needs.
func (a *agent) doFor(limit time.Duration, method, path, body string) (int, string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, strings.NewReader(body))
	require.NoError(a.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	return response.StatusCode, string(text)
}

// doRaw sends a method and a path that no client would send.
func (a *agent) doRaw(methodAndPath string) (int, string) {
	a.t.Helper()
	host := strings.TrimPrefix(a.base, "http://")
	conn, err := net.Dial("tcp", host)
	require.NoError(a.t, err)
	defer conn.Close()
	require.NoError(a.t, conn.SetDeadline(time.Now().Add(patience)))
	body := "scrape_configs: []\n"
	_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", methodAndPath, host, len(body), body)
	require.NoError(a.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(a.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	return response.StatusCode, string(text)
}

// awaitMetric waits until a metric that begins with a prefix is positive.
func (a *agent) awaitMetric(prefix string) {
	a.t.Helper()
	eventually(a.t, func() bool {
		_, body := a.get("/metrics")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, prefix) && !strings.HasSuffix(strings.TrimSpace(line), " 0") {
				return true
			}
		}
		return false
	}, "the agent's metrics never show %s", prefix)
}

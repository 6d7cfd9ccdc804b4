package difftest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func withHeaders(content []byte, headers ...string) answer {
	return answer{header: append([]string{"Content-Type: " + typeText}, headers...), body: content}
}

func raw(parts ...string) answer { return answer{raw: []byte(strings.Join(parts, "")), hangUp: true} }

// answers are what a target may do other than to answer well. Each comes between two good scrapes.
func misbehaviours() map[string]answer {
	body := []byte("a 1\nb 2\nc 3\n")
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + typeText + "\r\n"
	bomb := gzipped(make([]byte, 4<<20))
	all := map[string]answer{
		"refused":                  {refuse: true},
		"hangs":                    {hang: true},
		"hangs in the headers":     {hang: true, raw: []byte(head)},
		"hangs in the body":        {hang: true, raw: []byte(head + "Content-Length: 9\r\n\r\na 1\n")},
		"slow but in time":         {wait: 4 * time.Second, header: []string{"Content-Type: " + typeText}, body: body},
		"slow":                     {wait: 7 * time.Second, header: []string{"Content-Type: " + typeText}, body: body},
		"a byte per second":        {drip: time.Second, header: []string{"Content-Type: " + typeText}, body: body},
		"hangs up at once":         raw(),
		"hangs up in the headers":  raw(head),
		"hangs up in the body":     {header: []string{"Content-Type: " + typeText}, body: body, length: 5, hangUp: true},
		"hangs up afterwards":      {header: []string{"Content-Type: " + typeText, "Connection: close"}, body: body, hangUp: true},
		"says too little":          {header: []string{"Content-Type: " + typeText}, body: body, length: -4, hangUp: true},
		"no length":                raw(head, "\r\n", string(body)),
		"chunks":                   raw(head, "Transfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n4\r\nb 2\n\r\n0\r\n\r\n"),
		"chunks with trailers":     raw(head, "Transfer-Encoding: chunked\r\n\r\n4;x=y\r\na 1\n\r\n0\r\nTrailer: x\r\n\r\n"),
		"chunks cut":               raw(head, "Transfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n9\r\nb 2"),
		"chunks broken":            raw(head, "Transfer-Encoding: chunked\r\n\r\nzz\r\na 1\n\r\n0\r\n\r\n"),
		"chunks too long":          raw(head, "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\na 1\n"),
		"chunk without end":        raw(head, "Transfer-Encoding: chunked\r\n\r\n4\r\na 1\nXX"),
		"not HTTP":                 raw("SSH-2.0-OpenSSH_9.2\r\n"),
		"HTTP 1.0":                 raw("HTTP/1.0 200 OK\r\nContent-Type: "+typeText+"\r\n\r\n", string(body)),
		"HTTP 2":                   raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"two lengths":              raw(head, "Content-Length: 4\r\nContent-Length: 8\r\n\r\n", string(body)),
		"two types":                raw(head, "Content-Type: text/html\r\nContent-Length: 4\r\n\r\na 1\n"),
		"endless headers":          raw(head, strings.Repeat("X-Header: "+strings.Repeat("x", 4096)+"\r\n", 3000), "\r\n", string(body)),
		"a nul in a header":        raw(head, "X: \x00\r\n\r\n", string(body)),
		"continue first":           raw("HTTP/1.1 100 Continue\r\n\r\n", head, "Content-Length: 4\r\n\r\na 1\n"),
		"hints for ever":           raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 12), head, "Content-Length: 4\r\n\r\na 1\n"),
		"switching protocols":      raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", string(body)),
		"bare line feeds":          raw("HTTP/1.1 200 OK\nContent-Type: " + typeText + "\nContent-Length: 4\n\na 1\n"),
		"no reason":                raw("HTTP/1.1 200\r\nContent-Type: " + typeText + "\r\nContent-Length: 4\r\n\r\na 1\n"),
		"another reason":           raw("HTTP/1.1 500 Oh No\r\nContent-Length: 0\r\n\r\n"),
		"a space before a colon":   raw("HTTP/1.1 200 OK\r\nContent-Type : " + typeText + "\r\nContent-Length: 4\r\n\r\na 1\n"),
		"a folded header":          raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain;\r\n version=0.0.4\r\nContent-Length: 4\r\n\r\na 1\n"),
		"lower case":               raw("HTTP/1.1 200 OK\r\ncontent-type: " + typeText + "\r\ncontent-length: 4\r\n\r\na 1\n"),
		"a negative length":        raw(head, "Content-Length: -4\r\n\r\na 1\n"),
		"length and chunks":        raw(head, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"),
		"gzip as transfer":         raw(head, "Transfer-Encoding: gzip, chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"),
		"close without closing":    {header: []string{"Content-Type: " + typeText, "Connection: close"}, body: body},
		"HTTP 1.0, kept alive":     {raw: []byte("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Type: " + typeText + "\r\nContent-Length: 4\r\n\r\na 1\n")},
		"HTTP 1.0, without length": {hang: true, raw: []byte("HTTP/1.0 200 OK\r\nContent-Type: " + typeText + "\r\n\r\na 1\n")},
		"HTTP 3":                   raw("HTTP/3.0 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"),
		"HTTP 0.9":                 raw("a 1\n"),
		"two answers":              {raw: []byte(strings.Repeat(head+"Content-Length: 4\r\n\r\na 1\n", 2))},
		"an endless body":          {drip: 10 * time.Millisecond, raw: []byte(head + "\r\n" + strings.Repeat("a 1\n", 1000))},
		"gzip":                     withHeaders(gzipped(body), "Content-Encoding: gzip"),
		"gzip, in upper case":      withHeaders(gzipped(body), "Content-Encoding: GZIP"),
		"gzip of nothing":          withHeaders(gzipped(nil), "Content-Encoding: gzip"),
		"gzip without a byte":      withHeaders(nil, "Content-Encoding: gzip"),
		"gzip in two members":      withHeaders(append(gzipped([]byte("a 1\n")), gzipped([]byte("b 2\n"))...), "Content-Encoding: gzip"),
		"gzip and garbage":         withHeaders(append(gzipped(body), "garbage"...), "Content-Encoding: gzip"),
		"gzip with a wrong sum":    withHeaders(broken(gzipped(body), 6), "Content-Encoding: gzip"),
		"gzip that is not":         withHeaders(body, "Content-Encoding: gzip"),
		"gzip not announced":       withHeaders(gzipped(body)),
		"gzip bomb":                withHeaders(bomb, "Content-Encoding: gzip"),
		"gzip twice":               withHeaders(gzipped(gzipped(body)), "Content-Encoding: gzip, gzip"),
		"identity":                 withHeaders(body, "Content-Encoding: identity"),
		"deflate":                  withHeaders(body, "Content-Encoding: deflate"),
		"zstd":                     withHeaders(zstandard(body), "Content-Encoding: zstd"),
		"zstd that is not":         withHeaders(body, "Content-Encoding: zstd"),
		"zstd cut":                 withHeaders(zstandard(body)[:7], "Content-Encoding: zstd"),
		"zstd bomb":                withHeaders(zstandard(make([]byte, 4<<20)), "Content-Encoding: zstd"),
		"redirect":                 {status: 302, header: []string{"Location: /other"}, perPath: map[string]answer{"/other": withHeaders(body)}},
		"redirect to another host": {status: 307, header: []string{"Location: http://two:81/other"}, perPath: map[string]answer{"/other": withHeaders(body)}},
		"redirect to itself":       {status: 301, header: []string{"Location: /metrics"}},
		"redirect to nowhere":      {status: 302},
		"redirect to a bad URL":    {status: 302, header: []string{"Location: http://[::"}},
		"redirect to a scheme":     {status: 302, header: []string{"Location: ftp://one/"}},
		"not modified":             {status: 304},
		"no content":               {status: 204},
		"partial content":          {status: 206, header: []string{"Content-Type: " + typeText}, body: body},
	}
	for _, status := range []int{201, 400, 401, 403, 404, 429, 500, 503, 599, 700} {
		all[fmt.Sprintf("status %d", status)] = answer{status: status, header: []string{"Content-Type: " + typeText}, body: body}
	}
	return all
}

// broken changes the byte that many from the end.
func broken(content []byte, fromEnd int) []byte {
	content[len(content)-fromEnd] ^= 0xff
	return content
}

func TestMisbehavingTargets(t *testing.T) {
	good := plain("a 1\nb 2\nd 4\n")
	for what, bad := range misbehaviours() {
		t.Run(what, func(t *testing.T) {
			for _, config := range []string{
				job("extra_scrape_metrics: true"),
				job("body_size_limit: 1MB", "extra_scrape_metrics: true"),
				job("body_size_limit: 12B", "follow_redirects: false", "extra_scrape_metrics: true"),
				job("scheme: https", "scrape_timeout: 3s"),
			} {
				for _, zstd := range []bool{false, true} {
					scenario{features: features{zstd: zstd}, steps: []step{
						{config: config, answers: all(good)},
						{answers: all(bad)},
						{answers: all(good)},
						{answers: all(bad)},
						{answers: all(bad)},
						{answers: all(good)},
					}}.check(t)
				}
			}
		})
	}
}

func TestBodiesCutAtEveryLength(t *testing.T) {
	for _, b := range []body{
		{"text", typeText, "# TYPE a counter\na{x=\"1\"} 1 946684000000\nb 2\n"},
		{"openmetrics", typeOM, "# TYPE a counter\na_total 1 # {i=\"1\"} 1 946684000\na_created 5\n# EOF\n"},
		{"protobuf", typeProto, protoBodies()[0].content[:150]},
	} {
		t.Run(b.name, func(t *testing.T) {
			for length := range len(b.content) {
				cut := b.answer()
				cut.body = cut.body[:length]
				broken := cut
				broken.length, broken.hangUp = len(b.content)-length, true
				s := scenario{steps: []step{
					{config: job(), answers: all(b.answer())}, {answers: all(cut)}, {answers: all(b.answer())}, {answers: all(broken)}, {answers: all(cut)},
				}}
				if d := s.compare(t); d != "" {
					t.Errorf("cut at %d: %s", length, d)
				}
			}
		})
	}
	t.Run("gzip", func(t *testing.T) {
		packed := gzipped([]byte(someText))
		for length := range len(packed) {
			s := scenario{steps: []step{
				{config: job(), answers: all(withHeaders(packed, "Content-Encoding: gzip"))},
				{answers: all(withHeaders(packed[:length], "Content-Encoding: gzip"))},
				{answers: all(withHeaders(packed, "Content-Encoding: gzip"))},
			}}
			if d := s.compare(t); d != "" {
				t.Errorf("cut at %d: %s", length, d)
			}
		}
	})
}

func TestRequests(t *testing.T) {
	for what, config := range map[string]string{
		"parameters":      job("params: {x: [\"1\", \"2\"], \"a b\": [\"c&d\"]}", "metrics_path: /a/b?c"),
		"basic auth":      job("basic_auth: {username: u, password: p}"),
		"bearer":          job("authorization: {credentials: secret}"),
		"missing bearer":  job("authorization: {credentials_file: /nowhere/at/all}"),
		"headers":         job("http_headers: {X-Mine: {values: [\"1\", \"2\"]}}"),
		"no compression":  job("enable_compression: false"),
		"proxy":           job("proxy_url: http://proxy:3128"),
		"odd timeout":     job("scrape_timeout: 1500ms"),
		"no http2":        job("enable_http2: false"),
		"all protocols":   job("scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4]"),
		"native":          job("scrape_native_histograms: true"),
		"escaping":        job("metric_name_escaping_scheme: dots"),
		"legacy":          job("metric_name_validation_scheme: legacy"),
		"param labels":    job("params: {x: [\"1\", \"2\"]}", "relabel_configs: [{target_label: __param_x, replacement: new}, {target_label: __param_y, replacement: also}]"),
		"scheme and path": job("relabel_configs: [{target_label: __scheme__, replacement: https}, {target_label: __metrics_path__, replacement: /x}]"),
		"own timeout":     job("relabel_configs: [{target_label: __scrape_timeout__, replacement: 2s}]"),
		"bad timeout":     job("relabel_configs: [{target_label: __scrape_timeout__, replacement: never}]"),
		"long timeout":    job("relabel_configs: [{target_label: __scrape_timeout__, replacement: 1h}]"),
		"other address":   job("relabel_configs: [{target_label: __address__, replacement: \"[::1]:99\"}]"),
		"no address":      job("relabel_configs: [{target_label: __address__, replacement: \"\"}]"),
		"bad address":     job("relabel_configs: [{target_label: __address__, replacement: \"a/b\"}]"),
		"no port":         job("relabel_configs: [{target_label: __address__, replacement: \"host\"}]"),
	} {
		t.Run(what, func(t *testing.T) {
			for _, set := range featureSets {
				scenario{features: set, keepsCache: true, steps: []step{
					{config: job(), answers: all(plain("a 1\n"))},
					{config: config},
					{answers: all(answer{status: 401})},
					{answers: all(plain("a 1\n"))},
					{config: job()},
					{}, {}, {},
				}}.check(t)
			}
		})
	}
}

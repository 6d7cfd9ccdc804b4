package difftest

import (
	"fmt"
	"strings"
	"testing"
)

// TestBodiesThatChange: the first body twice, so that its lines are known, then the second one
// twice, then the first again.
func TestBodiesThatChange(t *testing.T) {
	long := ""
	for i := range 40 {
		long += fmt.Sprintf("m%d{l=\"%d\"} %d\n", i, i, i)
	}
	pairs := map[string][2]string{
		"help escaped newline":  {"# HELP a x\\nfoo 1\n# TYPE a counter\na 1\n", "# HELP a x\nfoo 1\n# TYPE a counter\na 1\n"},
		"type of spaced name":   {"# TYPE \"a b\" counter\n{\"a b\"} 1\n", "# TYPE a b counter\n{\"a b\"} 1\n"},
		"help of spaced name":   {"# HELP \"a b\" text\n# TYPE \"a b\" counter\n{\"a b\"} 1\n", "# HELP a b text\n# TYPE \"a b\" counter\n{\"a b\"} 1\n"},
		"type newline name":     {"# TYPE \"a\nb\" counter\n{\"a\nb\"} 1\n", "# TYPE a\nb counter\n{\"a\nb\"} 1\n"},
		"crlf":                  {"a 1\nb 2\n", "a 1\r\nb 2\n"},
		"two spaces":            {"a 1\nb 2\n", "a  1\nb 2\n"},
		"tab":                   {"a 1\nb 2\n", "a\t1\nb 2\n"},
		"trailing space":        {"a 1\nb 2\n", "a 1 \nb 2\n"},
		"no newline":            {"a 1\nb 2\n", "a 1\nb 2"},
		"blank line":            {"a 1\nb 2\n", "a 1\n\nb 2\n"},
		"leading space":         {"a 1\nb 2\n", " a 1\nb 2\n"},
		"comma":                 {"a{x=\"1\"} 1\nb 2\n", "a{x=\"1\",} 1\nb 2\n"},
		"label order":           {"a{x=\"1\",y=\"2\"} 1\nb 2\n", "a{y=\"2\",x=\"1\"} 1\nb 2\n"},
		"space before brace":    {"a 1\nb 2\n", "a {x=\"1\"} 1\nb 2\n"},
		"timestamp":             {"a 1\nb 2\n", "a 1 1000\nb 2\n"},
		"openmetrics exemplar":  {"a 1\nb 2\n", "a 1 # {} 1\nb 2\n"},
		"twice":                 {"a 1\nb 2\n", "a 1\na 1\nb 2\n"},
		"swap":                  {"a 1\nb 2\nc 3\n", "c 3\nb 2\na 1\n"},
		"type change":           {"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n", "# TYPE h untyped\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_count 1\n"},
		"new le after known":    {"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n", "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_count 1\n"},
		"new family after":      {"# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE g gauge\ng 1\n", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1\ng 1\n"},
		"help only changes":     {"# HELP a x\na 1\n", "# HELP a y\na 1\n"},
		"help with backslash":   {"# HELP a x\\\\y\na 1\n", "# HELP a x\\\\y\na 2\n"},
		"help empty":            {"# HELP a \n# TYPE a gauge\na 1\n", "# HELP a \n# TYPE a gauge\na 2\n"},
		"help none":             {"# HELP a\n# TYPE a gauge\na 1\n", "# HELP a\n# TYPE a gauge\na 2\n"},
		"type twice":            {"# TYPE a gauge\na 1\n", "# TYPE a gauge\n# TYPE a gauge\na 1\n"},
		"type then help":        {"# TYPE a gauge\n# HELP a x\na 1\n", "# HELP a x\n# TYPE a gauge\na 1\n"},
		"type lacks":            {"# TYPE a gauge\na 1\nb 1\n", "a 1\nb 1\n"},
		"type case":             {"# TYPE a gauge\na 1\n", "# TYPE a Gauge\na 1\n"},
		"type unknown":          {"# TYPE a untyped\na 1\n", "# TYPE a unknown\na 1\n"},
		"type trailing space":   {"# TYPE a gauge\na 1\n", "# TYPE a gauge \na 1\n"},
		"help two spaces":       {"# HELP a x\na 1\n", "#  HELP a x\na 1\n"},
		"comment":               {"a 1\nb 1\n", "a 1\n# hello\nb 1\n"},
		"eof":                   {"a 1\nb 1\n", "a 1\n# EOF\nb 1\n"},
		"utf8 quoted":           {"{\"a.b\",x=\"1\"} 1\n{\"c\"} 1\n", "{x=\"1\",\"a.b\"} 1\n{\"c\"} 1\n"},
		"utf8 vs plain":         {"a{x=\"1\"} 1\n", "{\"a\",x=\"1\"} 1\n"},
		"escapes":               {"a{x=\"\\\\\\n\\\"\"} 1\n", "a{x=\"\\\\\\n\\\"\"} 2\na{x=\"\\\\n\"} 2\n"},
		"invalid utf8":          {"a{x=\"1\"} 1\nb 1\n", "a{x=\"\xff\"} 1\nb 1\n"},
		"nul":                   {"a 1\nb 1\n", "a 1\x00\nb 1\n"},
		"more at the end":       {long, long + "new 1\n"},
		"more at the start":     {long, "new 1\n" + long},
		"one missing":           {long, strings.Replace(long, "m20{l=\"20\"} 20\n", "", 1)},
		"broken late":           {long, long + "broken{\n"},
		"broken early":          {long, "broken{\n" + long},
		"comments around":       {"# one\na 1\n\n# two\nb 1\n", "# one\n# two\na 1\n# three\nb 1\n"},
		"same comment twice":    {"# ---\na 1\n# ---\nb 1\n", "# ---\n# ---\na 1\nb 1\n"},
		"blank lines":           {"\n\na 1\n  \n\nb 1\n\n", "a 1\n\n\t\nb 1\n"},
		"stamped lines":         {"a 1 1000\nb 2 2000\nc 3\n", "a 1 1001\nb 2 2000\nc 3 3000\n"},
		"stamped twice":         {"a 1 1000\na 2 2000\nb 1\n", "a 1 3000\na 2 4000\nb 1\n"},
		"long stamps":           {"a 1 999999999999999999\nb 1\n", "a 1 9999999999999999999\nb 1\n"},
		"odd stamps":            {"a 1 1000\nb 1\n", "a 1 -1000\nb 1\n"},
		"two spaces and stamp":  {"a 1 1000\nb 1\n", "a 1  1000\nb 1\n"},
		"stamp and a rest":      {"a 1 1000\nb 1\n", "a 1 1000 x\nb 1\n"},
		"line break in a value": {"a{x=\"1\n2\"} 1\nb 1\n", "a{x=\"1\n3\"} 1\nb 1\n"},
		"line break, unclosed":  {"a{x=\"1\"} 1\nb 1\n", "a{x=\"1\n} 1\nb 1\n"},
		"line break in a name":  {"# HELP \"a\nb\" x\n{\"a\nb\"} 1\nc 1\n", "# HELP \"a\nb\" y\n{\"a\nb\"} 2\nc 1\n"},
		"help of two kinds":     {"# HELP a x\n# HELP a y\na 1\n", "# HELP a y\n# HELP a x\na 1\n"},
		"help between samples":  {"# HELP a x\na 1\n# HELP a y\na{l=\"1\"} 1\n", "# HELP a y\na 1\n# HELP a x\na{l=\"1\"} 1\n"},
		"types of one family":   {"# TYPE a gauge\na 1\n# TYPE a counter\na_total 1\n", "# TYPE a counter\na 1\n# TYPE a gauge\na_total 1\n"},
		"reports of its own":    {"up 1\na 1\nscrape_duration_seconds 5\n", "a 1\n"},
		"staleness in a target": {"a 1\nb 1\n", "a NaN\nb 1\n"},
	}
	for _, v := range []string{"0", "-0", "+0", "00", "007", "1.", ".5", "+5", "-5", "1e3", "1E3", "1e+3", "1e-400", "1e400", "-1e400", "0x1p3", "0x10", "1_0", "Inf", "+Inf", "-Inf", "inf", "+inf", "infinity", "+Infinity", "nan", "NaN", "-NaN", "+NaN", "NAN", "true", "999999999999999", "9999999999999999", "123456789012345678", "9007199254740993", "0.1", "4.9e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623159e308", "1e", "e", "+", "-", ".", "1-2", "1+2", "--1", "1ee2", "0b1", "0o7", strings.Repeat("1", 31), strings.Repeat("1", 32), strings.Repeat("0", 20) + "1", "0." + strings.Repeat("0", 28) + "1", "1e0000000000000000000001"} {
		pairs["value "+v] = [2]string{"a 1\nb 1\n", "a " + v + "\nb 2\n"}
	}
	for name, p := range pairs {
		t.Run(name, func(t *testing.T) {
			for _, cfg := range []string{job(), job("honor_timestamps: false", "metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]")} {
				s := scenario{steps: []step{{config: cfg, answers: all(plain(p[0]))}, {}, {answers: all(plain(p[1]))}, {answers: all(plain(p[1]))}, {answers: all(plain(p[0]))}}}
				if d := s.compare(t); d != "" {
					t.Errorf("%s", d)
				}
			}
		})
	}
}

func TestAddressesAndPaths(t *testing.T) {
	for _, a := range []string{"one:", "ONE:80", "user:pw@one:80", "[fe80::1%eth0]:80", "[fe80::1%25eth0]:80", "one:080", "one:http", "münchen:80", "one:80?x=1", "one:80#x", "one :80", "[::1]", "::1", "one:80:81", "%6fne:80", "one:0", "one:99999", "xn--mnchen-3ya:80", "a_b:80", "one..two:80", "one%:80", "[::1]:"} {
		t.Run(a, func(t *testing.T) {
			s := scenario{steps: []step{{config: job(fmt.Sprintf("relabel_configs: [{target_label: __address__, replacement: %q}]", a)), answers: all(plain("a 1\n"))}, {}, {answers: all(answer{status: 302, header: []string{"Location: /other"}, perPath: map[string]answer{"/other": plain("b 1\n")}})}}}
			if d := s.compare(t); d != "" {
				t.Errorf("%s", d)
			}
		})
	}
	for _, p := range []string{"/metrics?x=1", "/a b", "/ä", "/%zz", "/%41", "//x", "metrics", "/../x", "/a;b", "", "/#x", "/a\\b", "*"} {
		t.Run("path "+p, func(t *testing.T) {
			s := scenario{steps: []step{{config: job(fmt.Sprintf("relabel_configs: [{target_label: __metrics_path__, replacement: %q}]", p)), answers: all(plain("a 1\n"))}, {}}}
			if d := s.compare(t); d != "" {
				t.Errorf("%s", d)
			}
		})
	}
}

func TestHTTPOddities(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + typeText + "\r\n"
	zipped := string(gzipped([]byte("a 1\nb 2\n")))
	kept := func(parts ...string) answer { return answer{raw: []byte(strings.Join(parts, ""))} }
	loc := func(status int, where string, more ...string) answer {
		return answer{status: status, header: append([]string{"Location: " + where}, more...), body: []byte("moved"), perPath: map[string]answer{
			"/other": plain("a 1\nb 2\n"), "/loop": {status: 302, header: []string{"Location: /loop"}}, "/big": {status: 302, header: []string{"Location: /other"}, body: make([]byte, 100<<10)},
			"/mid": {status: 302, header: []string{"Location: /other"}, body: make([]byte, 3<<10)}, "/chunked": {raw: []byte("HTTP/1.1 302 Found\r\nLocation: /other\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")},
			"/close": {status: 302, header: []string{"Location: /other", "Connection: close"}, hangUp: true}}}
	}
	for name, a := range map[string]answer{
		"long trailer":            kept(head, "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n4\r\na 1\n\r\n0\r\nX: "+strings.Repeat("x", 5000)+"\r\n\r\n"),
		"trailer bad":             kept(head, "Transfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\nX\r\n\r\n"),
		"trailer content-length":  kept(head, "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n4\r\na 1\n\r\n0\r\nContent-Length: 3\r\n\r\n"),
		"chunk LF only":           kept(head, "Transfer-Encoding: chunked\r\n\r\n4\na 1\n\n0\n\n"),
		"chunk size space":        kept(head, "Transfer-Encoding: chunked\r\n\r\n4 \r\na 1\n\r\n0\r\n\r\n"),
		"chunk size plus":         kept(head, "Transfer-Encoding: chunked\r\n\r\n+4\r\na 1\n\r\n0\r\n\r\n"),
		"chunk size 0x":           kept(head, "Transfer-Encoding: chunked\r\n\r\n0x4\r\na 1\n\r\n0\r\n\r\n"),
		"many tiny chunks":        kept(head, "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1;"+strings.Repeat("e", 200)+"\r\n#\r\n", 300), "1\r\n\n\r\n0\r\n\r\n"),
		"te twice":                kept(head, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"),
		"te identity":             kept(head, "Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\na 1\n"),
		"te upper":                kept(head, "Transfer-Encoding: CHUNKED\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"),
		"te on 1.0":               kept("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: " + typeText + "\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n"),
		"cl equal twice":          kept(head, "Content-Length: 4\r\nContent-Length: 4\r\n\r\na 1\n"),
		"cl list":                 kept(head, "Content-Length: 4, 4\r\n\r\na 1\n"),
		"cl plus":                 kept(head, "Content-Length: +4\r\n\r\na 1\n"),
		"cl huge":                 raw(head, "Content-Length: 99999999999999999999\r\n\r\na 1\n"),
		"cl empty":                raw(head, "Content-Length: \r\n\r\na 1\n"),
		"204 with body":           kept("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\na 1\n"),
		"304 with length":         kept("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
		"205":                     kept("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"),
		"102 then 200":            kept("HTTP/1.1 102 Processing\r\n\r\n", head, "Content-Length: 4\r\n\r\na 1\n"),
		"103 headers then 200":    kept("HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 7\r\n\r\n", head, "Content-Length: 4\r\n\r\na 1\n"),
		"199 then 200":            kept("HTTP/1.1 199 Misc\r\n\r\n", head, "Content-Length: 4\r\n\r\na 1\n"),
		"099":                     kept("HTTP/1.1 099 Misc\r\nContent-Length: 0\r\n\r\n"),
		"four digits":             kept("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
		"plus200":                 kept("HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
		"http/1.2":                kept("HTTP/1.2 200 OK\r\nContent-Type: " + typeText + "\r\nContent-Length: 4\r\n\r\na 1\n"),
		"lower http":              kept("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"leading crlf":            kept("\r\n", head, "Content-Length: 4\r\n\r\na 1\n"),
		"keepalive close":         kept(head, "Connection: keep-alive, close\r\nContent-Length: 4\r\n\r\na 1\n"),
		"no type":                 kept("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"),
		"type case":               kept("HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; Version=0.0.4\r\nContent-Length: 4\r\n\r\na 1\n"),
		"type html":               kept("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\na 1\n"),
		"type broken":             kept("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version\r\nContent-Length: 4\r\n\r\na 1\n"),
		"type list":               kept("HTTP/1.1 200 OK\r\nContent-Type: text/plain, text/html\r\nContent-Length: 4\r\n\r\na 1\n"),
		"type om no version":      kept("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text\r\nContent-Length: 10\r\n\r\na 1\n# EOF\n"),
		"gzip chunked":            kept(head, "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x\r\n", len(zipped))+zipped+"\r\n0\r\n\r\n"),
		"gzip no length":          raw(head, "Content-Encoding: gzip\r\n\r\n"+zipped),
		"gzip zero padding":       raw(head, "Content-Encoding: gzip\r\n\r\n"+zipped+strings.Repeat("\x00", 600)),
		"x-gzip":                  withHeaders([]byte(zipped), "Content-Encoding: x-gzip"),
		"gzip two headers":        withHeaders([]byte(zipped), "Content-Encoding: gzip", "Content-Encoding: identity"),
		"gzip space":              withHeaders([]byte(zipped), "Content-Encoding:  gzip "),
		"empty 200":               withHeaders(nil),
		"empty gzip no content":   withHeaders([]byte{}, "Content-Encoding: gzip"),
		"big ignored 500":         {status: 500, body: make([]byte, 200<<10)},
		"redirect abs path":       loc(302, "/other"),
		"redirect rel":            loc(302, "other"),
		"redirect dotdot":         loc(302, "../other"),
		"redirect query":          loc(302, "?x=1"),
		"redirect protocol rel":   loc(302, "//two:80/other"),
		"redirect case":           loc(302, "HTTP://ONE:80/other"),
		"redirect userinfo":       loc(302, "http://u:p@one:80/other"),
		"redirect other userinfo": loc(302, "http://u:p@two:80/other"),
		"redirect fragment":       loc(302, "/other#frag"),
		"redirect loop":           loc(302, "/loop"),
		"redirect big":            loc(302, "/big"),
		"redirect mid":            loc(302, "/mid"),
		"redirect chunked":        loc(302, "/chunked"),
		"redirect close":          loc(302, "/close"),
		"redirect 303":            loc(303, "/other"),
		"redirect 307":            loc(307, "/other"),
		"redirect 308":            loc(308, "/other"),
		"redirect 300":            loc(300, "/other"),
		"redirect 305":            loc(305, "/other"),
		"redirect two locations":  loc(302, "/other", "Location: /loop"),
		"redirect empty":          loc(302, ""),
		"redirect port":           loc(302, "http://one:81/other"),
		"redirect no port":        loc(302, "http://one/other"),
		"redirect https":          loc(302, "https://one:80/other"),
		"set-cookie":              withHeaders([]byte("a 1\n"), "Set-Cookie: a=b"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, config := range []string{job("extra_scrape_metrics: true"), job("body_size_limit: 4B", "extra_scrape_metrics: true"), job("fallback_scrape_protocol: PrometheusText0.0.4", "follow_redirects: false")} {
				s := scenario{steps: []step{{config: config, answers: all(plain("a 1\n"))}, {answers: all(a)}, {answers: all(a)}, {answers: all(plain("a 1\n"))}}}
				if d := s.compare(t); d != "" {
					t.Errorf("%s\n%s", config, d)
				}
			}
		})
	}
}

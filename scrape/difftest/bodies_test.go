package difftest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The content types that targets send.
const (
	typeText   = "text/plain; version=0.0.4; charset=utf-8"
	typeText1  = "text/plain; version=1.0.0; escaping=allow-utf-8"
	typeOM     = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	typeOM0    = "application/openmetrics-text; version=0.0.1"
	typeOM2    = "application/openmetrics-text; version=2.0.0; charset=utf-8"
	typeProto  = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	typeNoProt = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text"
)

// body is what a target exposes.
type body struct {
	name, kind string
	content    string
}

func (b body) answer() answer {
	a := answer{body: []byte(b.content)}
	if b.kind != "" {
		a.header = []string{"Content-Type: " + b.kind}
	}
	return a
}

// without is the body with every second line missing (of text), or cut in half.
func (b body) without() body {
	if b.kind == typeProto {
		b.content = b.content[:len(b.content)/2]
		return b
	}
	var kept []string
	for i, line := range strings.SplitAfter(b.content, "\n") {
		if i%2 == 0 || strings.HasPrefix(line, "#") {
			kept = append(kept, line)
		}
	}
	b.content = strings.Join(kept, "")
	return b
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

func zstandard(content []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

// The classic histogram, gauge and summary of most text bodies.
const someText = `# HELP http_requests_total The number of requests.
# TYPE http_requests_total counter
http_requests_total{code="200",method="get"} 1027
http_requests_total{code="400",method="get"} 3
# TYPE temperature gauge
# HELP temperature Degrees with a \\ and a \n new line.
temperature{room="a \"quoted\" \\ room"} -12.5e-3
# TYPE latency histogram
latency_bucket{le="0.1"} 1
latency_bucket{le="1"} 3
latency_bucket{le="+Inf"} 4
latency_sum 5.5
latency_count 4
# TYPE rpc summary
rpc{quantile="0.5"} 0.25
rpc{quantile="0.99"} NaN
rpc_sum 12
rpc_count 7
untyped_thing 42
`

const someOM = `# TYPE requests counter
# UNIT latency_seconds seconds
# HELP requests The number of requests.
requests_total{code="200"} 10 # {trace_id="abc"} 1 946684700.25
requests_created{code="200"} 946684100.5
requests_total{code="500"} 0
requests_created{code="500"} 946684200
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
# HELP latency_seconds How long.
latency_seconds_bucket{le="0.1"} 1 # {trace_id="x"} 0.05
latency_seconds_bucket{le="1.0"} 3 # {trace_id="y"} 0.5 946684701
latency_seconds_bucket{le="+Inf"} 4 # {} 7 946684702
latency_seconds_sum 5.5
latency_seconds_count 4
latency_seconds_created 946684100
# TYPE build info
build_info{version="1"} 1
# TYPE feature stateset
feature{feature="a"} 1
feature{feature="b"} 0
# TYPE queue gaugehistogram
queue_bucket{le="1"} 2
queue_bucket{le="+Inf"} 3
queue_gsum 4
queue_gcount 3
# TYPE rpc summary
rpc{quantile="0.5"} 1
rpc_sum 2
rpc_count 3
rpc_created 946684100
# TYPE thing unknown
thing 1
# EOF
`

// textBodies are hand-written, in the Prometheus text format if nothing else is said.
func textBodies() []body {
	faulty := ""
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		faulty += fmt.Sprintf("broken{storage_fault=%q} 1\n", name)
	}
	return []body{
		{"some text", typeText, someText},
		{"text 1.0", typeText1, someText + "{\"a.metric\",\"a.label\"=\"x\"} 1\n"},
		{"openmetrics", typeOM, someOM},
		{"openmetrics 0", typeOM0, someOM},
		{"openmetrics 2", typeOM2, someOM},
		{"openmetrics as text", typeText, someOM},
		{"text as openmetrics", typeOM, someText},
		{"text without type", "", someText},
		{"wrong type", "text/html", someText},
		{"bad type", "text/plain; version=", someText},
		{"text as protobuf", typeProto, someText},
		{"protobuf in text", typeNoProt, someText},
		{"json", "application/json", `{"a": 1}`},
		{"empty", typeText, ""},
		{"empty openmetrics", typeOM, ""},
		{"only eof", typeOM, "# EOF\n"},
		{"no eof", typeOM, "a 1\n"},
		{"after eof", typeOM, "a 1\n# EOF\nb 2\n"},
		{"no last line end", typeText, "a 1\nb 2"},
		{"comments only", typeText, "# a comment\n# HELP a b\n# TYPE a gauge\n#\n"},
		{"one line end", typeText, "\n"},
		{"carriage returns", typeText, "a 1\r\nb 2\r\n"},
		{"blank lines and tabs", typeText, "\n\n \t a\t{ x = \"y\" , }\t1\t\n\n"},
		{"not a number", typeText, "a NaN\nb +Inf\nc -Inf\nd nan\ne -0\nf 0x10\ng 1e400\nh 1_000\n"},
		{"underscore", typeText, "a 1_000\n"},
		{"hexadecimal", typeText, "a 0x1p-2\n"},
		{"broken value", typeText, "a 1\nb 1.2.3\n"},
		{"broken line", typeText, "a 1\n{ 2\n"},
		{"broken label", typeText, "a{x=\"1} 2\n"},
		{"empty label value", typeText, "a{x=\"\"} 1\na{y=\"\",x=\"2\"} 2\n"},
		{"duplicate", typeText, "a 1\na 2\nb 1\na 1\n"},
		{"duplicate in other order", typeText, "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{ y=\"2\", x=\"1\" } 1\n"},
		{"duplicate label", typeText, "a{x=\"1\",x=\"2\"} 1\n"},
		{"name as label", typeText, "a{__name__=\"b\"} 1\n{__name__=\"c\"} 2\n"},
		{"no name", typeText, "{x=\"y\"} 1\n"},
		{"reserved labels", typeText, "a{__x__=\"1\",__address__=\"2\"} 1\n"},
		{"conflicting labels", typeText, "a{job=\"mine\",instance=\"me\",exported_job=\"x\"} 1\na{job=\"\"} 2\na{exported_instance=\"q\",instance=\"r\",exported_exported_instance=\"s\"} 3\n"},
		{"report names", typeText, "up 7\nscrape_duration_seconds 3\nscrape_samples_scraped{a=\"b\"} 1\n"},
		{"timestamps", typeText, "a 1 946684000000\nb 2 946684000001\nc 3\n"},
		{"timestamps back", typeText, "a 1 946684000000\na 2 946683000000\na 3 946684000000\na 1 946684000000\nb 2 -5\n"},
		{"timestamps in the future", typeText, "a 1 1946684000000\nb 2 946685000000000\nc 1 946685700000\n"},
		{"timestamps of one series, all", typeText, "a 1 1\na 2 2\na 3 3\na 4\na 5\n"},
		{"broken timestamp", typeText, "a 1 12.5\n"},
		{"huge timestamp", typeText, "a 1 99999999999999999999\n"},
		{"openmetrics timestamps", typeOM, "# TYPE a gauge\na 1 946684000.123456\na 2 946684000.124\nb 1 -1.5\n# EOF\n"},
		{"openmetrics float timestamps", typeOM, "# TYPE a gauge\na 1 1e8\nb 1 NaN\n# EOF\n"},
		{"exemplars back", typeOM, "# TYPE a counter\na_total 1 # {i=\"1\"} 1 946684500\na_total 1 # {i=\"2\"} 1 946684400\n# EOF\n"},
		{"exemplar too long", typeOM, "# TYPE a counter\na_total 1 # {i=\"" + strings.Repeat("x", 200) + "\"} 1\n# EOF\n"},
		{"exemplar on gauge", typeOM, "# TYPE a gauge\na 1 # {i=\"1\"} 1\n# EOF\n"},
		{"broken exemplar", typeOM, "# TYPE a counter\na_total 1 # {i=\"1\" 1\n# EOF\n"},
		{"created without counter", typeOM, "# TYPE a counter\na_created 5\n# TYPE b gauge\nb_created 6\n# EOF\n"},
		{"created first", typeOM, "# TYPE a counter\na_created 946684100\na_total 1\n# EOF\n"},
		{"created elsewhere", typeOM, "# TYPE a counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\na_created{x=\"2\"} 946684100\na_created{x=\"1\"} 946684200\n# EOF\n"},
		{"metadata only of others", typeText, "# TYPE a counter\nb 1\na 2\n# HELP c x\nd_total 1\n"},
		{"metadata twice", typeText, "# TYPE a counter\n# TYPE a gauge\n# HELP a x\n# HELP a y\na 1\n"},
		{"metadata afterwards", typeText, "a 1\n# TYPE a gauge\n# HELP a x\n"},
		{"broken metadata", typeText, "# TYPE a nonsense\na 1\n"},
		{"help is broken", typeText, "# HELP a \\x \\\\ \\n\na 1\n# HELP\n# TYPE\n# HELP b\n"},
		{"unit is wrong", typeOM, "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n"},
		{"suffixes", typeText, "# TYPE a histogram\na 1\na_bucket 2\na_bucket{le=\"1\"} 2\na_total 3\na_info 4\na_gcount 5\n# TYPE b summary\nb_bucket 1\nb_sum 1\nb{quantile=\"x\"} 1\n"},
		{"odd buckets", typeText, "# TYPE a histogram\na_bucket{le=\"1\"} 5\na_bucket{le=\"0.5\"} 3\na_bucket{le=\"x\"} 1\na_bucket{le=\"1\"} 7\na_count 9\na_sum NaN\n# TYPE b histogram\nb_bucket{le=\"1\"} 5.5\nb_count 5.5\n# TYPE c histogram\nc_count 1\n"},
		{"two histograms", typeText, "# TYPE a histogram\na_bucket{x=\"1\",le=\"1\"} 1\na_bucket{x=\"1\",le=\"+Inf\"} 2\na_sum{x=\"1\"} 3\na_count{x=\"1\"} 2\na_bucket{x=\"2\",le=\"1\"} 1\na_bucket{x=\"2\",le=\"+Inf\"} 1\na_sum{x=\"2\"} 3\na_count{x=\"2\"} 1\n"},
		{"le as number", typeText, "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\na_bucket{le=\"10e-1\"} 1\na_count 1\n# TYPE b summary\nb{quantile=\"1\"} 2\nb{quantile=\"1.0\"} 2\n"},
		{"utf-8 names", typeText1, "{\"a.b\"} 1\n{\"a b\",\"x y\"=\"z\"} 2\n{\"ü\"} 3\n# TYPE \"a.b\" counter\n# HELP \"a.b\" x\n{\"a.b\",q=\"1\"} 4\n"},
		{"utf-8 names of openmetrics", typeOM, "# TYPE \"a.b\" gauge\n# UNIT \"a.b\" b\n{\"a.b\"} 1\n# EOF\n"},
		{"escaped names", typeText, "U__a_2e_b 1\na__dot__b 2\n"},
		{"invalid utf-8", typeText, "a{x=\"\xff\xfe\"} 1\n"},
		{"invalid utf-8 in a name", typeText1, "{\"a\xff\"} 1\n"},
		{"invalid utf-8 in help", typeText, "# HELP a \xff\na 1\n"},
		{"nul", typeText, "a\x00 1\nb 2\n"},
		{"nul in a value", typeText, "a{x=\"\x00\"} 1\n"},
		{"nul in a comment", typeText, "# \x00\na 1\n"},
		{"long label", typeText, "a{x=\"" + strings.Repeat("long", 5000) + "\"} 1\n"},
		{"many labels", typeText, "a{" + strings.Repeat("x=\"y\",", 1) + "b=\"1\",c=\"2\",d=\"3\",e=\"4\",f=\"5\"} 1\n"},
		{"long name", typeText, strings.Repeat("n", 300) + " 1\n"},
		{"droppable", typeText, "keep_a 1\ndrop_a 2\nkeep_b{drop=\"1\"} 3\nrename_me{x=\"1\"} 4\n"},
		{"storage faults", typeText, "a 1\n" + faulty + "b 2\n"},
		{"storage is out of order", typeText, "a 1\nb{storage_fault=\"ooo\"} 1\nc{storage_fault=\"dup\"} 1\nd{storage_fault=\"bounds\"} 3\ne{storage_fault=\"partial\"} 1\nf 2\n"},
		{"storage breaks", typeText, "a 1\nb{storage_fault=\"other\"} 1\nc 1\n"},
		{"storage refuses a marker", typeText, "a 1\nb{storage_fault=\"marker\"} 1\nc 1\n"},
		{"storage finds nothing", typeText, "a 1\nb{storage_fault=\"notfound\"} 1\nc 1\n"},
		{"storage refuses exemplars", typeOM, "# TYPE a counter\na_total{storage_fault=\"exemplar\"} 1 # {i=\"1\"} 1\nb_total 1 # {i=\"1\"} 1\n# EOF\n"},
		{"escaped help", typeText, "# HELP a with \\\\ and \\n and \\x and \"\n# TYPE a counter\na 1\n# HELP b \\\\\n# TYPE b gauge\nb{x=\"1\"} 1\nb{x=\"2\"} 2\n"},
		{"quoted families with spaces", typeText1, "# HELP \"a b\" x y\n# TYPE \"a b\" counter\n{\"a b\"} 1\n{\"a b\",\"l l\"=\"x\"} 2\n# TYPE c gauge\nc 1\n"},
		{"comments and blank lines between", typeText, "\n# a\n\n# TYPE a gauge\n# b\na 1\n\n#\n# HELP a x\n# c\na{x=\"1\"} 2\n\n\n# d\nb 3\n# e\n"},
		{"byte order mark", typeText, "\xef\xbb\xbfa 1\n"},
		{"many series", typeText, manySeries(200)},
	}
}

func manySeries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "series_%d{number=\"%d\"} %d\n", i%7, i, i*i)
	}
	return b.String()
}

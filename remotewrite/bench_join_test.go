package remotewrite

import (
	"net/http"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
)

// BenchmarkJoined measures a sample's way through common requests of twenty instances with a hundred
// series each. ns/op is nanoseconds per sample.
func BenchmarkJoined(b *testing.B) {
	for version, change := range map[string]func(*promconfig.RemoteWriteConfig){"1.0": func(*promconfig.RemoteWriteConfig) {}, "2.0": version2} {
		b.Run(version, func(b *testing.B) {
			const instances, series = 20, 100
			sink, clients := &discard{}, NewClients()
			clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) {
				return &http.Client{Transport: confirming{sink}}, nil
			}
			all := newEndless(series)
			var endpoints []*endpoint
			var sources []*endless
			for range instances {
				source := &endless{book: all.book, refs: all.refs, perRead: series}
				endpoints, sources = append(endpoints, benchEndpointOf(b, clients, source, change)), append(sources, source)
			}
			send := func() {
				var taken []*contribution
				for i, e := range endpoints {
					sources[i].left = series
					e.enter()
					taken = append(taken, &contribution{endpoint: e})
				}
				e := endpoints[0]
				e.sender.destination.joiner.send(taken)
			}
			send()
			before := sink.bytes
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += instances * series {
				send()
			}
			b.StopTimer()
			b.ReportMetric(float64(sink.bytes-before)/float64(max(b.N, instances*series)), "bytes/sample")
		})
	}
}

// confirming answers as a receiver of protocol 2.0 does that wrote all.
type confirming struct{ *discard }

func (c confirming) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.discard.RoundTrip(r)
	resp.Header = http.Header{samplesWritten: {"1000000"}}
	return resp, err
}

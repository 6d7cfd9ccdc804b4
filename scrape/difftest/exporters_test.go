package difftest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// exporter is a program with the metrics that most programs have.
type exporter struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	inFlight  prometheus.Gauge
	classic   *prometheus.HistogramVec
	native    *prometheus.HistogramVec
	summary   *prometheus.SummaryVec
	transient *prometheus.GaugeVec
	moment    int
}

func newExporter(t *testing.T) *exporter {
	objectives := map[float64]float64{0.5: 0.05, 0.99: 0.001}
	e := &exporter{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests."}, []string{"code", "Method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "in_flight", Help: "Requests in flight."}),
		classic: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "classic_seconds", Help: "Classic.", Buckets: prometheus.DefBuckets},
			[]string{"path"}),
		native: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "native_seconds", Help: "Native and classic.",
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 40, Buckets: []float64{0.1, 1, 10}}, []string{"path"}),
		summary:   prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "summary_seconds", Help: "Summary.", Objectives: objectives}, []string{"path"}),
		transient: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "transient", Help: "Comes and goes."}, []string{"id"}),
	}
	for _, c := range []prometheus.Collector{e.requests, e.inFlight, e.classic, e.native, e.summary, e.transient,
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector()} {
		if err := e.registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// work lets something happen, a little different each time.
func (e *exporter) work() {
	e.moment++
	trace := prometheus.Labels{"trace_id": fmt.Sprintf("trace-%d", e.moment)}
	for i := range 20 * e.moment {
		path := []string{"/", "/api", "/login"}[i%3]
		v := float64(i*e.moment%97) / 13
		e.requests.WithLabelValues([]string{"200", "404", "500"}[i%3], "GET").(prometheus.ExemplarAdder).AddWithExemplar(1, trace)
		e.classic.WithLabelValues(path).(prometheus.ExemplarObserver).ObserveWithExemplar(v, trace)
		e.native.WithLabelValues(path).(prometheus.ExemplarObserver).ObserveWithExemplar(v-3, trace)
		e.summary.WithLabelValues(path).Observe(v)
	}
	e.inFlight.Set(float64(e.moment % 3))
	e.transient.Reset()
	e.transient.WithLabelValues(fmt.Sprint(e.moment)).Set(1)
	e.transient.WithLabelValues(fmt.Sprint(e.moment + 1)).Set(2)
	if e.moment == 3 {
		e.requests.DeleteLabelValues("500", "GET")
		e.native.Reset()
	}
}

// expose is what the exporter answers to a scrape with this header.
func (e *exporter) expose(accept string) answer {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", "gzip")
	response := httptest.NewRecorder()
	options := promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true}
	promhttp.HandlerFor(e.registry, options).ServeHTTP(response, request)
	a := answer{status: response.Code, body: response.Body.Bytes()}
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v := response.Header().Get(name); v != "" {
			a.header = append(a.header, name+": "+v)
		}
	}
	return a
}

func TestExporters(t *testing.T) {
	for kind, accept := range map[string]string{
		"text":        "text/plain;version=0.0.4",
		"text 1.0":    "text/plain;version=1.0.0;escaping=allow-utf-8",
		"openmetrics": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
		"protobuf":    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		e := newExporter(t)
		var moments []answer
		for range 5 {
			e.work()
			moments = append(moments, e.expose(accept))
		}
		for name, v := range variants(t) {
			if kind == "protobuf" {
				v.features.synthesis = false // Prometheus has lost the types of series with the label Method, see TestDeliberateDifferences
			}
			t.Run(kind+", "+name, func(t *testing.T) {
				var steps []step
				for _, a := range moments {
					steps = append(steps, step{answers: all(a)})
				}
				steps[0].parsed = v.config
				steps = append(steps, step{answers: all(answer{hang: true})}, step{answers: all(moments[0])}, step{answers: all(moments[4])})
				scenario{features: v.features, steps: steps}.check(t)
			})
		}
	}
}

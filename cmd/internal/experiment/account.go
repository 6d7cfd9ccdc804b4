package experiment

import (
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// The names of the account that each endpoint has, as docs/metrics.md says.
const (
	endpointPrefix = "prometheus_remote_storage_"
	committedTotal = endpointPrefix + "samples_committed_total"
	sentTotal      = endpointPrefix + "samples_total"
	pendingNow     = endpointPrefix + "samples_pending"
	highestSeconds = endpointPrefix + "highest_timestamp_in_seconds"
	sentSeconds    = endpointPrefix + "queue_highest_sent_timestamp_seconds"
)

// booked are the metrics that add up to what was committed. Those that are 0 may be missing.
var booked = []string{
	sentTotal, endpointPrefix + "histograms_total", endpointPrefix + "samples_failed_total", endpointPrefix + "histograms_failed_total",
	endpointPrefix + "samples_dropped_total", endpointPrefix + "histograms_dropped_total", pendingNow,
}

// addEndpoints adds what the metrics of a node say about its endpoints to an observation.
func (o *Observation) addEndpoints(node string, families map[string]*dto.MetricFamily) {
	committed, accounted := byEndpoint(families[committedTotal]), map[string]float64{}
	for _, name := range booked {
		for endpoint, n := range byEndpoint(families[name]) {
			accounted[endpoint] += n
		}
	}
	o.Accounts += len(committed)
	for endpoint, n := range committed {
		if accounted[endpoint] != n {
			o.unbalanced(fmt.Sprintf("%s on %s has committed %.0f samples and accounts for %.0f", endpoint, node, n, accounted[endpoint]))
		}
	}
	highest, sentUpTo := byEndpoint(families[highestSeconds]), byEndpoint(families[sentSeconds])
	for endpoint, n := range byEndpoint(families[pendingNow]) {
		switch {
		case n == 0 || o.Lag < 0:
		case sentUpTo[endpoint] == 0:
			o.Lag = -1
		default:
			o.Lag = max(o.Lag, highest[endpoint]-sentUpTo[endpoint])
		}
	}
	for _, name := range []string{sentTotal, endpointPrefix + "histograms_total"} {
		for _, m := range families[name].GetMetric() {
			config, _, _ := strings.Cut(label(m, "instance_name"), "[")
			if o.sent == nil {
				o.sent = map[sender]int{}
			}
			o.sent[sender{node, config}] += int(value(m))
		}
	}
}

func (o *Observation) unbalanced(what string) {
	if o.Unbalanced++; o.Imbalance == "" || what < o.Imbalance {
		o.Imbalance = what
	}
}

// byEndpoint are the values of a metric by endpoint, summed over its reasons.
func byEndpoint(f *dto.MetricFamily) map[string]float64 {
	found := map[string]float64{}
	for _, m := range f.GetMetric() {
		found[label(m, "instance_name")+" to "+label(m, "remote_name")+" "+label(m, "url")] += value(m)
	}
	return found
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

// account is how many samples agents have sent at least, over the ends of their processes.
type account struct {
	// last is what a node said last, ended what it had said when its process ended.
	last, ended map[sender]int
}

// compare says for each config whether the receiver has fewer samples than agents count as sent. A
// process that ends takes with it what it has sent since it was last asked, and an answer that was
// lost is not counted as sent, so the receiver may have more.
func (a *account) compare(o *Observation) {
	if o.received == nil {
		return
	}
	if a.last == nil {
		a.last, a.ended = map[sender]int{}, map[sender]int{}
	}
	for s, n := range o.sent {
		if n < a.last[s] {
			a.ended[s] += a.last[s]
		}
		a.last[s] = n
	}
	sent := map[string]int{}
	for s, n := range a.last {
		sent[s.config] += n + a.ended[s]
	}
	for config, n := range sent {
		if got, known := o.received[config]; known && got < n {
			o.unbalanced(fmt.Sprintf("agents have sent %d samples of %s, and the receiver has %d", n, config, got))
		}
	}
}

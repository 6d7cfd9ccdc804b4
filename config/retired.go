package config

import (
	"reflect"

	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// keysWithoutEffect are keys of Grafana Agent that are accepted in a block without an effect, each
// with what became of it.
func keysWithoutEffect(block reflect.Type) map[string]string {
	switch block {
	case reflect.TypeFor[Server]():
		return map[string]string{"grpc_tls_config": "there is no gRPC listener"}
	case reflect.TypeFor[metricsFile]():
		return map[string]string{"scraping_service_client": "nodes ask each other over the HTTP listener"}
	case reflect.TypeFor[Etcd]():
		return map[string]string{
			"tls_cipher_suites": "the cipher suites are those that Go chooses",
			"tls_min_version":   "the least version is TLS 1.2",
		}
	case reflect.TypeFor[Ring]():
		return map[string]string{"excluded_zones": "no zone is left out"}
	case reflect.TypeFor[Lifecycler]():
		return map[string]string{"readiness_check_ring_health": "a node is ready when it is in the ring itself"}
	}
	return nil
}

// renamedKeys are keys that Prometheus has renamed since Grafana Agent's version of it: old name →
// new name.
func renamedKeys(block reflect.Type) map[string]string {
	if block == reflect.TypeFor[promconfig.ScrapeConfig]() {
		return map[string]string{"scrape_classic_histograms": "always_scrape_classic_histograms"}
	}
	return nil
}

// retire drops a key that has no effect any more, and notes why.
func (d *document) retire(key, value *yaml.Node, why string) {
	d.bad[value] = true
	path, _ := d.locate(key)
	d.notes = append(d.notes, d.warning(key, path+" has no effect: "+why))
}

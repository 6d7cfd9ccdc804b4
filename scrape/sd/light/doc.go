// Package light links the service discoveries that cost little to build: file, http, dns and
// consul. static_configs need no import. Linking a discovery registers its configuration key with
// Prometheus' decoder, so it must be linked before a configuration is read. This package has
// nothing but the imports.
package light

import (
	_ "github.com/prometheus/prometheus/discovery/consul" // consul_sd_configs
	_ "github.com/prometheus/prometheus/discovery/dns"    // dns_sd_configs
	_ "github.com/prometheus/prometheus/discovery/file"   // file_sd_configs
	_ "github.com/prometheus/prometheus/discovery/http"   // http_sd_configs
)

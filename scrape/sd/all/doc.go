// Package all links every service discovery that Prometheus has. It adds the clients of a dozen
// clouds to the binary, about 80 MB and several minutes of a cold build. This package has nothing
// but the import.
package all

import _ "github.com/prometheus/prometheus/discovery/install" // all *_sd_configs

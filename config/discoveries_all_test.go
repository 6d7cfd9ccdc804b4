//go:build alldiscoveries

package config

// All discoveries, so that the tests that walk the schema walk theirs too: go test -tags
// alldiscoveries ./config.
import _ "github.com/prometheus/prometheus/discovery/install"

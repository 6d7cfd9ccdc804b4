//go:build alldiscoveries

package scrape

// All discoveries, so that the tests that walk them walk all: go test -tags alldiscoveries ./scrape.
import _ "github.com/prometheus/prometheus/discovery/install"

package processtest

import (
	"flag"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// prometheusPath is where the test against a real Prometheus finds the program.
var prometheusPath = flag.String("prometheus", "", "path of a prometheus program; build one with: go build -o /tmp/prometheus github.com/prometheus/prometheus/cmd/prometheus")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programs.directory)
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

func closeIdle() { http.DefaultClient.CloseIdleConnections() }

package remotewrite

import (
	"testing"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFailedRequestLoggingShowsRequestsOfProtocol2ThatWereNotTaken(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		for _, change := range []func(*promconfig.RemoteWriteConfig){version2, func(*promconfig.RemoteWriteConfig) {}} {
			r, url := strict(t)
			r.Poison = poisonOf(100)
			log := newMemlog()
			cfg := writeConfig(t, url, change, withLanes(1, 1))
			cfg.FailedRequestLogging = wanted
			core, logs := observer.New(zap.DebugLevel)
			q := New(Options{Instance: "i", Logger: zap.New(core), OnPanic: func(err error) { t.Error(err) }})
			t.Cleanup(q.Close)
			require.NoError(t, q.Apply([]EndpointConfig{{Config: cfg, CursorID: "a", Open: log.open("a")}}))
			log.scrape(1000, 1)
			requireDrained(t, q)
			shown := logs.FilterMessage("remote write 2.0 request failed").All()
			if !wanted || cfg.ProtobufMessage != remoteapi.WriteV2MessageType {
				require.Empty(t, shown)
				continue
			}
			require.NotEmpty(t, shown)
			fields := shown[0].ContextMap()
			require.Contains(t, fields["request"], "__name__")
			require.Contains(t, fields["reason"], "400")
		}
	}
}

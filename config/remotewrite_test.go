package config

import (
	"testing"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/stretchr/testify/require"
)

func TestAnEndpointHasKeysThatPrometheusLacks(t *testing.T) {
	i := mustParse(t, "app", `remote_write:
- url: http://a/
- url: http://b/
  strict_spec: true
  protobuf_message: io.prometheus.write.v2.Request
`)
	require.Equal(t, []Endpoint{{}, {StrictSpec: true}}, i.Endpoints)
	require.Equal(t, remoteapi.WriteV1MessageType, i.RemoteWrite[0].ProtobufMessage, "1.0 is the default")
	require.Equal(t, remoteapi.WriteV2MessageType, i.RemoteWrite[1].ProtobufMessage)

	a, err := LoadAgent("a", []byte(`metrics:
  global: {remote_write: [{url: "http://c/", strict_spec: true}]}
  configs: [{name: one}, {name: two, remote_write: [{url: "http://d/"}]}]
`), LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, []Endpoint{{StrictSpec: true}}, a.Metrics.Configs[0].Endpoints)
	require.Equal(t, []Endpoint{{}}, a.Metrics.Configs[1].Endpoints)

	i = mustParse(t, "app", "remote_write:\n- url: http://a/\n  recent_first: true\n")
	require.Equal(t, []Endpoint{{RecentFirst: true}}, i.Endpoints)

	errs := problems(t, "remote_write:\n- url: http://a/\n  strict_spec: perhaps\n", InstanceOptions{})
	require.Equal(t, "remote_write[0].strict_spec", errs[0].Field)
	require.Equal(t, 3, errs[0].Line)
}

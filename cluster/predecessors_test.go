package cluster_test

import (
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// oldRing is what Grafana Agent's scraping service writes: a map of members, each with tokens and
// times.
func oldRing(members ...cluster.Predecessor) []byte {
	var desc []byte
	for _, m := range members {
		var instance []byte
		instance = protowire.AppendString(protowire.AppendTag(instance, 1, protowire.BytesType), m.Address)
		instance = protowire.AppendVarint(protowire.AppendTag(instance, 2, protowire.VarintType), uint64(m.Heartbeat.Unix()))
		if m.Left {
			instance = protowire.AppendVarint(protowire.AppendTag(instance, 3, protowire.VarintType), 4)
		}
		instance = protowire.AppendBytes(protowire.AppendTag(instance, 6, protowire.BytesType), []byte{1, 2, 3}) // tokens
		var entry []byte
		entry = protowire.AppendString(protowire.AppendTag(entry, 1, protowire.BytesType), m.Name)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), instance)
		desc = protowire.AppendBytes(protowire.AppendTag(desc, 1, protowire.BytesType), entry)
	}
	return snappy.Encode(nil, desc)
}

func TestMembersOfGrafanaAgentsRingAreSeen(t *testing.T) {
	_, store := newConfigs(t)
	registry := cluster.NewRegistry(store, "collectors/")
	found, err := registry.Predecessors(t.Context())
	require.NoError(t, err)
	require.Empty(t, found)

	at := time.Unix(1_700_000_000, 0).UTC()
	a := cluster.Predecessor{Name: "a", Address: "10.0.0.1:12346", Heartbeat: at}
	b := cluster.Predecessor{Name: "b", Address: "10.0.0.2:12346", Heartbeat: at.Add(time.Hour), Left: true}
	putRaw(t, store, "collectors/agent", string(oldRing(b, a)))
	found, err = registry.Predecessors(t.Context())
	require.NoError(t, err)
	require.Equal(t, []cluster.Predecessor{a, b}, found)

	for _, garbage := range []string{"", "garbage", string(snappy.Encode(nil, []byte{0x0a})), string(snappy.Encode(nil, []byte("\xff\xff")))} {
		putRaw(t, store, "collectors/agent", garbage)
		_, err = registry.Predecessors(t.Context())
		require.ErrorContains(t, err, "decode ring of Grafana Agent (key collectors/agent)", "%q", garbage)
	}
}

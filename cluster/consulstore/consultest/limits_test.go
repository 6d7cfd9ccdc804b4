package consultest

import (
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
)

func TestKeysInURLsAreRestrictedAndThoseInTransactionsAreNot(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		for _, key := range []string{"a ", "a/b%2E%2E", "a%20"} {
			_, _, err := c.KV().Get(key, nil)
			require.ErrorContains(t, err, "invalid key name", key)
			_, ok := transact(t, c, &api.KVTxnOp{Verb: api.KVSet, Key: key})
			require.True(t, ok, key)
		}
		require.Nil(t, get(t, c, "a-Z_0,9./x"))
		require.Nil(t, get(t, c, "ключ.html"))
	})
}

func TestASessionWhoseRequestDidNotTellItsLengthHasNoTTL(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		var created struct{ ID string }
		body := io.MultiReader(strings.NewReader(`{"TTL": "10s", "Behavior": "delete"}`)) // of a length that net/http doesn't know
		_, err := c.Raw().Write("/v1/session/create", body, &created, nil)
		require.NoError(t, err)
		info, _, err := c.Session().Info(created.ID, nil)
		require.NoError(t, err)
		require.Empty(t, info.TTL)
		require.Equal(t, "release", info.Behavior)
	})
}

func TestASessionEndsWithTheNodeItBelongsTo(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		_, err := c.Catalog().Register(&api.CatalogRegistration{Node: "external", Address: "127.0.0.1"}, nil)
		require.NoError(t, err)
		external, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Node: "external", TTL: "10s", Behavior: "delete"}, nil)
		require.NoError(t, err)
		own, _, err := c.Session().CreateNoChecks(&api.SessionEntry{TTL: "10s", Behavior: "delete"}, nil)
		require.NoError(t, err)
		info, _, err := c.Session().Info(own, nil)
		require.NoError(t, err)
		_, err = c.Catalog().Deregister(&api.CatalogDeregistration{Node: info.Node}, nil)
		require.NoError(t, err)
		info, _, err = c.Session().Info(own, nil)
		require.NoError(t, err)
		require.Nil(t, info, "as when the agent leaves")
		info, _, err = c.Session().Info(external, nil)
		require.NoError(t, err)
		require.NotNil(t, info)
		_, _, err = c.Session().CreateNoChecks(&api.SessionEntry{Node: "nowhere"}, nil)
		require.ErrorContains(t, err, "Missing node registration")
	})
}

func TestAValueAboveTheLimitIsRefusedWith413(t *testing.T) {
	both(t, func(t *testing.T, c *api.Client) {
		_, err := c.KV().Put(&api.KVPair{Key: "k", Value: make([]byte, 512<<10+1)}, nil)
		require.ErrorContains(t, err, "413")
		_, _, _, err = c.KV().Txn(api.KVTxnOps{{Verb: api.KVSet, Key: "k", Value: make([]byte, 400<<10)}}, nil)
		require.ErrorContains(t, err, "too large", "base64 makes it longer")
	})
}

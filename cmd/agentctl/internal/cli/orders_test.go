package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/web"
)

func TestOrdersAreGivenToTheCluster(t *testing.T) {
	a, w := startWorld(t)
	address := strings.TrimPrefix(a.URL, "http://")
	for _, test := range []struct {
		args []string
		want web.Order
		out  string
	}{
		{[]string{"hold", "team/api", "--reason", "too much", "--by", "ann"}, web.Order{Kind: web.HoldConfig, Name: "team/api", Reason: "too much", By: "ann"}, "held team/api"},
		{[]string{"release", "team/api"}, web.Order{Kind: web.ReleaseConfig, Name: "team/api", By: "127.0.0.1"}, "released"},
		{[]string{"cordon", "node-1", "--by", "ann"}, web.Order{Kind: web.CordonNode, Name: "node-1", By: "ann"}, "cordoned"},
		{[]string{"drain", "node-1", "--force", "--by", "ann"}, web.Order{Kind: web.DrainNode, Name: "node-1", By: "ann", Force: true}, "gives its units"},
		{[]string{"uncordon", "node-1"}, web.Order{Kind: web.UncordonNode, Name: "node-1", By: "127.0.0.1"}, "uncordoned"},
	} {
		w.ordered = nil
		code, out, errs := agentctl(t, append(test.args, "-a", address)...)
		require.Equal(t, 0, code, errs)
		require.Contains(t, out, test.out)
		require.Equal(t, []web.Order{test.want}, w.ordered)
	}
	code, out, errs := agentctl(t, "cluster", "-a", address)
	require.Equal(t, 0, code, errs)
	require.Regexp(t, `ORDER[^\n]*\n.*node-1.*drained.*\n\nHELD.*\nsick .*ann.*too much`, out)

	w.ordered = nil
	code, _, errs = agentctl(t, "drain", "node-1", "-a", address)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "too few other nodes")
	code, _, errs = agentctl(t, "uncordon", "stranger", "-a", address)
	require.Equal(t, 1, code)
	require.Contains(t, errs, `node "stranger" is neither cordoned nor drained`)
	code, _, _ = agentctl(t, "hold", "-a", address)
	require.Equal(t, 2, code)
	require.Empty(t, w.ordered)
}

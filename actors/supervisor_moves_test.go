package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestWhatIsRememberedOfMovesIsBounded(t *testing.T) {
	var m moves
	for i := range 3 * rememberedMoves {
		u := messages.WholeConfig(fmt.Sprint(i))
		claims := map[messages.Unit]messages.Claim{u: {Unit: u, Node: "a", Revision: 1}}
		m.note(nil, messages.ClaimPut{Claim: claims[u]}, time.Time{})
		m.note(claims, messages.ClaimGone{Unit: u, Revision: 2}, time.Time{})
	}
	require.Len(t, m.list, rememberedMoves)
	m.forget(func(config string) bool { return config == "7" })
	require.Equal(t, map[messages.Unit]string{messages.WholeConfig("7"): "a"}, m.last)
}

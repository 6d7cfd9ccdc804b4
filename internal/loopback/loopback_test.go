package loopback

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesAreFreeAndNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		address, err := FreeAddress()
		require.NoError(t, err)
		require.False(t, seen[address])
		seen[address] = true
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestNoTwoProcessesHaveTheSameBlock(t *testing.T) {
	var one block
	require.NoError(t, one.claim())
	_, err := net.Listen("tcp", addressOf(one.next-1))
	require.Error(t, err, "by this another process sees that it is taken")
	require.NoError(t, one.claim())
	require.Len(t, one.claims, 1, "there is something left of it")
	one.next = 0
	require.NoError(t, one.claim())
	require.Len(t, one.claims, 2)
	for _, claim := range one.claims {
		require.NoError(t, claim.Close())
	}
}

func TestAPortOnWhichSomebodyListensIsPassedOver(t *testing.T) {
	_, err := FreeAddress()
	require.NoError(t, err)
	if own.next == 0 {
		_, err = FreeAddress()
		require.NoError(t, err)
	}
	taken := addressOf(own.next)
	if listener, err := net.Listen("tcp", taken); err == nil { // or somebody listens there already
		defer func() { require.NoError(t, listener.Close()) }()
	}
	address, err := FreeAddress()
	require.NoError(t, err)
	require.NotEqual(t, taken, address)
}

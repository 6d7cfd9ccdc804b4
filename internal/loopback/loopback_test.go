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
	var one, other block
	require.NoError(t, one.claim())
	defer func() { require.NoError(t, one.claims[0].Close()) }()
	for range 20 {
		require.NoError(t, other.claim())
		require.NotEqual(t, one.next, other.next)
		other.next = 0
	}
	require.Len(t, other.claims, 20)
	for _, claim := range other.claims {
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
	listener, err := net.Listen("tcp", taken)
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	address, err := FreeAddress()
	require.NoError(t, err)
	require.NotEqual(t, taken, address)
}

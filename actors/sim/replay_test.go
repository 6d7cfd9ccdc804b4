package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSameSeedIsTheSameRunToTheLastEvent(t *testing.T) {
	systems := []System{NewSystem(), NewSystem()}
	hashes := map[uint64]bool{}
	for seed := range uint64(6) {
		before, again := Play(systems[0], seed), Play(systems[1], seed)
		require.Equal(t, before, again)
		hashes[before.Hash] = true
	}
	require.Len(t, hashes, 6, "different seeds are different runs")
}

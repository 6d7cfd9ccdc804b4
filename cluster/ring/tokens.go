package ring

import (
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Key is a name's place in the key space: the lower 32 bits of its xxhash64 with seed 0. It is part
// of what nodes of different versions have to agree on, so it never changes.
func Key(name string) uint32 { return uint32(xxhash.Sum64String(name)) }

// NewTokens draws n distinct tokens that are not taken, and sorts them. rnd returns numbers that
// are evenly distributed over all of uint32; a token that is not free gives way to the next higher
// that is. taken is not changed and may be nil; n and the taken are fewer than 2³² together.
func NewTokens(n int, taken map[uint32]bool, rnd func() uint32) []uint32 {
	drawn := make(map[uint32]bool, max(n, 0))
	tokens := make([]uint32, 0, max(n, 0))
	for range n {
		token := rnd()
		for taken[token] || drawn[token] {
			token++
		}
		drawn[token] = true
		tokens = append(tokens, token)
	}
	slices.Sort(tokens)
	return tokens
}

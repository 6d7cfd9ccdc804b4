package etcdstore

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// The benchmarks run the embedded server as an agent does, fsync included.

func BenchmarkStartOnExistingData(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := StartEmbedded(b.Context(), EmbeddedConfig{Dir: dir})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
}

func BenchmarkPut(b *testing.B) {
	s := benchStore(b)
	value := noise(2 << 10)
	for b.Loop() {
		_, err := s.Put(b.Context(), cluster.PutRequest{Key: "k", Value: value})
		require.NoError(b, err)
	}
}

func BenchmarkListOf10000(b *testing.B) {
	s := benchStore(b)
	value := noise(10 << 10)
	for i := range 10_000 {
		_, err := s.Put(b.Context(), cluster.PutRequest{Key: fmt.Sprintf("configurations/%05d", i), Value: value})
		require.NoError(b, err)
	}
	for b.Loop() {
		l, err := s.List(b.Context(), "configurations/")
		require.NoError(b, err)
		require.Len(b, l.Entries, 10_000)
	}
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := StartEmbedded(b.Context(), EmbeddedConfig{Dir: b.TempDir()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

func noise(n int) []byte {
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	return value
}

package main

import (
	"io/fs"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheCollectorKnowsOfTheContainersMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	files := func(found map[string]string) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if text, ok := found[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		}
	}
	none := func(string) (string, bool) { return "", false }
	for _, c := range []struct {
		found map[string]string
		bound int64
	}{
		{map[string]string{"/sys/fs/cgroup/memory.max": "1000000000\n"}, 900_000_000},
		{map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000000\n"}, 1_800_000_000},
		{map[string]string{"/sys/fs/cgroup/memory.max": "max\n"}, before},
		{map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, before},
		{nil, before},
	} {
		debug.SetMemoryLimit(before)
		limitMemory(none, files(c.found))
		require.Equal(t, c.bound, debug.SetMemoryLimit(-1))
	}
	debug.SetMemoryLimit(before)
	limitMemory(func(string) (string, bool) { return "5GiB", true }, files(map[string]string{"/sys/fs/cgroup/memory.max": "1000"}))
	require.Equal(t, before, debug.SetMemoryLimit(-1), "an operator's own word wins")
}

package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTextsThatANodeKeepsAreBounded(t *testing.T) {
	k := &revisions{}
	large := strings.Repeat("x", 1<<20)
	for i := range 40 {
		k.keep(keptRevision{name: fmt.Sprint(i), text: large, revision: int64(i)})
	}
	require.Equal(t, 16, k.kept.Len(), "16 MiB together")
	require.Equal(t, 16<<20, k.bytes)
	require.Empty(t, k.of("23"), "the oldest goes first")
	require.Len(t, k.of("24"), 1)
	for i := range 10 {
		k.keep(keptRevision{name: "39", text: "small", revision: int64(100 + i)})
		k.keep(keptRevision{name: "39", text: "small", revision: int64(100 + i)}) // heard twice
	}
	require.Len(t, k.of("39"), 5)
	require.EqualValues(t, 109, k.of("39")[4].revision)
	k.forget("39")
	require.Empty(t, k.of("39"))
	for i := range 40 {
		k.forget(fmt.Sprint(i))
	}
	require.Zero(t, k.bytes)
	require.Zero(t, k.kept.Len())
	require.Empty(t, k.named)
}

func TestADifferenceIsBounded(t *testing.T) {
	lines, remark := diffOf("a\nb", "a\nc")
	require.Equal(t, []diffLine{{"at", "@@ -1,2 +1,2 @@"}, {"", " a"}, {"gone", "-b"}, {"fresh", "+c"}}, lines[:4])
	require.Empty(t, remark)
	_, remark = diffOf(strings.Repeat("a\n", 5001), "")
	require.Contains(t, remark, "too long")
	lines, remark = diffOf("", strings.Repeat(strings.Repeat("a", 99)+"\n", 1000))
	require.Contains(t, remark, "not shown")
	require.Less(t, len(lines), 400)
}

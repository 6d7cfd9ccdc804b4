package ringactor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhoLeavesOrHasJustJoinedIsUncounted(t *testing.T) {
	joined := time.Unix(1_800_000_000, 0)
	o := own{joined: joined}
	require.True(t, o.uncounted(joined.Add(9*time.Second), 10*time.Second))
	require.False(t, o.uncounted(joined.Add(10*time.Second), 10*time.Second))
	o.leaves = true
	require.True(t, o.uncounted(joined.Add(time.Hour), 10*time.Second))
}

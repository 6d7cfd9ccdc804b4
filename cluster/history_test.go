package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

func TestARevisionThatGoesBackwardsIsNoticedOnce(t *testing.T) {
	for _, test := range []struct {
		name             string
		newest           int64
		before, revision int64
		rewound          bool
		after            int64
	}{
		{"the first answer", 0, 0, 5, false, 5},
		{"nothing was written", 5, 5, 5, false, 5},
		{"something was written", 5, 5, 9, false, 9},
		{"an answer that was overtaken by a newer one", 9, 5, 7, false, 9},
		{"the store went back", 9, 9, 3, true, 3},
		{"another answer from after it went back", 3, 9, 4, false, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h cluster.History
			h.Observe(0, test.newest)
			rewound := h.Rewound()
			require.Equal(t, test.rewound, h.Observe(test.before, test.revision))
			require.Equal(t, test.after, h.Newest())
			select {
			case <-rewound:
				require.Equal(t, uint64(1), h.Rewinds())
				require.True(t, test.rewound)
			default:
				require.False(t, test.rewound)
			}
		})
	}
}

func TestAReadDuringWhichTheStoreGoesBackIsRepeated(t *testing.T) {
	var h cluster.History
	h.Observe(0, 9)
	reads := 0
	rewinds, err := h.InOneEra(func() error {
		if reads++; reads == 1 {
			h.Observe(9, 3)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, reads)
	require.Equal(t, uint64(1), rewinds)
}

func TestWhatFollowsAPoint(t *testing.T) {
	at := func(cluster_ string, rewinds uint64, revision int64) cluster.Point {
		return cluster.Point{Revision: revision, Era: cluster.Era{Cluster: cluster_, Rewinds: rewinds}}
	}
	for _, test := range []struct {
		name string
		p, q cluster.Point
		want bool
	}{
		{"nothing was before", at("c", 1, 1), cluster.Point{}, true},
		{"the same point", at("c", 1, 5), at("c", 1, 5), true},
		{"a later one", at("c", 1, 6), at("c", 1, 5), true},
		{"an earlier one", at("c", 1, 4), at("c", 1, 5), false},
		{"the store went back, and has passed the old revision", at("c", 2, 9), at("c", 1, 5), false},
		{"another cluster", at("d", 1, 9), at("c", 1, 5), false},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, test.p.Follows(test.q)) })
	}
}

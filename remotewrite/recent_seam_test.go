package remotewrite

import (
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

func TestAnExemplarBehindTheSeamOfTwoTracksIsTheNextTracks(t *testing.T) {
	book := series.New()
	cache := newSeriesCache(labels.EmptyLabels(), dropping("series_1"))
	cache.open(book)
	for _, p := range []*protocol{protocol1(), protocol2()} {
		r, from := newRound(), Position{Segment: 1, Seq: 5}
		progress := freshProgress(1, from.Seq, 0)
		r.begin(progress.marks, -1, limits{items: 10, bytes: 1000, round: 1000, sendExemplars: true}, cache, from, p)
		r.until = Position{Segment: 1, Offset: 10, Seq: 10}
		r.borrow(newPress())
		r.Record(10) // what precedes it was lost
		for n := range 2 {
			ref := acquired(t, book, named(n))
			r.Series(ref)
			r.Float(ref, 0, 1, 1)
			r.Exemplar(ref, exemplar.Exemplar{Ts: 1, HasTs: true})
		}
		r.delivered(Record{End: Position{Segment: 1, Offset: 20, Seq: 12}, Samples: 2, Lost: LostSamples{Damaged: 5}})
		r.finish()
		require.Empty(t, r.lanes[0].sealed, p.version)
		require.Zero(t, r.account.dropped[DroppedByRelabel], p.version)
		require.Equal(t, counts{floatKind: 5}, r.account.dropped[Damaged], p.version)
		require.Equal(t, r.until, r.end, p.version)
	}
}

func TestARecordOfExemplarsBehindTheSeamOfTwoTracksIsNotSettledWithTheFirst(t *testing.T) {
	r := newRound()
	r.end, r.until = Position{Segment: 1, Offset: 5, Seq: 10}, Position{Segment: 1, Offset: 10, Seq: 10}
	r.delivered(Record{End: Position{Segment: 1, Offset: 20, Seq: 10}})
	require.Equal(t, r.until, r.end)
	require.True(t, r.reached())
	require.Zero(t, r.account.lost())
}

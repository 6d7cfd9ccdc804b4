package scrape

import (
	"context"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

func TestOpenSeriesAreThoseOfTheLastScrape(t *testing.T) {
	g := newGate(newMemory(), func(error) {})
	loop := &loopSeries{}
	scrape := func(at int64, refs ...int) {
		var batch seriesBatch
		for _, ref := range refs {
			stale := ref < 0
			batch.add(loop, openSeries{ref: storage.SeriesRef(max(ref, -ref))}, at, stale)
		}
		g.remember(loop, &batch)
	}
	open := func() (refs []int) {
		for _, s := range loop.series {
			refs = append(refs, int(s.ref))
		}
		return refs
	}
	for _, step := range []struct {
		name  string
		refs  []int // negative: a staleness marker
		open  []int
		loops int
	}{
		{"first scrape", []int{1, 2, 3}, []int{1, 2, 3}, 1},
		{"the same again", []int{1, 2, 3}, []int{1, 2, 3}, 1},
		{"one more at the end", []int{1, 2, 3, 4}, []int{1, 2, 3, 4}, 1},
		{"one goes at the end", []int{1, 2, 3, -4}, []int{1, 2, 3}, 1},
		{"one goes in the middle", []int{1, 3, -2}, []int{1, 3}, 1},
		{"it comes back", []int{1, 2, 3}, []int{1, 2, 3}, 1},
		{"another order", []int{3, 2, 1}, []int{3, 2, 1}, 1},
		{"a failed scrape ends all but the report", []int{-3, -2, -1, 9}, []int{9}, 1},
		{"the end of the run", []int{-9}, nil, 0},
		{"a new begin", []int{1}, []int{1}, 1},
	} {
		scrape(10, step.refs...)
		require.Equal(t, step.open, open(), step.name)
		require.Len(t, g.loops, step.loops, step.name)
	}
	scrape(30, 1)
	scrape(20, 1)
	require.Equal(t, int64(30), loop.last)
}

func TestMarkersComeAfterTheLastSample(t *testing.T) {
	m := newMemory()
	g := newGate(m, func(error) {})
	lset := labels.FromStrings("__name__", "future")
	app := m.AppenderV2(context.Background())
	ref, err := app.Append(0, lset, 0, 1000, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	g.loops[nil] = &loopSeries{series: []openSeries{{ref, lset}}, last: 1000}

	require.NoError(t, g.endSeries(500))
	require.Empty(t, m.open())
	require.Equal(t, int64(1001), m.find("future")[1].t)
	require.NoError(t, g.endSeries(2000), "there is nothing left to end")
	require.Len(t, m.find("future"), 2)
}

func TestASeriesWithANewerSampleDoesNotEnd(t *testing.T) {
	m := newMemory()
	g := newGate(m, func(error) {})
	lset := labels.FromStrings("__name__", "shared")
	app := m.AppenderV2(context.Background())
	ref, err := app.Append(0, lset, 0, 1000, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	g.loops[nil] = &loopSeries{series: []openSeries{{ref, lset}}, last: 300}

	require.NoError(t, g.endSeries(500))
	require.NotEmpty(t, m.open())
}

func TestAClosedGateDropsAndRollsBack(t *testing.T) {
	m := newMemory()
	g := newGate(m, func(error) {})
	lset := labels.FromStrings("__name__", "metric")
	app := g.AppenderV2(context.Background())
	_, err := app.Append(0, lset, 0, 1, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	g.close()
	_, err = app.Append(7, lset, 0, 2, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err, "the loop is not told, it would only log")
	require.NoError(t, app.Commit())
	require.Equal(t, 1, m.rollbacks())

	late := g.AppenderV2(context.Background())
	_, err = late.Append(7, lset, 0, 3, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, late.Commit())
	require.NoError(t, late.Rollback())
	require.Zero(t, m.size())
	require.Equal(t, 1, m.appenders)
}

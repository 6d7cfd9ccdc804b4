package remotewrite

import (
	"fmt"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
)

func dropping(name string) []*relabel.Config {
	rule := relabel.DefaultRelabelConfig
	rule.SourceLabels, rule.Regex, rule.Action = []model.LabelName{model.MetricNameLabel}, relabel.MustNewRegexp(name), relabel.Drop
	rule.NameValidationScheme = model.UTF8Validation
	return []*relabel.Config{&rule}
}

func testCache() *seriesCache {
	return newSeriesCache(labels.EmptyLabels(), nil, (&encoder1{}).labels)
}

func named(n int) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("series_%d", n))
}

func encodedName(n int) []byte { return (&encoder1{}).labels(nil, named(n)) }

func TestASeriesIsEncodedOnceAndKeepsItsPlace(t *testing.T) {
	c, b := testCache(), labels.NewBuilder(labels.EmptyLabels())
	c.define(1, named(1), b)
	c.define(2, named(2), b)
	size := len(c.arena)
	c.define(1, named(1), b)
	require.Len(t, c.arena, size)
	_, encoded, known := c.lookup(1)
	require.True(t, known)
	require.Equal(t, encodedName(1), encoded)
	c.define(1, named(3), b)
	_, encoded, _ = c.lookup(1)
	require.Equal(t, encodedName(3), encoded, "a reference with other labels is another series")
	_, _, known = c.lookup(9)
	require.False(t, known)
}

func TestChurnDoesNotGrowTheCache(t *testing.T) {
	c, b := testCache(), labels.NewBuilder(labels.EmptyLabels())
	largest := 0
	for segment := uint64(1); segment < 200; segment++ {
		for i := range 50 {
			ref := segment*50 + uint64(i)
			c.define(ref, named(int(ref)), b)
		}
		c.define(1, named(1), b)
		c.reached(segment)
		largest = max(largest, len(c.byRef))
		_, encoded, known := c.lookup(1)
		require.True(t, known)
		require.Equal(t, encodedName(1), encoded)
		for i := range 50 {
			_, encoded, known := c.lookup(segment*50 + uint64(i))
			require.True(t, known, "what the present segment defined is there")
			require.Equal(t, encodedName(int(segment*50)+i), encoded)
		}
	}
	require.LessOrEqual(t, largest, 3*51)
	require.Less(t, cap(c.arena), 64<<10)
}

func TestSeriesThatRelabellingMakesEqualShareALane(t *testing.T) {
	rule := relabel.DefaultRelabelConfig
	rule.Regex, rule.Action, rule.NameValidationScheme = relabel.MustNewRegexp("pod"), relabel.LabelDrop, model.UTF8Validation
	c := newSeriesCache(labels.EmptyLabels(), []*relabel.Config{&rule}, (&encoder1{}).labels)
	b := labels.NewBuilder(labels.EmptyLabels())
	c.define(1, labels.FromStrings("a", "b", "pod", "1"), b)
	c.define(2, labels.FromStrings("a", "b", "pod", "2"), b)
	one, _, _ := c.lookup(1)
	two, _, _ := c.lookup(2)
	require.Equal(t, one.lane, two.lane)
}

func TestATrimmedArenaHasLittleSlack(t *testing.T) {
	source := newEndless(100)
	c, b := testCache(), labels.NewBuilder(labels.EmptyLabels())
	for i, ls := range source.labels {
		c.define(uint64(i+1), ls, b)
	}
	c.trim()
	require.LessOrEqual(t, cap(c.arena), len(c.arena)*9/8)
	for i, ls := range source.labels {
		_, encoded, _ := c.lookup(uint64(i + 1))
		require.Equal(t, (&encoder1{}).labels(nil, ls), encoded)
	}
}

package remotewrite

import (
	"fmt"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

func dropping(name string) []*relabel.Config {
	rule := relabel.DefaultRelabelConfig
	rule.SourceLabels, rule.Regex, rule.Action = []model.LabelName{model.MetricNameLabel}, relabel.MustNewRegexp(name), relabel.Drop
	rule.NameValidationScheme = model.UTF8Validation
	return []*relabel.Config{&rule}
}

func named(n int) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("series_%d", n))
}

func acquired(t *testing.T, book *series.Book, ls labels.Labels) series.Ref {
	ref, err := book.Acquire(ls)
	require.NoError(t, err)
	return ref
}

func TestAPlainEndpointKeepsNoLabels(t *testing.T) {
	book, b := series.New(), labels.NewBuilder(labels.EmptyLabels())
	c := newSeriesCache(labels.EmptyLabels(), nil)
	c.open(book)
	ref := acquired(t, book, named(1))
	c.define(ref, b)
	_, encoded := c.lookup(ref)
	require.Equal(t, appendLabels(nil, named(1)), encoded.labels)
	require.Zero(t, cap(c.arena))
	s, encoded := c.lookup(ref + 1)
	require.Nil(t, encoded.labels)
	require.EqualValues(t, unknownSeries, s.size)
}

func TestAReferenceThatMeansAnotherSeriesIsFilledAnew(t *testing.T) {
	book, b := series.New(), labels.NewBuilder(labels.EmptyLabels())
	c := newSeriesCache(labels.FromStrings("cluster", "c"), dropping("series_3"))
	c.open(book)
	for n := range 2000 {
		ref := acquired(t, book, named(n))
		for range 2 {
			c.define(ref, b)
			s, encoded := c.lookup(ref)
			if n == 3 {
				require.EqualValues(t, droppedSeries, s.size)
				continue
			}
			require.Equal(t, fmt.Sprintf(`{__name__="series_%d", cluster="c"}`, n), describe(encoded.labels))
		}
		if n%10 != 0 {
			book.Release(ref)
		}
		c.trim()
	}
	require.Less(t, cap(c.arena), 2*200*50, "what the book forgets doesn't stay")
}

func TestMetadataIsThatOfTheSeriesThatAReferenceMeansNow(t *testing.T) {
	book, b := series.New(), labels.NewBuilder(labels.EmptyLabels())
	c := newSeriesCache(labels.EmptyLabels(), nil)
	c.keepsMetadata = true
	c.open(book)
	first := acquired(t, book, named(1))
	c.define(first, b)
	c.describe(first, metadata.Metadata{Help: "one"})
	_, sent := c.lookup(first)
	require.Equal(t, "one", sent.metadata.Help)
	book.Release(first)
	second := acquired(t, book, named(2))
	require.Equal(t, first, second, "the book gives the reference out again")
	c.define(second, b)
	_, sent = c.lookup(second)
	require.Nil(t, sent.metadata)

	// What no series has any more is forgotten.
	for n := range 3 * leastFamilies {
		c.describe(second, metadata.Metadata{Help: fmt.Sprint(n)})
	}
	c.trim()
	require.Len(t, c.families, 1)
}

func TestSeriesThatRelabellingMakesEqualShareALane(t *testing.T) {
	book, b := series.New(), labels.NewBuilder(labels.EmptyLabels())
	rule := relabel.DefaultRelabelConfig
	rule.Action, rule.Regex, rule.NameValidationScheme = relabel.LabelDrop, relabel.MustNewRegexp("pod"), model.UTF8Validation
	c := newSeriesCache(labels.EmptyLabels(), []*relabel.Config{&rule})
	c.open(book)
	x := acquired(t, book, labels.FromStrings("a", "b", "pod", "1"))
	y := acquired(t, book, labels.FromStrings("a", "b", "pod", "2"))
	c.define(x, b)
	c.define(y, b)
	one, _ := c.lookup(x)
	two, _ := c.lookup(y)
	require.Equal(t, one.lane, two.lane)
}

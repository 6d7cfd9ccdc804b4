package series_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/series"
)

// twin is a book as a map.
type twin struct {
	byLabels map[string]series.Ref
	labels   map[series.Ref]string
	holds    map[series.Ref]int
}

// life is one Ref while it means one series.
type life struct {
	ref        series.Ref
	generation uint32
}

func TestBookIsAMapFromLabelsToRefsWithHolds(t *testing.T) {
	for seed := range uint64(10) {
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		b := series.New()
		w := twin{map[string]series.Ref{}, map[series.Ref]string{}, map[series.Ref]int{}}
		names := map[life]string{}
		universe := 1 + random.IntN(2000)
		for range 5000 {
			switch held := anyOf(random, w.holds); {
			case held == 0 || random.IntN(100) < 55:
				w.acquire(t, b, randomSeries(random.IntN(universe)), random.IntN(2) == 0, names)
			case random.IntN(10) == 0:
				if random.IntN(2) == 0 {
					b.Hold(held)
				} else {
					require.True(t, b.TryHold(held))
				}
				w.holds[held]++
			default:
				b.Release(0, held)
				w.release(held)
			}
		}
		w.check(t, b)
		for r, n := range w.holds {
			b.Release(slices.Repeat([]series.Ref{r}, n)...)
		}
		require.Zero(t, b.Stats().Series)
		require.Zero(t, b.Stats().LabelBytes)
	}
}

// anyOf returns a series that is held, 0 if there is none.
func anyOf(random *rand.Rand, holds map[series.Ref]int) series.Ref {
	if len(holds) == 0 {
		return 0
	}
	held := slices.Sorted(maps.Keys(holds))
	return held[random.IntN(len(held))]
}

// acquire acquires a series in both, and demands that they agree.
func (w *twin) acquire(t *testing.T, b *series.Book, ls labels.Labels, encoded bool, names map[life]string) {
	enc, err := series.Encode(nil, ls)
	require.NoError(t, err)
	var r series.Ref
	if known := w.byLabels[string(enc)]; known != 0 && b.Find(ls) == known {
		w.holds[known]++
	} else {
		require.Zero(t, known)
		require.Zero(t, b.Find(ls))
	}
	if encoded {
		r = b.AcquireEncoded(enc)
	} else {
		r, err = b.Acquire(ls)
		require.NoError(t, err)
	}
	if known := w.byLabels[string(enc)]; known != 0 {
		require.Equal(t, known, r)
	} else {
		require.NotContains(t, w.holds, r)
		w.byLabels[string(enc)], w.labels[r] = r, string(enc)
	}
	w.holds[r]++
	this := life{r, b.Generation(r)}
	require.NotZero(t, this.generation)
	if before, ok := names[this]; ok {
		require.Equal(t, before, string(enc), "one generation of a Ref is one series")
	}
	names[this] = string(enc)
}

func (w *twin) release(r series.Ref) {
	if w.holds[r]--; w.holds[r] == 0 {
		delete(w.byLabels, w.labels[r])
		delete(w.labels, r)
		delete(w.holds, r)
	}
}

func (w *twin) check(t *testing.T, b *series.Book) {
	size := 0
	var builder labels.ScratchBuilder
	for r, enc := range w.labels {
		require.Equal(t, enc, string(b.Encoded(r)))
		require.True(t, series.Equal([]byte(enc), b.Labels(r, &builder)))
		require.Less(t, r, b.Bound())
		size += len(enc)
	}
	stats := b.Stats()
	require.Equal(t, len(w.labels), stats.Series)
	require.Equal(t, size, stats.LabelBytes)
}

func randomSeries(n int) labels.Labels {
	return labels.FromStrings("__name__", "http_requests_total", "instance", "host-"+strconv.Itoa(n%7), "n", strconv.Itoa(n))
}

func TestRefsAreGivenOutInOrderAndAgain(t *testing.T) {
	b := series.New()
	for i := range 10 {
		r, err := b.Acquire(randomSeries(i))
		require.NoError(t, err)
		require.EqualValues(t, i+1, r)
	}
	b.Release(3, 4, 5)
	for i, want := range []series.Ref{3, 4, 5, 11} {
		r, err := b.Acquire(randomSeries(100 + i))
		require.NoError(t, err)
		require.Equal(t, want, r, "what is free for longest is given out first")
	}
	require.EqualValues(t, 2, b.Generation(3))
	require.EqualValues(t, 1, b.Generation(11))
}

func TestMemoryStaysFlatWhileSeriesComeAndGo(t *testing.T) {
	const alive = 5000
	b := series.New()
	var held []series.Ref
	var first int
	for round := range 100 {
		for i := range alive {
			r, err := b.Acquire(randomSeries(round*alive + i))
			require.NoError(t, err)
			held = append(held, r)
		}
		if len(held) > alive {
			b.Release(held[:alive]...)
			held = slices.Delete(held, 0, alive)
		}
		if round == 2 {
			first = b.Stats().Bytes
		}
	}
	require.Less(t, b.Stats().Bytes, first*5/4)
	require.EqualValues(t, 2*alive+1, b.Bound(), "columns are as long as the most series alive at once")
}

func TestLabelsCanBeReadWhileSeriesComeAndGo(t *testing.T) {
	b := series.New()
	stop := make(chan struct{})
	var readers, writer sync.WaitGroup
	for n := range 2 {
		held, want := []series.Ref{}, []string{}
		for i := range 500 {
			ls := randomSeries(n*500 + i)
			r, err := b.Acquire(ls)
			require.NoError(t, err)
			enc, err := series.Encode(nil, ls)
			require.NoError(t, err)
			held, want = append(held, r), append(want, string(enc))
		}
		readers.Go(func() {
			for range 200 {
				for i, r := range held {
					if string(b.Encoded(r)) != want[i] {
						t.Errorf("series %d reads %q, want %q", r, b.Encoded(r), want[i])
						return
					}
				}
			}
		})
	}
	writer.Go(func() {
		for i := 1000; ; i += 100 {
			select {
			case <-stop:
				return
			default:
			}
			var some []series.Ref
			for n := range 100 {
				if r, err := b.Acquire(randomSeries(i + n)); err == nil {
					some = append(some, r)
				}
			}
			b.Release(some...)
		}
	})
	readers.Wait()
	close(stop)
	writer.Wait()
}

func TestASeriesThatNobodyHoldsCanNotBeHeldOrReleased(t *testing.T) {
	b := series.New()
	r, err := b.Acquire(randomSeries(1))
	require.NoError(t, err)
	b.Release(r)
	require.False(t, b.TryHold(r))
	require.False(t, b.TryHold(0))
	require.False(t, b.TryHold(r+1))
	require.Panics(t, func() { b.Release(r) })
	require.Panics(t, func() { b.Hold(r) })
}

func TestAColumnGrowsToTheRefsItIsAskedFor(t *testing.T) {
	var c series.Column[int64]
	require.Zero(t, c.Get(7))
	*c.At(7) = 3
	*c.At(100) = 4
	require.EqualValues(t, 3, c.Get(7))
	require.EqualValues(t, 4, c.Get(100))
	require.Equal(t, 101, c.Len())
	c.Reset()
	require.Zero(t, c.Get(7))
}

func ExampleBook() {
	b := series.New()
	r, _ := b.Acquire(labels.FromStrings("__name__", "up", "job", "node"))
	same := b.Find(labels.FromStrings("__name__", "up", "job", "node"))
	fmt.Println(r, same, string(series.Value(b.Encoded(r), "job")))
	b.Release(r, same)
	// Output: 1 1 node
}

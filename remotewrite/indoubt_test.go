package remotewrite

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// killed is the fleet that finds the logs as they are now. It has not begun.
func (f *fleet) killed() *fleet {
	next := newFleet(f.t, 0, perSend(1000))
	next.r, next.scrapes = f.r, f.scrapes
	for _, log := range f.logs {
		next.logs, next.queues = append(next.logs, log.killed()), append(next.queues, nil)
	}
	return next
}

func (f *fleet) startAll() {
	for i := range f.queues {
		f.start(i)
	}
}

func TestAKillWhileARecordInDoubtIsSearchedCostsNoSample(t *testing.T) {
	for range 40 {
		virtually(t, killDuringASearch)
	}
}

// killDuringASearch kills a process between two common requests, and the next one while it searches
// the first record for the series that is at fault.
func killDuringASearch(t *testing.T) {
	const width, stored = 40, 30
	wide := func(n int) labels.Labels { return labels.FromStrings(model.MetricNameLabel, fmt.Sprint("wide", n)) }
	first := newFleet(t, 2, perSend(1000))
	first.scrape(0, 2)
	first.after(10 * time.Second)
	second := first.killed()
	first.close()
	var entries []memsample
	for n := range width {
		entries = append(entries, memsample{ref: uint64(100 + n), labels: wide(n), t: epoch + 100, v: 1})
	}
	second.logs[0].commit(entries...)
	hang, before := make(chan struct{}), first.r.Samples()
	first.r.Set(func(r *receivertest.Receiver) {
		r.Poison = func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "wide0" }
		r.Before = func(*receivertest.Request) int {
			if r.Samples()-before >= stored {
				<-hang
				return http.StatusServiceUnavailable
			}
			return 0
		}
	})
	second.startAll()
	second.after(10 * time.Second)
	third := second.killed()
	close(hang)
	second.close()
	first.r.Set(func(r *receivertest.Receiver) { r.Before = nil })
	third.startAll()
	third.after(time.Minute)
	third.requireBalance()
	arrived := first.r.Stored()
	for n := 1; n < width; n++ {
		require.Len(t, arrived[wide(n).String()].Samples, 1, "series %d", n)
	}
	third.close()
}

func TestAKillWhileABatchThatIsTooLargeIsHalvedCostsNoSample(t *testing.T) {
	for range 20 {
		virtually(t, killDuringAShrink)
	}
}

func killDuringAShrink(t *testing.T) {
	const width = 100
	first := newFleet(t, 1, perSend(1000))
	var entries []memsample
	for n := range width {
		ls := labels.FromStrings(model.MetricNameLabel, fmt.Sprint("wide", n), "pad", strings.Repeat("x", 500))
		entries = append(entries, memsample{ref: uint64(n + 1), labels: ls, t: epoch, v: 1})
	}
	first.logs[0].commit(entries...)
	hang := make(chan struct{})
	first.r.Set(func(r *receivertest.Receiver) {
		r.Before = func(req *receivertest.Request) int {
			switch {
			case len(req.Series) > width/2:
				return http.StatusRequestEntityTooLarge
			case r.Samples() > 0:
				<-hang
				return http.StatusServiceUnavailable
			}
			return 0
		}
	})
	first.queues[0].Notify()
	first.after(10 * time.Second)
	require.Equal(t, width/2, first.r.Samples())
	second := first.killed()
	close(hang)
	first.close()
	first.r.Set(func(r *receivertest.Receiver) { r.Before = nil })
	second.startAll()
	second.after(time.Minute)
	_, dropped, pending := second.requireBalance()
	require.Zero(t, pending)
	require.Zero(t, dropped)
	require.Equal(t, width, first.r.Samples())
	second.close()
}

func TestAReceiverWhoseReplicasSpeakDifferentVersionsKeepsTheAccountExact(t *testing.T) {
	for _, scrapes := range []int{1, 2, 3} {
		virtually(t, func(t *testing.T) { replicasOfTwoVersions(t, scrapes) })
	}
}

// replicasOfTwoVersions has a replica that understands 2.0 answer some lanes, and one that does not
// answer another one.
func replicasOfTwoVersions(t *testing.T, scrapes int) {
	f := newFleet(t, 1, version2, withLanes(4, 4), perSend(1000))
	f.r.Before = func(req *receivertest.Request) int {
		if !strings.Contains(req.Header.Get("Content-Type"), "v2") {
			return 0
		}
		for _, s := range req.Series {
			if s.Labels.Get(model.MetricNameLabel) == "old" {
				return http.StatusUnsupportedMediaType
			}
		}
		return 0
	}
	for n := range scrapes {
		at := epoch + int64(n)
		entries := []memsample{{ref: 1, labels: labels.FromStrings(model.MetricNameLabel, "old"), t: at, v: 1}}
		for i := range 40 {
			ls := labels.FromStrings(model.MetricNameLabel, fmt.Sprint("h", i))
			entries = append(entries, memsample{ref: uint64(2 + i), labels: ls, t: at, h: tsdbutil.GenerateTestCustomBucketsHistogram(1)})
		}
		f.logs[0].commit(entries...)
	}
	f.queues[0].Notify()
	f.after(time.Minute)
	sent, _, pending := f.requireBalance()
	require.Zero(t, pending)
	require.EqualValues(t, f.r.Samples(), sent)
	f.close()
}

// unsavable is a source whose cursor can't be saved at all.
type unsavable struct{ Source }

func (unsavable) Save(Place) error { panic("no cursor") }

func TestAPanicAboutOneOfManyInstancesIsNoneOfTheOthers(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newFleet(t, 10, perSend(1000))
		f.queues[3].Close()
		panics := make(chan error, 10)
		f.queues[3] = New(Options{Clients: f.clients, OnPanic: func(err error) { panics <- err }})
		open := func() (Source, Place, error) {
			s, p, err := f.logs[3].open("a")()
			return unsavable{s}, p, err
		}
		require.NoError(t, f.queues[3].Apply([]EndpointConfig{{Config: writeConfig(t, "http://receiver/", f.change), CursorID: "a", Open: open}}))
		f.scrape(0, 10)
		f.after(time.Minute)
		require.ErrorContains(t, <-panics, "no cursor")
		f.requireArrived(func(i, _ int) bool { return i == 3 })
		f.close()
	})
}

func TestWhoHasMoreThanABatchTakesNothingOfOthersOutOfACommonRequest(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 0, speak)
		f.connect(audited{t, served{f.r}})
		f.add(3)
		f.commit(0)
		f.after(time.Millisecond)
		entries := []memsample{{ref: 1, labels: seriesOf(1, 0), t: epoch, v: 1}}
		for n := range 150 { // exemplars are no samples, and fill a batch all the same
			entries = append(entries, memsample{ref: 2, labels: seriesOf(1, 1), e: &exemplar.Exemplar{Value: float64(n), Ts: epoch, HasTs: true}})
		}
		f.logs[1].commit(entries...)
		f.queues[1].Notify()
		f.after(time.Millisecond)
		f.commit(2)
		f.after(10 * time.Second)
		require.Equal(t, 1+2*fleetSeries, f.r.Samples())
		f.close()
	})
}

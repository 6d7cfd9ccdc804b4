package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

const (
	// recentInterval is how often recency scrapes, recentSeries what a scrape has.
	recentInterval = 15 * time.Second
	recentSeries   = 40
)

// recency is one instance, in virtual time, with a receiver that takes samples out of order, and a
// score of them a second in each lane: seven times what is scraped.
type recency struct {
	t       *testing.T
	r       *receivertest.Receiver
	way     *mortal
	log     *memlog
	q       *Queue
	first   bool
	lanes   int
	version int
	scrapes int
	// slow is what is added to a request, in milliseconds.
	slow atomic.Int64
	down atomic.Bool
}

func newRecency(t *testing.T, first bool, lanes int) *recency {
	f := &recency{t: t, log: newMemlog(), first: first, lanes: lanes}
	f.r = &receivertest.Receiver{OutOfOrder: true}
	f.r.Before = func(*receivertest.Request) int {
		if f.down.Load() {
			return http.StatusServiceUnavailable
		}
		<-time.After(time.Duration(500+f.slow.Load()) * time.Millisecond)
		return 0
	}
	f.restart()
	return f
}

// restart begins anew on the log, with a queue of its own.
func (f *recency) restart() {
	f.way = &mortal{served: served{f.r}}
	clients, way := NewClients(), f.way
	clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) {
		return &http.Client{Transport: way}, nil
	}
	f.q = New(Options{Clients: clients, OnPanic: func(err error) { f.t.Error(err) }})
	f.reload()
}

// reload changes the endpoint in place.
func (f *recency) reload() {
	f.version++
	change := func(c *promconfig.RemoteWriteConfig) {
		c.Headers = map[string]string{"X-Version": fmt.Sprint(f.version)}
		c.QueueConfig.BatchSendDeadline = model.Duration(5 * time.Second)
		c.QueueConfig.MinBackoff = model.Duration(30 * time.Millisecond)
		c.QueueConfig.MaxBackoff = model.Duration(5 * time.Second)
	}
	e := EndpointConfig{CursorID: "a", Open: f.log.open("a"), RecentFirst: f.first}
	e.Config = writeConfig(f.t, "http://receiver/", perSend(10), withLanes(1, f.lanes), change)
	require.NoError(f.t, f.q.Apply([]EndpointConfig{e}))
}

// kill leaves the log as it is at this moment, and what is under way to the receiver.
func (f *recency) kill() {
	log := f.log.killed()
	f.way.dead.Store(true)
	f.q.Close()
	f.after(3 * time.Second)
	f.log = log
	f.restart()
}

func (f *recency) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// scrape commits a scrape of all series.
func (f *recency) scrape() {
	f.scrapes++
	entries := make([]memsample, 0, recentSeries)
	for i := range recentSeries {
		entries = append(entries, memsample{
			ref: uint64(i + 1), labels: recentLabels(i), t: time.Now().UnixMilli(), v: float64(f.scrapes),
		})
	}
	f.log.commit(entries...)
	f.q.Notify()
}

func recentLabels(i int) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("s%d", i))
}

// pass scrapes for a while, and calls each with the age of the newest sample of the series that is
// furthest behind, every second.
func (f *recency) pass(d time.Duration, each func(lag time.Duration)) {
	for begin := time.Now(); time.Since(begin) < d; f.after(time.Second) {
		if time.Now().Unix()%int64(recentInterval/time.Second) == 0 {
			f.scrape()
		}
		synctest.Wait()
		f.requireBalance()
		if each != nil {
			each(f.lag())
		}
	}
}

func (f *recency) lag() time.Duration {
	stored := f.r.Stored()
	oldest := time.Now()
	for i := range recentSeries {
		s := stored[recentLabels(i).String()].Samples
		if len(s) == 0 {
			return time.Hour
		}
		if at := time.UnixMilli(s[len(s)-1].T); at.Before(oldest) {
			oldest = at
		}
	}
	return time.Since(oldest)
}

func (f *recency) requireBalance() {
	f.t.Helper()
	s := f.q.Endpoints()[0]
	total := s.Sent + s.Pending
	for _, n := range s.Dropped {
		total += n
	}
	require.Equal(f.t, s.Committed, total, "%+v", s)
}

func (f *recency) requireAllArrived() {
	f.t.Helper()
	f.requireBalance()
	require.Zero(f.t, f.q.Pending())
	require.Empty(f.t, f.q.Endpoints()[0].Dropped)
	for name, s := range f.r.Stored() {
		require.Len(f.t, s.Samples, f.scrapes, name)
	}
	require.Equal(f.t, recentSeries*f.scrapes, f.r.Samples())
}

// outage lets ten minutes be scraped that the receiver does not take.
func (f *recency) outage() {
	f.pass(time.Minute, nil)
	f.down.Store(true)
	f.pass(10*time.Minute, nil)
	require.Greater(f.t, f.lag(), 9*time.Minute)
	f.down.Store(false)
}

func TestAfterAnOutageFreshSamplesStayFreshWhileTheBacklogDrains(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("recent first: ", first), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newRecency(t, first, 1)
				f.outage()
				backlog := f.q.Pending()
				// The first retry may part the log anew: the next scrape is the first that stays fresh.
				begin, old := time.Now(), 0
				f.pass(time.Minute, func(lag time.Duration) {
					if time.Since(begin) > 2*recentInterval && lag >= 2*recentInterval {
						old++
					}
				})
				require.NotZero(t, f.q.Pending(), "the backlog is not sent yet")
				require.Less(t, f.q.Pending(), backlog, "it drains")
				if !first {
					require.Greater(t, old, 25)
					f.q.Close()
					return
				}
				require.Zero(t, old)
				f.pass(4*time.Minute, func(lag time.Duration) { require.Less(t, lag, 2*recentInterval) })
				require.Less(t, f.q.Pending(), uint64(2*recentSeries), "the backlog is sent")
				require.Len(t, f.q.Endpoints()[0].Dropped, 0)
				f.after(10 * time.Second)
				f.requireAllArrived()
				require.Equal(t, Place{Position: f.log.end()}, f.log.cursors["a"])
				f.q.Close()
			})
		})
	}
}

func TestTheBacklogHasItsShareOfAReceiverThatIsTooSlow(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 1)
		defer func() {
			f.q.Close()
			f.after(10 * time.Second) // the request under way
		}()
		f.outage()
		f.slow.Store(4000) // two samples a second; more are scraped
		f.pass(time.Minute, nil)
		l := (*f.q.live.Load())[0].ledger
		backlog := func() uint64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.tracks[0].pending(l.tracks[0].until.Seq)
		}
		before := backlog()
		f.pass(5*time.Minute, nil)
		sent := before - backlog()
		requests := uint64(5 * time.Minute / (4500 * time.Millisecond))
		require.GreaterOrEqual(t, sent, requests/4*10, "each fourth request at least")
		require.LessOrEqual(t, sent, requests/2*10, "the most are for recent samples")
	})
}

func TestABacklogThatTheReceiverDoesNotTakeDoesNotHoldUpFreshSamples(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 1)
		f.outage()
		var end atomic.Int64
		end.Store(time.Now().Add(-time.Minute).UnixMilli())
		before := f.r.Before
		f.r.Set(func(r *receivertest.Receiver) {
			r.Before = func(req *receivertest.Request) int {
				if req.Series[0].Samples[0].T < end.Load() {
					return http.StatusServiceUnavailable
				}
				return before(req)
			}
		})
		f.pass(2*recentInterval, nil)
		f.pass(5*time.Minute, func(lag time.Duration) { require.Less(t, lag, 2*recentInterval) })
		require.NotZero(t, f.q.Pending())
		end.Store(0)
		f.pass(10*time.Minute, func(lag time.Duration) { require.Less(t, lag, 2*recentInterval) })
		f.after(10 * time.Second)
		f.requireAllArrived()
		f.q.Close()
	})
}

func TestTheBoundOnMemoryIsAskedForTheLanesOfTheTrackThatIsSent(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 4)
		f.outage()
		e := (*f.q.live.Load())[0]
		before := f.r.Before
		var wrong, checked atomic.Int64
		f.r.Set(func(r *receivertest.Receiver) {
			r.Before = func(req *receivertest.Request) int {
				e.ledger.mu.Lock()
				lanes, pending := len(e.ledger.progress.marks), e.ledger.pendingLocked()
				e.ledger.mu.Unlock()
				if pending > 5*recentSeries {
					checked.Add(1)
					rest := maxSendingEach - e.weight.of(uint64(lanes)*10)
					sending := e.sender.destination.sending
					if !sending.TryAcquire(rest) {
						wrong.Add(1)
					} else if sending.Release(rest); sending.TryAcquire(rest + 1) {
						sending.Release(rest + 1)
						wrong.Add(1)
					}
				}
				return before(req)
			}
		})
		lanes := map[int]bool{}
		f.pass(time.Minute, func(time.Duration) {
			e.ledger.mu.Lock()
			defer e.ledger.mu.Unlock()
			if len(e.ledger.tracks) > 1 {
				lanes[len(e.ledger.tracks[1].progress.marks)-len(e.ledger.tracks[0].progress.marks)] = true
			}
		})
		require.Greater(t, len(lanes), 1, "the tracks had different numbers of lanes")
		require.NotZero(t, checked.Load())
		require.Zero(t, wrong.Load())
		f.pass(5*time.Minute, nil)
		f.after(10 * time.Second)
		f.requireAllArrived()
		f.q.Close()
	})
}

func TestASecondOutageBeforeTheBacklogIsSentIsNoDifferent(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 1)
		for range 3 {
			f.outage()
			f.pass(2*recentInterval, nil)
			f.pass(30*time.Second, func(lag time.Duration) { require.Less(t, lag, 2*recentInterval) })
			require.NotZero(t, f.q.Pending())
		}
		f.pass(20*time.Minute, func(lag time.Duration) { require.Less(t, lag, 2*recentInterval) })
		f.after(10 * time.Second)
		f.requireAllArrived()
		require.Equal(t, recentSeries*f.scrapes, int(f.q.Endpoints()[0].Sent))
		f.q.Close()
	})
}

func TestAReloadAndAKillWhileTheBacklogDrainsLoseNothing(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill: ", kill), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newRecency(t, true, 1)
				f.outage()
				for range 4 {
					f.pass(20*time.Second, nil)
					require.NotZero(t, f.q.Pending())
					if kill {
						f.kill()
						continue
					}
					f.first = !f.first // what was begun is ended
					sent := f.q.Endpoints()[0].Sent
					f.reload()
					require.GreaterOrEqual(t, f.q.Endpoints()[0].Sent, sent)
					f.requireBalance()
				}
				f.pass(10*time.Minute, nil)
				f.after(10 * time.Second)
				f.requireAllArrived()
				if !kill {
					require.Equal(t, recentSeries*f.scrapes, int(f.q.Endpoints()[0].Sent), "nothing was sent twice")
				}
				f.q.Close()
			})
		})
	}
}

func TestTheOptionMayBeSwitchedOffDuringAnOutageForAReceiverThatTakesNothingOutOfOrder(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 1)
		f.r.Set(func(r *receivertest.Receiver) { r.OutOfOrder = false })
		f.pass(time.Minute, nil)
		f.down.Store(true)
		f.pass(10*time.Minute, nil)
		f.first = false
		f.reload()
		f.pass(time.Minute, nil)
		f.down.Store(false)
		f.pass(5*time.Minute, nil)
		f.after(10 * time.Second)
		f.requireAllArrived()
		f.q.Close()
	})
}

func TestWithTheOptionOffTheBacklogGoesFirstThoughNewerSamplesWereSent(t *testing.T) {
	virtually(t, func(t *testing.T) {
		f := newRecency(t, true, 1)
		f.outage()
		f.pass(20*time.Second, nil)
		f.first = false
		f.reload()
		l := (*f.q.live.Load())[0].ledger
		newest := func() (tracks int, at Position) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.tracks), l.tracks[len(l.tracks)-1].cursor
		}
		tracks, was := newest()
		require.Equal(t, 2, tracks)
		f.pass(4*time.Minute, func(time.Duration) {
			if n, at := newest(); n > 1 {
				require.Equal(t, was, at, "it waits for the backlog")
			}
		})
		f.after(10 * time.Second)
		f.requireAllArrived()
		require.Equal(t, recentSeries*f.scrapes, int(f.q.Endpoints()[0].Sent), "nothing was sent twice")
		f.q.Close()
	})
}

func TestWhatIsLostWhereTheTracksMeetIsCountedOnce(t *testing.T) {
	// The numbers are those of records; 0 is the first of the newest track.
	for _, damaged := range [][]int{{-1}, {-2, -1}, {-1, 0}, {-3, 0, 1}, {0}} {
		t.Run(fmt.Sprint(damaged), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				f := newRecency(t, true, 1)
				f.outage()
				f.pass(2*recentInterval, nil)
				l := (*f.q.live.Load())[0].ledger
				l.mu.Lock()
				require.Len(t, l.tracks, 2)
				until := int(l.tracks[0].until.Seq) / recentSeries
				l.mu.Unlock()
				lost := 0
				for _, i := range damaged {
					f.log.damage(until + i)
					if i < 0 { // the others are sent already
						lost += recentSeries
					}
				}
				f.pass(5*time.Minute, nil)
				f.after(10 * time.Second)
				s := f.q.Endpoints()[0]
				require.Zero(t, s.Pending)
				require.EqualValues(t, lost, s.Dropped[Damaged])
				require.EqualValues(t, recentSeries*f.scrapes, int(s.Sent)+lost)
				require.EqualValues(t, f.r.Samples(), s.Sent)
				f.q.Close()
			})
		})
	}
}

// TestRecentFirstLosesNothingInRandomLives fails, kills and reloads at random.
func TestRecentFirstLosesNothingInRandomLives(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			virtually(t, func(t *testing.T) { recentLives(t, seed) })
		})
	}
}

func recentLives(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	m := &moods{rnd: rand.New(rand.NewPCG(seed, 4)), bad: true}
	f := newRecency(t, true, 4)
	before := f.r.Before
	f.r.Before = func(req *receivertest.Request) int {
		<-time.After(time.Duration(m.one(500)) * time.Millisecond)
		if m.one(10) == 0 {
			return 500
		}
		return before(req)
	}
	f.r.After = func(*receivertest.Request) int {
		switch m.one(20) {
		case 0:
			return 500
		case 1:
			panic(http.ErrAbortHandler)
		}
		return 0
	}
	for range 12 {
		f.down.Store(rnd.IntN(2) == 0)
		f.pass(time.Duration(rnd.IntN(200))*time.Second, nil)
		switch rnd.IntN(4) {
		case 0:
			f.kill()
		case 1:
			f.first = rnd.IntN(4) > 0
			f.reload()
		}
	}
	m.mu.Lock()
	m.bad = false
	m.mu.Unlock()
	f.down.Store(false)
	f.r.Set(func(r *receivertest.Receiver) { r.Before, r.After = nil, nil })
	f.pass(30*time.Minute, nil)
	f.after(10 * time.Second)
	f.requireAllArrived()
	f.q.Close()
}

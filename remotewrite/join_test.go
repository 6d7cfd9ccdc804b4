package remotewrite

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// fleet is many instances with one destination, in virtual time.
type fleet struct {
	t       *testing.T
	r       *receivertest.Receiver
	clients *Clients
	logs    []*memlog
	queues  []*Queue
	change  func(*promconfig.RemoteWriteConfig)
	logger  *zap.Logger
	scrapes int
}

// fleetSeries is how many series an instance has.
const fleetSeries = 10

func newFleet(t *testing.T, instances int, change ...func(*promconfig.RemoteWriteConfig)) *fleet {
	f := &fleet{t: t, r: &receivertest.Receiver{}, clients: NewClients()}
	f.clients.connect = func(*promconfig.RemoteWriteConfig) (*http.Client, error) {
		return &http.Client{Transport: served{f.r}}, nil
	}
	f.change = func(c *promconfig.RemoteWriteConfig) {
		c.QueueConfig.BatchSendDeadline = model.Duration(5 * time.Second)
		c.QueueConfig.MinBackoff, c.QueueConfig.MaxBackoff = model.Duration(100*time.Millisecond), model.Duration(5*time.Second)
		c.QueueConfig.MaxSamplesPerSend = 100
		for _, f := range change {
			f(c)
		}
	}
	for range instances {
		f.logs = append(f.logs, newMemlog())
		f.queues = append(f.queues, nil)
	}
	for i := range f.queues {
		f.start(i)
	}
	return f
}

// served answers requests by calling a handler.
type served struct{ handler http.Handler }

func (s served) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	w := httptest.NewRecorder()
	answered := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answered <- fmt.Errorf("the connection broke: %v", v)
			}
		}()
		s.handler.ServeHTTP(w, r)
		answered <- nil
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case err := <-answered:
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		return w.Result(), nil
	}
}

func (f *fleet) start(i int) {
	f.queues[i] = New(Options{Clients: f.clients, Logger: f.logger, OnPanic: func(err error) { f.t.Error(err) }})
	cfg := writeConfig(f.t, "http://receiver/", f.change)
	require.NoError(f.t, f.queues[i].Apply([]EndpointConfig{{Config: cfg, CursorID: "a", Open: f.logs[i].open("a")}}))
}

// scrape commits one scrape of instances from to below to.
func (f *fleet) scrape(from, to int) {
	f.scrapes++
	for i := from; i < to; i++ {
		f.commit(i)
	}
}

func (f *fleet) commit(i int) {
	f.write(i)
	f.queues[i].Notify()
}

// write has the log of an instance hold another scrape, of which the queue is not told.
func (f *fleet) write(i int) {
	entries := make([]memsample, 0, fleetSeries)
	for n := range fleetSeries {
		entries = append(entries, memsample{
			ref: uint64(n + 1), labels: seriesOf(i, n), t: epoch + int64(f.scrapes), v: float64(f.scrapes),
		})
	}
	f.logs[i].commit(entries...)
}

func seriesOf(instance, n int) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("s%d", n), "unit", fmt.Sprint(instance))
}

// after waits in virtual time until everything that happens then has happened.
func (f *fleet) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// requireBalance checks each endpoint's account, and returns the sums.
func (f *fleet) requireBalance() (sent, dropped, pending uint64) {
	f.t.Helper()
	for i, q := range f.queues {
		for _, s := range q.Endpoints() {
			total := s.Sent + s.Pending
			for _, n := range s.Dropped {
				total += n
				dropped += n
			}
			require.Equal(f.t, s.Committed, total, "instance %d: %+v", i, s)
			sent, pending = sent+s.Sent, pending+s.Pending
		}
	}
	return sent, dropped, pending
}

// requireArrived checks that all scrapes of all series arrived in order, but those of which except
// says that they can't.
func (f *fleet) requireArrived(except func(instance, n int) bool) {
	f.t.Helper()
	stored := f.r.Stored()
	for i, log := range f.logs {
		scrapes := len(log.records)
		for n := range fleetSeries {
			if except != nil && except(i, n) {
				continue
			}
			require.Len(f.t, stored[seriesOf(i, n).String()].Samples, scrapes, "series %d of instance %d", n, i)
		}
	}
}

func (f *fleet) close() {
	for _, q := range f.queues {
		q.Close()
	}
}

func virtually(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// virtuallyInBoth runs a test in virtual time with each version.
func virtuallyInBoth(t *testing.T, test func(t *testing.T, speak func(*promconfig.RemoteWriteConfig))) {
	t.Helper()
	bothProtocols(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		virtually(t, func(t *testing.T) { test(t, speak) })
	})
}

func TestWhatManyInstancesHaveTravelsTogether(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 200, speak)
		for range 10 {
			f.scrape(0, 200)
			f.after(10 * time.Second)
		}
		sent, _, pending := f.requireBalance()
		require.EqualValues(t, 200*10*fleetSeries, sent)
		require.Zero(t, pending)
		f.requireArrived(nil)
		require.Equal(t, 200, f.r.Requests(), "each holds a full batch: ten instances")
		f.close()
		for _, log := range f.logs {
			require.Equal(t, Place{Position: log.end()}, log.cursors["a"])
		}
	})
}

func TestOneOfManyInstancesIsSentWithinItsDeadline(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 50, speak)
		f.scrape(7, 8)
		f.after(4 * time.Second)
		f.scrape(8, 11)
		require.Zero(t, f.r.Samples())
		f.after(time.Second)
		require.Equal(t, 1, f.r.Requests(), "the others travel with it")
		require.Equal(t, 4*fleetSeries, f.r.Samples())
		f.close()
	})
}

func TestAPoisonedInstanceCostsItsNeighboursOneSearchAndNoSample(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 10, speak)
		f.r.Poison = func(ls labels.Labels) bool { return ls.Get("unit") == "3" && ls.Get(model.MetricNameLabel) == "s4" }
		f.scrape(0, 10)
		f.after(10 * time.Second)
		require.Equal(t, 100-1, f.r.Samples())
		requests := f.r.Requests()
		require.LessOrEqual(t, requests, 1+2*4+1+2*4, "two per halving, of the instances and of the series")
		refused := f.r.Refused()
		for range 20 {
			f.scrape(0, 10)
			f.after(10 * time.Second)
		}
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 21, dropped)
		f.requireArrived(func(i, n int) bool { return i == 3 && n == 4 })
		require.LessOrEqual(t, f.r.Refused()-refused, 20, "only the one at fault is refused any more")
		require.LessOrEqual(t, f.r.Requests()-requests, 20*(1+2))
		f.close()
	})
}

func TestEveryInstancePoisonedLosesNoGoodSample(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 30, speak)
		f.r.Poison = func(ls labels.Labels) bool { return ls.Get(model.MetricNameLabel) == "s9" }
		for range 5 {
			f.scrape(0, 30)
			f.after(10 * time.Second)
		}
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 30*5, dropped)
		f.requireArrived(func(_, n int) bool { return n == 9 })
		f.close()
	})
}

func TestACommonRequestThatIsTooLargeIsHalved(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 40, speak, perSend(1000))
		f.r.Before = func(r *receivertest.Request) int {
			if len(r.Series) > 150 {
				return http.StatusRequestEntityTooLarge
			}
			return 0
		}
		for range 30 {
			f.scrape(0, 40)
			f.after(10 * time.Second)
		}
		sent, _, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 40*30*fleetSeries, sent)
		f.requireArrived(nil)
		require.LessOrEqual(t, f.r.Requests(), 30*10, "the size is learned")
		f.close()
	})
}

func TestACommonRequestWhoseAnswerIsLostIsRepeatedByEachForItself(t *testing.T) {
	for name, lose := range map[string]func() int{
		"stored, and answered 500":    func() int { return 500 },
		"stored, and the answer lost": func() int { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
				f := newFleet(t, 10, speak)
				f.r.After = func(*receivertest.Request) int { return lose() }
				f.scrape(0, 10)
				synctest.Wait()
				require.Equal(t, 100, f.r.Samples())
				f.r.Set(func(r *receivertest.Receiver) { r.After = nil })
				f.scrape(0, 10)
				f.after(time.Minute)
				sent, dropped, pending := f.requireBalance()
				require.Zero(t, pending)
				require.Zero(t, dropped)
				require.EqualValues(t, 200, sent)
				f.requireArrived(nil)
				f.close()
			})
		})
	}
}

func TestAKillDuringACommonRequestCostsNoNewSample(t *testing.T) {
	for _, before := range []int{0, 3} {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprint(before, " requests before, stored ", stored), func(t *testing.T) {
				virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
					killDuringACommonRequest(t, before, stored, speak)
				})
			})
		}
	}
}

func killDuringACommonRequest(t *testing.T, before int, stored bool, speak func(*promconfig.RemoteWriteConfig)) {
	f := newFleet(t, 10, perSend(300), speak)
	for range 3 * before {
		f.scrape(0, 10)
		synctest.Wait()
	}
	require.Equal(t, before, f.r.Requests())
	hang := make(chan struct{})
	f.r.Set(func(r *receivertest.Receiver) {
		r.Before = func(*receivertest.Request) int {
			if !stored {
				<-hang
				return 500
			}
			return 0
		}
		r.After = func(*receivertest.Request) int { <-hang; return 500 }
	})
	for range 3 {
		f.scrape(0, 10)
	}
	synctest.Wait()
	f.scrape(0, 10) // is not part of the request
	synctest.Wait()
	next := newFleet(t, 0, perSend(300), speak)
	next.r, next.scrapes = f.r, f.scrapes
	for _, log := range f.logs {
		next.logs, next.queues = append(next.logs, log.killed()), append(next.queues, nil)
	}
	close(hang)
	f.close()
	synctest.Wait() // also for what the receiver was sent just before the end
	f.r.Set(func(r *receivertest.Receiver) { r.Before, r.After = nil, nil })
	asked := f.r.Requests()
	next.scrapes++
	for i := range next.logs {
		next.write(i) // before it starts, so that it does not travel alone
		next.start(i)
	}
	next.after(time.Minute)
	_, dropped, pending := next.requireBalance()
	require.Zero(t, pending)
	require.Zero(t, dropped)
	next.requireArrived(nil)
	most := 3 * 10 // the first record, the next one of the same series, which ends the doubt, and the rest
	if stored {
		most = 10 * (3*(1+hopelessInDoubt) + 2)
	}
	require.LessOrEqual(t, f.r.Requests()-asked, most, "of each record in doubt so many series are asked for at most")
	next.close()
}

func TestACursorIsWrittenOncePerCommonRequest(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 10, speak)
		f.scrape(0, 10)
		synctest.Wait()
		saves := func() (n int) {
			for _, log := range f.logs {
				log.mu.Lock()
				n += log.saves
				log.mu.Unlock()
			}
			return n
		}
		before := saves()
		for range 5 {
			f.scrape(0, 10)
			synctest.Wait()
		}
		require.Equal(t, 6, f.r.Requests())
		require.Equal(t, 5*10, saves()-before)
		f.close()
		require.Equal(t, 6*10, saves()-before, "what is closed says exactly where it was")
		for _, log := range f.logs {
			require.Equal(t, Place{Position: log.end()}, log.cursors["a"])
		}
	})
}

func TestACloseLeavesACommonRequestToTheOthers(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 10, speak, func(c *promconfig.RemoteWriteConfig) { c.RemoteTimeout = model.Duration(30 * time.Second) })
		var requests atomic.Int32
		hang := make(chan struct{})
		f.r.Before = func(*receivertest.Request) int {
			if requests.Add(1) == 1 {
				<-hang
			}
			return 0
		}
		f.scrape(0, 10)
		synctest.Wait()
		begin := time.Now()
		f.queues[4].Close()
		require.Equal(t, closeGrace, time.Since(begin))
		f.start(4)
		close(hang)
		f.after(10 * time.Second)
		_, dropped, pending := f.requireBalance()
		require.Zero(t, pending)
		require.Zero(t, dropped)
		f.requireArrived(nil)
		require.LessOrEqual(t, f.r.Requests(), 1+2+fleetSeries, "the request, and the repetition of the one")
		f.close()
	})
}

func TestAnOutageOfTheCommonDestinationLosesNothing(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 100, speak)
		f.r.Before = func(*receivertest.Request) int { return 503 }
		for range 30 {
			f.scrape(0, 100)
			f.after(10 * time.Second)
		}
		asked := f.r.Requests()
		require.LessOrEqual(t, asked, 300*10, "the pause is common")
		f.r.Set(func(r *receivertest.Receiver) { r.Before = nil })
		f.after(time.Minute)
		sent, _, pending := f.requireBalance()
		require.Zero(t, pending)
		require.EqualValues(t, 100*30*fleetSeries, sent)
		f.requireArrived(nil)
		require.LessOrEqual(t, f.r.Requests()-asked, 2*100*30*fleetSeries/100)
		f.close()
	})
}

func TestADrainDoesNotWaitForOthersToJoin(t *testing.T) {
	virtuallyInBoth(t, func(t *testing.T, speak func(*promconfig.RemoteWriteConfig)) {
		f := newFleet(t, 10, speak)
		f.scrape(0, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		pending, err := f.queues[1].Drain(ctx)
		require.NoError(t, err)
		require.Zero(t, pending)
		require.Zero(t, time.Since(begin))
		require.Equal(t, fleetSeries, f.r.Samples())
		f.close()
	})
}

func TestAReceiverThatHangsLeavesRoomForOthers(t *testing.T) {
	clients := NewClients()
	hanging, other := newDestination(clients, nil, digest{1}), newDestination(clients, nil, digest{2})
	require.NoError(t, hanging.enter(t.Context(), 1<<40), "more than there may be takes all there is")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, hanging.enter(over, 1))
	require.NoError(t, other.enter(t.Context(), maxSendingEach))
	other.leave(maxSendingEach)
	hanging.leave(1 << 40)
	require.NoError(t, hanging.enter(t.Context(), maxSendingEach))
	hanging.leave(maxSendingEach)
	require.True(t, clients.sending.TryAcquire(maxSending), "all was given back")
}

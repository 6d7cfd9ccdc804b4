package remotewrite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
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

// mortal is a process' way to a receiver: once it is dead it asks nothing, and hears no answer.
type mortal struct {
	served
	dead atomic.Bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	resp, err := m.served.RoundTrip(r)
	if m.dead.Load() {
		return nil, errDead
	}
	return resp, err
}

// moods are what a receiver does to requests at random.
type moods struct {
	mu  sync.Mutex
	rnd *rand.Rand
	bad bool
}

func (m *moods) one(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bad {
		return n
	}
	return m.rnd.IntN(n)
}

// TestInstancesWithOneReceiverLoseNothingInRandomLives kills, closes and reloads instances that
// share requests, and has their receiver fail in all ways, with one series of some instances that
// it never takes.
func TestInstancesWithOneReceiverLoseNothingInRandomLives(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			virtually(t, func(t *testing.T) { randomLives(t, seed) })
		})
	}
}

// poisonOfLives says which series the receiver never takes.
func poisonOfLives(instance, n int) bool { return instance%3 == 1 && n == 4 }

// rule makes the receiver answer by its moods.
func (m *moods) rule(f *fleet, seed uint64) {
	f.r.Partial, f.r.Forgives = seed%8 == 7, seed%16 == 15
	f.r.Poison = func(ls labels.Labels) bool {
		var i, n int
		_, _ = fmt.Sscanf(ls.Get("unit")+ls.Get(model.MetricNameLabel), "%ds%d", &i, &n)
		return poisonOfLives(i, n)
	}
	f.r.Before = func(req *receivertest.Request) int {
		if seed%4 == 3 && strings.Contains(req.Header.Get("Content-Type"), "v2") && m.one(20) == 0 {
			return http.StatusUnsupportedMediaType
		}
		<-time.After(time.Duration(m.one(1000)) * time.Millisecond)
		switch m.one(10) {
		case 0:
			return 503
		case 1:
			return 429
		}
		return 0
	}
	f.r.After = func(*receivertest.Request) int {
		<-time.After(time.Duration(m.one(1000)) * time.Millisecond)
		switch m.one(10) {
		case 0:
			return 500
		case 1:
			panic(http.ErrAbortHandler)
		}
		return 0
	}
}

// requireOnlyPoisonDropped checks what the accounts say was given up. A receiver of 2.0 may not say
// whose samples it refused of a common request; then only the sum is sure.
func (f *fleet) requireOnlyPoisonDropped(saysWhose bool) {
	f.t.Helper()
	var rejected, most uint64
	for i, q := range f.queues {
		dropped := q.Endpoints()[0].Dropped
		poison := uint64(0)
		if poisonOfLives(i, 4) {
			poison = uint64(len(f.logs[i].records))
		}
		if saysWhose {
			require.LessOrEqual(f.t, dropped[Rejected], poison, "instance %d", i)
		}
		rejected, most = rejected+dropped[Rejected], most+poison
		delete(dropped, Rejected)
		require.Empty(f.t, dropped, "instance %d", i)
	}
	require.LessOrEqual(f.t, rejected, most)
}

func randomLives(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	m := &moods{rnd: rand.New(rand.NewPCG(seed, 8)), bad: true}
	change := func(c *promconfig.RemoteWriteConfig) {
		c.QueueConfig.MaxSamplesPerSend = 40 + 20*int(seed%3)
		c.QueueConfig.MinBackoff, c.QueueConfig.MaxBackoff = model.Duration(100*time.Millisecond), model.Duration(2*time.Second)
		if seed%4 == 3 {
			version2(c)
		}
	}
	f := newFleet(t, 6, change)
	m.rule(f, seed)
	way := &mortal{served: served{f.r}}
	connect := func(*promconfig.RemoteWriteConfig) (*http.Client, error) { return &http.Client{Transport: way}, nil }
	reconnect := func() {
		f.clients = NewClients()
		f.clients.connect = connect
		for i := range f.queues {
			f.start(i)
		}
	}
	f.close()
	reconnect()
	for range 60 {
		switch rnd.IntN(12) {
		case 0: // kill
			synctest.Wait()
			f.requireOnlyPoisonDropped(seed%4 != 3)
			logs := make([]*memlog, len(f.logs))
			for i, log := range f.logs {
				logs[i] = log.killed()
			}
			way.dead.Store(true)
			f.close()
			<-time.After(3 * time.Second) // what is under way arrives
			f.logs, way = logs, &mortal{served: served{f.r}}
			reconnect()
		case 1: // reload
			i := rnd.IntN(len(f.queues))
			f.queues[i].Close()
			f.start(i)
		case 2, 3, 4:
			f.after(time.Duration(rnd.IntN(8000)) * time.Millisecond)
		default:
			from := rnd.IntN(len(f.logs))
			f.scrape(from, from+1+rnd.IntN(len(f.logs)-from))
			if rnd.IntN(2) == 0 {
				f.after(time.Duration(rnd.IntN(500)) * time.Millisecond)
			}
		}
	}
	m.mu.Lock()
	m.bad = false
	m.mu.Unlock()
	f.r.Set(func(r *receivertest.Receiver) { r.Before, r.After = nil, nil })
	for i := range f.logs {
		f.queues[i].Notify()
	}
	f.after(10 * time.Minute)
	_, _, pending := f.requireBalance()
	require.Zero(t, pending)
	f.requireArrived(poisonOfLives)
	f.requireOnlyPoisonDropped(seed%4 != 3)
	f.close()
}

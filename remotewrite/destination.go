package remotewrite

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxRoundsAtOnce is how many endpoints send to one destination at once while it is well,
	// startRounds how many at first. The number grows by one with each answer and is halved by each
	// failure.
	maxRoundsAtOnce = 64
	startRounds     = 8
)

// destination is a receiver as configured. Endpoints of all instances whose configuration of it is
// equal share one: its connections, the number of endpoints that send at once, and the pause after
// a failure. Those who wait for it hold nothing.
type destination struct {
	owner  *Clients
	client *http.Client
	digest digest
	users  atomic.Int32 // changed under Clients.mu
	joiner joiner
	told   told
	// vague: the receiver of protocol 2.0 writes parts of requests and takes no sample again that it
	// has, so that it can't be found out whose samples it refused in a common request. Nobody joins.
	vague atomic.Bool
	// sending bounds the bytes of batches in memory that are for this receiver.
	sending *semaphore.Weighted

	// ctx ends with the last user.
	ctx  context.Context
	runs runs

	mu      sync.Mutex
	limit   int
	running int
	waiting []chan struct{}
	// failures in a row, over all endpoints, and until when nobody may begin because of them.
	failures int
	until    time.Time
	timer    *time.Timer
	// refusedNew is when the receiver said last that it does not understand protocol 2.0; zero: it
	// does, as far as is known.
	refusedNew time.Time
}

func newDestination(owner *Clients, client *http.Client, id digest) *destination {
	d := &destination{owner: owner, client: client, digest: id, limit: startRounds, told: newTold(), sending: semaphore.NewWeighted(maxSendingEach)}
	d.users.Store(1)
	d.ctx, d.runs.cancel = context.WithCancel(context.Background())
	d.joiner.destination = d
	return d
}

// shared reports whether there is more than one endpoint.
func (d *destination) shared() bool { return d.users.Load() > 1 }

// failing reports whether the last request failed.
func (d *destination) failing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failures > 0
}

// enter waits for a place and for the bounds on bytes, the destination's and the process'. Places
// are given in the order in which they were asked for.
func (d *destination) enter(ctx context.Context, bytes int64) error {
	if err := d.place(ctx); err != nil {
		return err
	}
	bytes = min(bytes, maxSendingEach)
	err := d.sending.Acquire(ctx, bytes)
	if err == nil {
		if err = d.owner.sending.Acquire(ctx, bytes); err == nil {
			return nil
		}
		d.sending.Release(bytes)
	}
	d.giveUpPlace()
	return err
}

// leave ends what enter began.
func (d *destination) leave(bytes int64) {
	bytes = min(bytes, maxSendingEach)
	d.owner.sending.Release(bytes)
	d.sending.Release(bytes)
	d.giveUpPlace()
}

func (d *destination) place(ctx context.Context) error {
	d.mu.Lock()
	if len(d.waiting) == 0 && d.free(time.Now()) {
		d.running++
		d.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	d.waiting = append(d.waiting, turn)
	d.admit()
	d.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	i := slices.Index(d.waiting, turn)
	if i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
	d.mu.Unlock()
	if i < 0 {
		d.giveUpPlace()
	}
	return ctx.Err()
}

func (d *destination) giveUpPlace() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	d.admit()
}

func (d *destination) free(now time.Time) bool { return d.running < d.limit && !now.Before(d.until) }

// admit lets the next ones begin, or sees to it that it is called again when the pause is over. It
// needs mu.
func (d *destination) admit() {
	now := time.Now() // one instant: between two, the pause could end unseen by both questions
	for len(d.waiting) > 0 && d.free(now) {
		d.running++
		close(d.waiting[0])
		d.waiting = d.waiting[1:]
	}
	wait := d.until.Sub(now)
	if len(d.waiting) == 0 || wait <= 0 || d.timer != nil {
		return
	}
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.timer = nil
		d.admit()
	})
}

// answered notes the outcome of a request: whether the receiver is well.
func (d *destination) answered(v verdict, p pace, a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v != retrySoon && v != retrySlowly {
		d.failures = 0
		d.limit = min(d.limit+1, maxRoundsAtOnce)
		d.admit()
		return
	}
	d.failures++
	d.limit = max(1, d.limit/2)
	if until := time.Now().Add(p.delay(d.failures, a.retryAfter, rand.Float64())); until.After(d.until) {
		d.until = until
	}
}

// wake ends the pause: somebody can't wait.
func (d *destination) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = time.Time{}
	d.admit()
}

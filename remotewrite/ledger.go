package remotewrite

import (
	"sync"
	"sync/atomic"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
)

// EndpointStatus is what is known of an endpoint, for pages and the API. It is a plain value.
type EndpointStatus struct {
	// Name is the remote_write block's name, URL its address with the password masked.
	Name, URL string
	// CursorID is the endpoint's identity in the log.
	CursorID string
	// Lanes is the number of parallel senders, Pending the number of samples that wait in the log.
	Lanes   int
	Pending uint64
	// Sent counts acknowledged floats and histograms since the endpoint started, Dropped those given up, by reason; reasons
	// that didn't occur are left out. Sent + Dropped + Pending is what was committed since the endpoint's start position.
	Sent    uint64
	Dropped map[Reason]uint64
	// SentExemplars counts acknowledged exemplars.
	SentExemplars uint64
	// Retries counts failed requests that were repeated.
	Retries uint64
	// Failing is true from a failed request to the next acknowledged one. LastError is kept after that.
	Failing     bool
	LastError   string
	LastErrorAt time.Time
	LastSuccess time.Time
}

// ledger is an endpoint's account. It outlives a reload in place, and is read by metrics and pages while the endpoint works.
type ledger struct {
	mu sync.Mutex

	// labels of the metrics
	instance, name, url string
	cursorID            string

	// source and cursor tell what is pending. source is nil before the endpoint is open and after it was closed for good.
	source Source
	cursor Position
	tally

	lanes, minLanes, maxLanes, capacity, perSend int

	retried counts
	retries uint64
	bytes   uint64
	// highestRead is the newest timestamp read, lastCommit the wall clock at the latest notification; both in milliseconds.
	highestRead int64
	lastCommit  atomic.Int64

	metadata struct{ sent, failed, retried, bytes uint64 }

	failing           bool
	lastErr           string
	lastErrAt, lastOK time.Time
}

// configure sets what the endpoint's configuration says. A reload in place keeps the account.
func (l *ledger) configure(instance string, cfg *promconfig.RemoteWriteConfig, cursorID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &cfg.QueueConfig
	l.instance, l.name, l.url, l.cursorID = instance, cfg.Name, cfg.URL.Redacted(), cursorID
	l.lanes, l.minLanes, l.maxLanes, l.capacity, l.perSend = q.MinShards, q.MinShards, q.MaxShards, q.Capacity, q.MaxSamplesPerSend
}

// settled books a finished round: its samples and the cursor change together, which keeps the account exact at every instant.
func (l *ledger) settled(r *round, account *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(account)
	l.cursor = r.end
	l.highestRead = max(l.highestRead, r.highestRead)
}

func (l *ledger) pending() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pendingLocked()
}

func (l *ledger) pendingLocked() uint64 {
	if l.source == nil {
		return 0
	}
	return l.source.Pending(l.cursor)
}

// opened makes source the place where samples wait from now on.
func (l *ledger) opened(source Source, cursor Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.source, l.cursor = source, cursor
}

func (l *ledger) position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursor
}

// succeeded notes an acknowledged request and reports whether requests had been failing.
func (l *ledger) succeeded(bytes int) (recovered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	recovered, l.failing = l.failing, false
	l.bytes += uint64(bytes)
	l.lastOK = time.Now()
	return recovered
}

// troubled notes a failed request and reports whether it is the first after a success.
func (l *ledger) troubled(problem string) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, l.failing = !l.failing, true
	l.lastErr, l.lastErrAt = problem, time.Now()
	return first
}

// noted keeps a problem that isn't a failing destination for the pages.
func (l *ledger) noted(problem string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr, l.lastErrAt = problem, time.Now()
}

// repeated counts a request that is about to be sent again.
func (l *ledger) repeated(items counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retries++
	l.retried.add(&items)
}

func (l *ledger) status() EndpointStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := EndpointStatus{
		Name: l.name, URL: l.url, CursorID: l.cursorID, Lanes: l.lanes, Pending: l.pendingLocked(),
		Sent: l.sent.samples(), Dropped: map[Reason]uint64{}, SentExemplars: l.sent[exemplarKind], Retries: l.retries,
		Failing: l.failing, LastError: l.lastErr, LastErrorAt: l.lastErrAt, LastSuccess: l.lastOK,
	}
	for r := range numReasons {
		if n := l.dropped[r].samples(); n > 0 {
			s.Dropped[r] = n
		}
	}
	return s
}

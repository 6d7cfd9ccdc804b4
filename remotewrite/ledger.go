package remotewrite

import (
	"slices"
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
	// Sent counts acknowledged floats and histograms since the endpoint started, Dropped those
	// given up, by reason; reasons that didn't occur are left out. Sent + Dropped + Pending is what
	// was committed since the endpoint's start position.
	Sent    uint64
	Dropped map[Reason]uint64
	// Repeated is the part of Sent that the receiver refused because it had it already: the answer
	// to an earlier request was lost.
	Repeated uint64
	// Committed is what was committed since the endpoint's start position. What was booked already
	// and has to be sent again after a reload counts again.
	Committed uint64
	// Gaps are the newest losses, oldest first.
	Gaps []Gap
	// SentExemplars counts acknowledged exemplars.
	SentExemplars uint64
	// Retries counts failed requests that were repeated.
	Retries uint64
	// Failing is true from a failed request to the next acknowledged one. LastError is kept after that.
	Failing     bool
	LastError   string
	LastErrorAt time.Time
	LastSuccess time.Time
	// SentUpTo is the time of the newest sample that is settled, in milliseconds; 0 if none is.
	SentUpTo int64
}

// ledger is an endpoint's account. It outlives a reload in place, and is read by metrics and pages
// while the endpoint works.
type ledger struct {
	mu sync.Mutex

	// labels of the metrics
	instance, name, url string
	cursorID            string

	// source and cursor tell what is pending. source is nil before the endpoint is open and after
	// it was closed for good.
	source Source
	// track is the one of tracks on which the running goroutine works.
	*track
	// tracks are the stretches of the log that are not settled, oldest first. There is one, unless
	// recent samples go first. What is saved is the place of the oldest.
	tracks []*track
	// floats: the saved place is the cursor, and says that the first records behind it may be on
	// their way.
	floats bool
	// origin is the number of samples committed before the endpoint's start position. again are those
	// behind it that were booked, and are pending once more since a reload.
	origin, again uint64
	tally
	gaps   gaps
	losses *lossLog

	lanes, minLanes, maxLanes, capacity, perSend int

	retried counts
	retries uint64
	bytes   uint64
	// highestRead is the newest timestamp read, lastCommit the wall clock at the latest
	// notification; both in milliseconds.
	highestRead int64
	lastCommit  atomic.Int64

	metadata struct{ sent, failed, retried, bytes uint64 }

	failing           bool
	lastErr           string
	lastErrAt, lastOK time.Time
}

// configure sets what the endpoint's configuration says. A reload in place keeps the account.
func (l *ledger) configure(instance string, cfg *promconfig.RemoteWriteConfig, cursorID string, losses *lossLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &cfg.QueueConfig
	l.losses = losses
	l.instance, l.name, l.url, l.cursorID = instance, cfg.Name, cfg.URL.Redacted(), cursorID
	l.minLanes, l.maxLanes, l.capacity, l.perSend = q.MinShards, q.MaxShards, q.Capacity, q.MaxSamplesPerSend
}

// begun notes that a batch of a lane is about to be sent, and returns what has to be saved before:
// after a kill nobody knows whether the receiver has it.
func (l *ledger) begun(lane int, last uint64) Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[lane]
	m.doubt = max(m.doubt, last)
	return l.placeLocked()
}

// begunTogether notes that all of a batch is about to be sent in a common request. It reports
// whether that has to be saved before.
func (l *ledger) begunTogether(last uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[0]
	m.doubt = max(m.doubt, last)
	return !l.floats
}

// divided notes that a lane's batch is about to be sent in parts.
func (l *ledger) divided(lane int) Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.marks[lane].parts = true
	return l.placeLocked()
}

// settledBatch books what became of a batch.
func (l *ledger) settledBatch(lane int, b *batch, account *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[lane]
	m.settled, m.attempts = b.last, 0
	if m.records && account.sent.samples() > account.had {
		l.taken(b)
	}
	if m.trim(); !m.records {
		l.fresh = nil
	}
	l.progress.ahead += b.samples()
	l.book(account)
}

// taken notes the series of a record in doubt that the receiver has taken now. It has no later record
// with any of them, or this one would have been too old. Another target's record may follow that it
// has: it takes a repetition of the newest sample of a series.
func (l *ledger) taken(b *batch) {
	if l.fresh == nil {
		l.fresh = map[uint32]struct{}{}
	}
	for i := range b.items {
		if b.items[i].kind != exemplarKind {
			l.fresh[b.items[i].hash] = struct{}{}
		}
	}
}

// resolved ends the doubt about the records of a lane if this one, which is about to be sent, has a
// series of one that the receiver has taken now. It reports whether b is not in doubt.
func (l *ledger) resolved(lane int, b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[lane]
	if !m.records || m.parts {
		return false
	}
	for i := range b.items {
		if _, ok := l.fresh[b.items[i].hash]; ok {
			m.doubt = m.settled
			m.trim()
			return true
		}
	}
	return false
}

// refusedForNow notes that a batch has to be sent again. If the receiver can't have it, it is not
// in doubt.
func (l *ledger) refusedForNow(lane int, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[lane]
	m.attempts++
	if !b.doubt {
		m.doubt = m.settled
		m.trim()
	}
}

// untried notes that the receiver does not have what was begun.
func (l *ledger) untried(lane int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.progress.marks[lane]
	m.doubt = m.settled
	m.trim()
}

// settledRound books a finished round: its samples and the cursor change together, which keeps the
// account exact at every instant.
func (l *ledger) settledRound(r *round) Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settleLocked(r)
	return l.placeLocked()
}

// settledTogether is settledRound after a common request. Another one may follow before the next
// place is saved.
func (l *ledger) settledTogether(r *round) Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settleLocked(r)
	if len(l.progress.marks) != 1 || !l.progress.done(l.cursor.Seq) {
		return l.placeLocked()
	}
	l.floats = true
	return Place{Position: l.cursor, Progress: floating(l.cursor.Seq, l.progress.mapping)}
}

func (l *ledger) settleLocked(r *round) {
	defer l.endTrack()
	// All that the round has read is settled. Some lanes may be further, because an earlier round
	// has read more.
	covered := r.end.Seq - l.cursor.Seq
	ahead := l.progress.ahead + r.account.lost() - min(covered, l.progress.ahead+r.account.lost())
	if l.progress.level(r.end.Seq) {
		// What a lane had settled before it was lost from the log is not lost.
		r.account.takeBack(ahead)
		ahead = 0
	}
	l.book(&r.account)
	l.cursor = r.end
	l.progress.advance(r.end.Seq, ahead)
	for i := range l.progress.marks {
		if m := &l.progress.marks[i]; m.records {
			m.parts = false // the next record was not sent in parts
		}
	}
	l.highestRead = max(l.highestRead, r.highestRead)
}

func (l *ledger) book(account *tally) {
	l.add(account)
	l.gaps.note(account, time.Now())
	if l.losses != nil {
		l.losses.book(account)
	}
}

func (l *ledger) placeLocked() Place {
	l.floats = false
	oldest := l.tracks[0]
	if oldest.progress.done(oldest.cursor.Seq) {
		return Place{Position: oldest.cursor}
	}
	return Place{Position: oldest.cursor, Progress: oldest.progress.append(nil, oldest.cursor.Seq)}
}

// place is what has to be saved.
func (l *ledger) place() Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.placeLocked()
}

// floating reports whether the saved place leaves open what was sent behind it.
func (l *ledger) floating() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.floats
}

// unsaved notes that a place could not be saved.
func (l *ledger) unsaved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floats = false
}

// begin is where a round begins.
func (l *ledger) begin() (Position, []mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursor, slices.Clone(l.progress.marks)
}

// setLanes changes the number of lanes between two rounds, unless some are further than others.
func (l *ledger) setLanes(n int) (lanes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.progress.level(l.cursor.Seq) {
		l.lanes = n
		l.progress.resize(n, l.cursor.Seq)
	}
	return len(l.progress.marks)
}

func (l *ledger) pending() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pendingLocked()
}

// waiting is what is pending, and the end of the log if something lies before it that was not read,
// be it only exemplars, which the log's numbers do not count. The zero Position is nothing.
func (l *ledger) waiting() (pending uint64, end Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == nil {
		return 0, end
	}
	if end = l.source.End(); len(l.tracks) == 1 && end == l.cursor {
		end = Position{}
	}
	return l.pendingLocked(), end
}

func (l *ledger) pendingLocked() uint64 {
	if l.source == nil {
		return 0
	}
	end := l.source.End().Seq
	var n uint64
	for _, t := range l.tracks {
		n += t.pending(end)
	}
	return n
}

// committedLocked is EndpointStatus.Committed.
func (l *ledger) committedLocked() uint64 {
	if l.source == nil {
		return 0
	}
	return l.source.Pending(Position{Seq: l.origin}) + l.again
}

// opened makes source the place where samples wait from now on. lanes is the number to begin with,
// unless a round was cut.
func (l *ledger) opened(source Source, at Place, lanes int, mapping uint64) (marks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, settled := l.source == nil, l.settledLocked()
	l.source = source
	l.reopenTracks(at, lanes, mapping)
	l.progress.bound(at.Seq, at.Seq+source.Pending(at.Position))
	l.lanes, l.floats = len(l.progress.marks), false
	if first {
		l.origin = at.Seq + l.progress.ahead
	} else if now := l.settledLocked(); now < settled {
		l.again += settled - now
	}
	return l.lanes
}

// settledLocked is how many samples are settled before the oldest cursor and behind all cursors: what
// a reload may change.
func (l *ledger) settledLocked() (n uint64) {
	for i, t := range l.tracks {
		if n += t.progress.ahead; i == 0 {
			n += t.cursor.Seq
		}
	}
	return n
}

func (l *ledger) lastProblem() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastErr
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
		Sent: l.sent.samples(), Repeated: l.had, Committed: l.committedLocked(), Gaps: slices.Clone(l.gaps), Dropped: map[Reason]uint64{}, SentExemplars: l.sent[exemplarKind], Retries: l.retries,
		Failing: l.failing, LastError: l.lastErr, LastErrorAt: l.lastErrAt, LastSuccess: l.lastOK, SentUpTo: l.highestRead,
	}
	for r := range numReasons {
		if n := l.dropped[r].samples(); n > 0 {
			s.Dropped[r] = n
		}
	}
	return s
}

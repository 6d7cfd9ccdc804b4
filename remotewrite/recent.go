package remotewrite

import (
	"time"

	"go.uber.org/zap"
)

// An endpoint with recent_first that finds itself behind parts its log: what is committed from now
// on becomes a track of its own, and has turns before the backlog. Each track has its cursor and its
// lanes' marks; rounds work on one track at a time, so nothing else is different for them. If the
// recent track falls behind, too, it is parted again. When the oldest track is sent, the next one
// takes its place.
//
// What is saved is the place of the oldest track. A restart sends again what the others had sent
// behind it, which a receiver that takes samples out of order takes as a repetition.
const (
	// behindAfter is the age of the newest sample in a round from which the endpoint is behind.
	behindAfter = 30 * time.Second
	// recentInARow is how many rounds the recent samples have at most before the backlog has one.
	recentInARow = 3
	// maxTracks bounds what is kept about outages that come before the backlog of others was sent.
	maxTracks = 16
)

// track is a stretch of the log that is sent in order.
type track struct {
	// cursor: everything before it is settled, from the end of the track before.
	cursor Position
	// progress is what is settled behind the cursor.
	progress progress
	// fresh are hashes of series of records in doubt that the receiver has taken now.
	fresh map[uint32]struct{}
	// until is where the next track begins; the zero Position is the end of the log.
	until Position
}

// pending is how many samples of the track are not settled, in a log that has end.
func (t *track) pending(end uint64) uint64 {
	if t.until != (Position{}) {
		end = t.until.Seq
	}
	n := end - min(end, t.cursor.Seq)
	return n - min(n, t.progress.ahead)
}

// untouched reports whether nothing of a track that begins at from is settled.
func (t *track) untouched(from Position) bool {
	return t.cursor == from && t.progress.ahead == 0 && t.progress.level(from.Seq)
}

// precedes reports whether p lies before q in the log.
func (p Position) precedes(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// part makes what is committed from now on a track of its own, with lanes. It reports false if there
// are too many tracks or if nothing would be before it.
func (l *ledger) part(lanes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, last := l.source.End(), len(l.tracks)-1
	mapping := l.tracks[last].progress.mapping
	switch {
	case end == l.tracks[last].cursor:
		return false
	case last > 0 && l.tracks[last].untouched(l.tracks[last-1].until):
		// What of it may be on its way is sent again in other requests.
		l.tracks = l.tracks[:last]
		last--
	case len(l.tracks) == maxTracks:
		return false
	}
	l.tracks[last].until = end
	l.tracks = append(l.tracks, &track{cursor: end, progress: freshProgress(lanes, end.Seq, mapping)})
	l.track = l.tracks[0]
	return true
}

// join makes one track of each that nothing was sent of and the one before it, from the end.
func (l *ledger) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.tracks) - 1; n > 0 && l.tracks[n].untouched(l.tracks[n-1].until); n-- {
		l.tracks[n-1].until = l.tracks[n].until
		l.tracks = l.tracks[:n]
		l.track = l.tracks[0]
	}
}

// isParted reports whether there are several tracks.
func (l *ledger) isParted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tracks) > 1
}

// use makes the newest or the oldest track the one on which the running goroutine works. It returns
// the number of its lanes.
func (l *ledger) use(newest bool) (lanes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.track = l.tracks[0]
	if newest {
		l.track = l.tracks[len(l.tracks)-1]
	}
	l.lanes = len(l.progress.marks)
	return l.lanes
}

// recentPending is how many samples of the newest track are not settled.
func (l *ledger) recentPending() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tracks[len(l.tracks)-1].pending(l.source.End().Seq)
}

// trackEnd is where the track in use ends.
func (l *ledger) trackEnd() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// skipTrack notes that nothing is left in the track in use.
func (l *ledger) skipTrack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursor = l.until
	l.progress.advance(l.until.Seq, 0)
	l.endTrack()
}

// endTrack forgets the oldest track when it is settled. It needs mu.
func (l *ledger) endTrack() {
	for len(l.tracks) > 1 && !l.tracks[0].cursor.precedes(l.tracks[0].until) {
		if l.track == l.tracks[0] {
			l.track = l.tracks[1]
		}
		l.tracks = l.tracks[1:]
	}
}

// reopenTracks begins with the oldest track at a place. What a reload finds of the others goes on.
// It needs mu.
func (l *ledger) reopenTracks(at Place, lanes int, mapping uint64) {
	oldest := &track{cursor: at.Position, progress: parseProgress(at.Progress, at.Seq, mapping)}
	if len(at.Progress) == 0 {
		oldest.progress = freshProgress(lanes, at.Seq, mapping)
	}
	if len(l.tracks) == 0 {
		l.tracks = []*track{nil}
	} else {
		oldest.until = l.tracks[0].until
	}
	l.tracks[0], l.track = oldest, oldest
	for _, t := range l.tracks[1:] {
		if t.progress.mapping != mapping {
			t.progress = parseProgress(t.progress.append(nil, t.cursor.Seq), t.cursor.Seq, mapping)
		}
		t.fresh = nil
	}
}

// recent is what an endpoint needs to send recent samples first. All of it is the running
// goroutine's, but for parted, which is read whenever the endpoint does not run.
type recent struct {
	// first is recent_first.
	first bool
	open  func() (Source, Place, error)
	// parted: there are several tracks. on: the newest one is in use, and other is for the oldest;
	// otherwise it is for the newest. Its source is nil if the log is not parted.
	parted, on bool
	other      reading
	// inARow is how many rounds the newest track has had in a row, the last one at at.
	inARow int
	at     time.Time
}

// took notes that a round is over, sent or refused for now.
func (r *recent) took(now time.Time) {
	if !r.on {
		r.inARow = 0
		return
	}
	r.inARow++
	r.at = now
}

// openRecent opens another view of the log if the endpoint that this one replaces had two. If the
// order is no longer wanted, the receiver may refuse what is older than what it has: only a track
// that was sent in part remains one.
func (e *endpoint) openRecent(open func() (Source, Place, error)) error {
	e.recent.open = open
	if !e.recent.first {
		e.ledger.join()
	}
	if !e.ledger.isParted() {
		return nil
	}
	return e.openOther()
}

func (e *endpoint) openOther() error {
	source, _, err := e.recent.open()
	if err == nil {
		e.recent.parted = true
		e.recent.other = reading{source: source, at: nowhere, lanes: e.lanes}
	}
	return err
}

// fillOrPart is fill on the track whose turn it is. An endpoint that is behind lets what is
// committed from now on go first.
func (e *endpoint) fillOrPart(r *round) (atEnd bool, err error) {
	atEnd, err = e.fill(r)
	if err != nil || atEnd || !e.isBehind(r) || !e.part() {
		return atEnd, err
	}
	r.recycle()
	e.takeTurn()
	return e.fill(r)
}

// isBehind reports whether what the newest track has first is old, though there is more.
func (e *endpoint) isBehind(r *round) bool {
	return e.recent.first && r.until == Position{} && r.highestRead > 0 &&
		time.Since(time.UnixMilli(r.highestRead)) > behindAfter
}

func (e *endpoint) part() bool {
	if !e.recent.parted {
		if err := e.openOther(); err != nil {
			e.logger.Warn("recent samples are not sent first, because the log can't be opened", zap.Error(err))
			return false
		}
	}
	if !e.ledger.part(e.lanes) {
		e.rejoin()
		return false
	}
	return true
}

// takeTurn decides on which track the round works.
func (e *endpoint) takeTurn() {
	if !e.recent.parted {
		return
	}
	newest := e.recent.first && e.recent.inARow < recentInARow && e.recentIsDue()
	if newest != e.recent.on {
		e.reading, e.recent.other = e.recent.other, e.reading
		e.recent.on = newest
	}
	e.lanes = e.ledger.use(newest)
}

// recentIsDue reports whether the newest track has a batch, or something that waited for the batch
// deadline.
func (e *endpoint) recentIsDue() bool {
	n := e.ledger.recentPending()
	if n == 0 || n >= uint64(e.perSend()) {
		return n > 0
	}
	return time.Since(e.recent.at) >= time.Duration(e.cfg.QueueConfig.BatchSendDeadline) || e.isDraining()
}

// rejoin goes on with one view of the log when there is one track left.
func (e *endpoint) rejoin() {
	if !e.recent.parted || e.ledger.isParted() {
		return
	}
	if !e.recent.on {
		e.reading, e.recent.other = e.recent.other, e.reading
	}
	e.closeSource(e.recent.other.source)
	e.recent = recent{first: e.recent.first, open: e.recent.open}
	e.lanes = e.ledger.use(true)
}

// foundNothing goes on after a round that has read nothing. It reports whether there is something to
// go on with.
func (e *endpoint) foundNothing(r *round) (more bool) {
	switch {
	case !e.recent.parted:
		return false
	case r.reached():
		e.ledger.skipTrack()
		e.save(e.ledger.place)
		e.rejoin()
		return true
	case e.recent.on:
		e.recent.took(time.Now())
		return true
	}
	// What was lost at the track's end is reported with the next record.
	e.recent.took(time.Now())
	return e.pause(time.Second) == nil
}

// reached reports whether the round has read its track to the end.
func (r *round) reached() bool { return r.until != (Position{}) && !r.end.precedes(r.until) }

// beyond reports whether the sample that is visited belongs to the next track. What precedes it was
// lost, or it would not have been read.
func (r *round) beyond() bool { return r.until != (Position{}) && r.seq > r.until.Seq }

// within is what of a record's account belongs to the round's track.
func (r *round) within(rec Record) Record {
	if r.until == (Position{}) || !r.until.precedes(rec.End) { // exemplars alone have no numbers
		return rec
	}
	left := r.until.Seq - min(r.until.Seq, r.end.Seq)
	truncated := min(left, rec.Lost.Truncated)
	return Record{End: r.until, Lost: LostSamples{Truncated: truncated, Damaged: left - truncated}}
}

// atEnd notes that the log has nothing more, so that what it counts was read.
func (r *round) atEnd() {
	if r.until != (Position{}) && r.end.Seq >= r.until.Seq {
		r.end = r.until
	}
}

package scrape

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/otel/trace"
)

// loop scrapes one target on its schedule. While it waits it is an alarm and no goroutine.
type loop struct {
	scraper *Scraper

	// Only the running scrape uses these; between two, whoever holds mu.
	cache    *cache
	bodySize int // of the last body, as a hint
	metadata struct{ entries, bytes int }

	aborted atomic.Bool // the running scrape must not commit

	mu         sync.Mutex
	target     *target // for the next scrape, as what follows
	schedule   schedule
	interval   *intervalMetrics
	job        *job
	client     *client
	direct     *direct // nil: everything goes through client
	renewCache bool    // because the job means something else now
	forced     error   // instead of a scrape: the target limit
	alarm      alarm
	tick       int64              // that the alarm is set for, or that is scraped, or the last one due when the schedule changed
	division   division           // which ticks are this slice's
	ended      bool               // no scrape starts any more
	running    chan struct{}      // closed when the running scrape has ended; nil: none
	cancel     context.CancelFunc // of the running scrape
	own, group model.LabelSet     // as discovered last
	shown      shownState
	committed  Tick
	last       time.Time // timestamp of the last committed samples
}

// shownState is what the list of targets says about the last scrape.
type shownState struct {
	state    State
	err      error
	refused  string    // the first series that was, and why
	start    time.Time // as the samples have it
	began    time.Time // in fact
	duration time.Duration
	samples  int
}

// attempt is one scrape.
type attempt struct {
	loop      *loop
	target    *target
	schedule  schedule
	job       *job
	client    *client
	direct    *direct
	ctx       context.Context
	tick      int64
	began     time.Time // with a monotonic reading
	wall      time.Time // the same by the wall clock
	timestamp time.Time
	forced    error
	reserved  reservation // of its answer
	turn      turn        // to work on it
	offTick   bool        // outside the schedule, on shutdown
	vetoed    bool        // there was no permit to begin, or to commit
	span      trace.Span  // nil: it is not traced
}

func newLoop(s *Scraper, t *target, j *job) (*loop, error) {
	c, err := j.clientFor(t.socket)
	if err != nil {
		return nil, err
	}
	l := &loop{
		scraper:  s,
		target:   t,
		schedule: newSchedule(s.options.Seed, t.id, t.interval),
		interval: s.options.Metrics.loops.interval(t.interval),
		cache:    newCache(s.options.Book),
		job:      j,
		client:   c,
		direct:   newDirect(j, c, t),
		own:      t.own,
		group:    t.group,
		shown:    shownState{state: StateUnknown},
	}
	l.alarm.loop = l
	l.division.adopt(s.slicing, t)
	return l, nil
}

// start sets the timer for the first tick after those that another scraper has dealt with, which
// may be due.
func (l *loop) start(now time.Time, before *handover) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait(before.first(l.target.id, l.schedule, now), now)
}

// wait sets the timer for the first tick, from one on, that is this slice's. It needs mu.
func (l *loop) wait(next int64, now time.Time) {
	tick, more := l.division.first(l.schedule, next)
	l.tick, l.division.wanted, l.division.left = tick, next, !more
	if !more {
		l.stopTimer()
		return
	}
	l.scraper.options.Shared.alarms.after(&l.alarm, l.schedule.at(l.tick).Sub(now))
}

// fire is called by the alarm, on a worker.
func (l *loop) fire() {
	defer l.recoverPanic()
	l.carryOut(l.begin(l.scraper.options.Shared.now()))
}

func (l *loop) recoverPanic() {
	if v := recover(); v != nil {
		l.scraper.reportPanic(panicError("schedule a target", v))
	}
}

// carryOut scrapes as long as there is something to scrape at once.
func (l *loop) carryOut(r *attempt) {
	for r != nil {
		l.scraper.perform(r)
		r = l.next(r)
	}
	l.scraper.dismissIfLeft(l)
}

// beginLast starts a scrape outside the schedule. The loop has ended, and none is running.
func (l *loop) beginLast(now time.Time) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.newRun(now)
	r.offTick, r.timestamp = true, r.began.Round(0)
	return r
}

// endLast ends it.
func (l *loop) endLast(r *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(r)
}

// begin starts the scrape that the timer is set for, unless it is not due.
func (l *loop) begin(now time.Time) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.running != nil {
		return nil
	}
	return l.obey(l.schedule.onTimer(l.tick, now), now)
}

// obey sets the timer, or starts the scrape of the newest tick that is this slice's. It needs mu.
func (l *loop) obey(d decision, now time.Time) *attempt {
	if d.wait {
		l.wait(d.tick, now)
		return nil
	}
	first := d.tick - d.skipped
	tick, ours := l.division.newest(l.schedule, first, d.tick)
	if !ours {
		l.wait(d.tick+1, now)
		return nil
	}
	l.scraper.options.Metrics.loops.skipped.Add(float64(min(tick-first, l.late())))
	l.tick = tick
	return l.newRun(now)
}

// late is how many ticks may have passed since the alarm was to go off, by the monotonic clock:
// others never were, because the clock was set forward. It needs mu.
func (l *loop) late() int64 {
	return int64(max(0, time.Since(l.alarm.at))/l.schedule.interval) + 1
}

// newRun needs mu. What it returns must be handed to next or finish.
func (l *loop) newRun(now time.Time) *attempt {
	if l.renewCache {
		before := l.cache
		l.cache = before.successor(l.job.extraMetrics())
		before.release()
		l.renewCache = false
	}
	l.running = make(chan struct{})
	ctx, cancel := context.WithTimeout(l.scraper.ctx, l.target.timeout)
	l.cancel = cancel
	l.client.retain()
	r := &attempt{loop: l, target: l.target, schedule: l.schedule, job: l.job, client: l.client, direct: l.direct, ctx: ctx, tick: l.tick,
		began: time.Now(), wall: now.Round(0), timestamp: l.schedule.timestamp(l.tick, now).Round(0), forced: l.forced,
		reserved: reservation{meter: l.scraper.meter, cancel: cancel}}
	r.turn = turn{meter: l.scraper.meter, ctx: ctx}
	return r
}

// clockWasSet reports whether the wall clock was set while the scrape ran.
func (r *attempt) clockWasSet(now time.Time) bool {
	return now.Round(0).Sub(r.wall.Add(time.Since(r.began))).Abs() >= clockStep
}

// finish ends a run. It needs mu.
func (l *loop) finish(r *attempt) {
	l.cancel()
	r.client.release()
	if r.direct != l.direct {
		r.direct.close()
	}
	close(l.running)
	l.running, l.cancel = nil, nil
}

// next ends a run and sets the timer, or returns the next run if that is due already.
func (l *loop) next(r *attempt) *attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(r)
	if l.ended {
		return nil
	}
	now := l.scraper.options.Shared.now()
	if r.vetoed && l.tick == r.tick {
		if pause, again := l.schedule.onVeto(l.tick, now); again {
			l.scraper.options.Shared.alarms.after(&l.alarm, pause)
			return nil
		}
		l.scraper.options.Metrics.loops.ticksVetoed.Inc()
	}
	d := l.schedule.onEnd(l.tick, now)
	if r.clockWasSet(now) {
		d = l.schedule.afterStep(now)
	}
	return l.obey(d, now)
}

// adopt makes j the job of the next scrapes. The schedule goes on.
func (l *loop) adopt(j *job) error {
	c, err := j.clientFor(l.target.socket)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c != l.client {
		if l.running == nil {
			l.direct.close()
		}
		l.direct = newDirect(j, c, l.target)
	}
	l.client.release()
	l.renewCache = l.renewCache || !j.keepsCache(l.job)
	l.job, l.client = j, c
	return nil
}

// reschedule makes t the target of the next scrapes, which is the same at other times. Its series
// go on; an end and a new beginning would put a staleness marker between their samples if the
// interval has grown.
func (l *loop) reschedule(t *target, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target, l.schedule = t, newSchedule(l.scraper.options.Seed, t.id, t.interval)
	l.interval = l.scraper.options.Metrics.loops.interval(t.interval)
	l.shown.began = time.Time{}
	l.renewCache = l.renewCache || l.job.options.TypeAndUnitLabels // as Prometheus does, see keepsCache
	latest := l.schedule.latest(now)
	if l.running != nil {
		l.tick = latest
		return
	}
	l.wait(latest+1, now)
}

// update sets what may change with a new list of targets.
func (l *loop) update(t *target, forced error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forced = forced
	if t != nil {
		l.own, l.group = t.own, t.group
	}
}

// end lets no further scrape begin. It returns a channel that is closed when the running one has
// ended, nil if there is none.
func (l *loop) end() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		l.stopTimer()
	}
	if l.running == nil {
		return nil
	}
	return l.running
}

// stopTimer needs mu.
func (l *loop) stopTimer() { l.scraper.options.Shared.alarms.stop(&l.alarm) }

// abort cuts the running scrape off; it commits nothing.
func (l *loop) abort() {
	l.aborted.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

// show publishes the result of a scrape, and returns the state before.
func (l *loop) show(r *attempt, o *outcome) (before State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.shown.state
	l.shown.state, l.shown.err = StateUp, o.err
	if o.err != nil {
		l.shown.state = StateDown
	}
	l.shown.start, l.shown.duration, l.shown.refused, l.shown.samples = r.timestamp, o.duration, o.refused, o.scraped
	return before
}

func (l *loop) currentState() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shown.state
}

// commitDone remembers the last tick that is in the appendable.
func (l *loop) commitDone(r *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = r.timestamp
	if !r.offTick {
		l.committed = Tick{Target: r.target.id, Number: r.tick, Interval: r.target.interval, Due: r.schedule.at(r.tick)}
	}
}

// describe returns what is shown of the target.
func (l *loop) describe(config *promconfig.ScrapeConfig, builder *labels.Builder) Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	described := describe(config, l.target, l.own, l.group, builder)
	described.State = l.shown.state
	described.LastScrape, described.LastDuration = l.shown.start, l.shown.duration
	described.Refused, described.Samples = l.shown.refused, l.shown.samples
	if l.shown.err != nil {
		described.LastError = l.shown.err.Error()
	}
	return described
}

// retire gives back what an ended loop holds. None of its scrapes may be running.
func (l *loop) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cache.release()
	if l.job == nil {
		return // it has never scraped
	}
	l.job.metrics.metadata(-l.metadata.entries, -l.metadata.bytes)
	l.direct.close()
	l.client.release()
}

// openSeries returns the series of an ended loop that have not ended, and the timestamp of the last
// committed samples. None of its scrapes may be running.
func (l *loop) openSeries() (open []openSeries, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() {
		return nil, l.last
	}
	open = l.cache.openSeries()
	for _, report := range l.cache.reports {
		if report != 0 {
			open = append(open, openSeries{ref: report})
		}
	}
	return open, l.last
}

// forgetThose is told which series of an ended loop go on elsewhere.
func (l *loop) forgetThose(living map[storage.SeriesRef]struct{}) {
	open, last := l.openSeries()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newCache(l.cache.book)
	for _, o := range open {
		if _, lives := living[c.key(o.ref)]; !lives {
			c.hold(o.ref)
			c.orphans = append(c.orphans, o)
		}
	}
	l.cache.release()
	l.cache, l.last = c, last
}

// forgetSeries is told that they have ended.
func (l *loop) forgetSeries() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cache.release()
	l.cache = newCache(l.cache.book)
}

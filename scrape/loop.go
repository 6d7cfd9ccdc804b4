package scrape

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
)

// loop scrapes one target on its schedule. While it waits it is a timer and no goroutine.
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
	timer      *time.Timer
	tick       int64              // that the timer is set for, or that is scraped, or the last one due when the schedule changed
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
	start    time.Time // as the samples have it
	began    time.Time // in fact
	duration time.Duration
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
	began     time.Time
	timestamp time.Time
	forced    error
	offTick   bool // outside the schedule, on shutdown
	vetoed    bool // there was no permit to begin, or to commit
}

func newLoop(s *Scraper, t *target, j *job, forced error) (*loop, error) {
	c, err := j.clientFor(t.socket)
	if err != nil {
		return nil, err
	}
	l := &loop{
		scraper:  s,
		target:   t,
		schedule: newSchedule(s.options.Seed, t.id, t.interval),
		interval: s.options.Metrics.loops.interval(t.interval),
		cache:    newCache(),
		job:      j,
		client:   c,
		direct:   newDirect(j, c, t),
		forced:   forced,
		own:      t.own,
		group:    t.group,
		shown:    shownState{state: StateUnknown},
	}
	l.division.adopt(s.slicing, t)
	return l, nil
}

// start sets the timer for the first tick after those that another scraper has dealt with, which may be due.
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
	pause := l.schedule.at(l.tick).Sub(now)
	if l.timer == nil {
		l.timer = time.AfterFunc(pause, l.fire)
	} else {
		l.timer.Reset(pause)
	}
}

// fire is called by the timer, on a goroutine of its own.
func (l *loop) fire() {
	defer l.recoverPanic()
	l.carryOut(l.begin(time.Now()))
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
	r.offTick, r.timestamp = true, r.began
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
	l.scraper.options.Metrics.loops.skipped.Add(float64(tick - first))
	l.tick = tick
	return l.newRun(now)
}

// newRun needs mu. What it returns must be handed to next or finish.
func (l *loop) newRun(now time.Time) *attempt {
	if l.renewCache {
		l.cache = l.cache.successor(l.job.config.ExtraScrapeMetricsEnabled())
		l.renewCache = false
	}
	l.running = make(chan struct{})
	ctx, cancel := context.WithTimeout(l.scraper.ctx, l.target.timeout)
	l.cancel = cancel
	l.client.retain()
	now = now.Round(0)
	return &attempt{loop: l, target: l.target, schedule: l.schedule, job: l.job, client: l.client, direct: l.direct, ctx: ctx, tick: l.tick,
		began: now, timestamp: l.schedule.timestamp(l.tick, now), forced: l.forced}
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
	now := time.Now()
	if r.vetoed && l.tick == r.tick {
		if pause, again := l.schedule.onVeto(l.tick, now); again {
			l.timer.Reset(pause)
			return nil
		}
		l.scraper.options.Metrics.loops.ticksVetoed.Inc()
	}
	return l.obey(l.schedule.onEnd(l.tick, now), now)
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

// reschedule makes t the target of the next scrapes, which is the same at other times. Its series go on; an end and a new beginning
// would put a staleness marker between their samples if the interval has grown.
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

// end lets no further scrape begin. It returns a channel that is closed when the running one has ended, nil if there is none.
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
func (l *loop) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// abort cuts the running scrape off; it commits nothing.
func (l *loop) abort() {
	l.aborted.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

// show publishes the result of a scrape.
func (l *loop) show(r *attempt, o *outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown.state, l.shown.err = StateUp, o.err
	if o.err != nil {
		l.shown.state = StateDown
	}
	l.shown.start, l.shown.duration = r.timestamp, o.duration
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
	if l.shown.err != nil {
		described.LastError = l.shown.err.Error()
	}
	return described
}

// retire gives back what an ended loop holds. None of its scrapes may be running.
func (l *loop) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.job.metrics.metadata(-l.metadata.entries, -l.metadata.bytes)
	l.direct.close()
	l.client.release()
}

// takeOpen returns the series of an ended loop that have not ended, and forgets them, and the timestamp of the last committed samples.
// None of its scrapes may be running.
func (l *loop) takeOpen() (open []openSeries, last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() {
		return nil, l.last
	}
	open = l.cache.open()
	for _, report := range l.cache.reports {
		if report.ref != 0 {
			open = append(open, report)
		}
	}
	l.cache = newCache()
	return open, l.last
}

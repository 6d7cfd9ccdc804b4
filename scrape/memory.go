package scrape

import (
	"cmp"
	"math"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Memory is how much of it the scrapes of a process may take. The zero value sets no bounds.
type Memory struct {
	// Limit is how many bytes the process may use. While it uses nearly as much, the scrapes of the
	// heaviest instances are skipped. 0: not known.
	Limit int64
	// Bodies is how many bytes of answers may be held at one time, those of targets and of
	// discoveries. 0: a quarter of Limit.
	Bodies int64
	// Used measures what the process uses. nil: it asks the runtime.
	Used func() int64
	// Logger is told, at most once a minute, that scrapes are skipped. nil: silence.
	Logger *zap.Logger
}

const (
	// pressureHigh is the share of the limit from which on scrapes are skipped, pressureGoal the one
	// that this aims at, and pressureLow the one below which they begin again in any case. In between
	// those do that have room below pressureHigh.
	pressureHigh, pressureGoal, pressureLow = 0.9, 0.8, 0.75
	// lookEvery is how often the process' memory is measured, and skipFor how long scrapes of an
	// instance are skipped at least: what a series takes is free some minutes after its end.
	lookEvery, skipFor = time.Second, time.Minute
	// showsAfter is how long the room that one was given counts as taken: what it takes shows only
	// after its next scrapes.
	showsAfter = time.Minute
	// bytesPerSeries is about what the caches take of each series, beside its labels.
	bytesPerSeries = 200
)

// account is that of a process: the bytes of answers that are being read, the instances that are
// skipped because memory is short, and who works.
type account struct {
	Memory
	processors *processors

	mu      sync.Mutex
	held    int64
	readers map[*reservation]struct{}

	next     atomic.Int64 // when the process is measured again, in nanoseconds
	pressing sync.Mutex
	meters   map[*meter]struct{}
	skipped  map[*meter]skip
	begun    []skip      // since when those are scraped again that were skipped
	short    atomic.Bool // some are
	said     time.Time
}

func newAccount(bounds Memory) *account {
	if bounds.Bodies == 0 {
		bounds.Bodies = bounds.Limit / 4
	}
	if bounds.Used == nil {
		bounds.Used = usedMemory
	}
	if bounds.Logger == nil {
		bounds.Logger = zap.NewNop()
	}
	return &account{
		Memory: bounds, processors: newProcessors(),
		readers: map[*reservation]struct{}{}, meters: map[*meter]struct{}{}, skipped: map[*meter]skip{},
	}
}

// reservation is how many bytes of the account one answer takes.
type reservation struct {
	meter  *meter // nil: nothing is counted
	cancel func() // cuts off who reads the answer

	// Guarded by account.mu.
	taken int64
	over  *overBudget // why it was cut off
}

// take reserves n bytes more. Where the process has no bytes left, the answers of instances that
// hold more than this one are cut off; if there is none, this one is refused.
func (r *reservation) take(n int) error {
	if r == nil || r.meter == nil {
		return nil
	}
	p := r.meter.memory
	limit := r.meter.inForce().BodyBytes
	p.mu.Lock()
	victims, err := p.take(r, int64(n), limit)
	p.mu.Unlock()
	for _, v := range victims {
		v.cancel()
	}
	return err
}

// take needs mu.
func (p *account) take(r *reservation, n, limit int64) (victims []*reservation, err error) {
	m := r.meter
	switch {
	case r.over != nil:
		return nil, r.over
	case limit > 0 && m.held+n > limit:
		return nil, exceeded(overBodies, "answers of the config's targets take %d bytes, %d are allowed at one time", m.held+n, limit)
	}
	for p.Bodies > 0 && p.held+n > p.Bodies {
		heaviest := p.heaviest()
		if heaviest == nil || heaviest.meter == m || heaviest.meter.held <= m.held+n {
			return victims, exceeded(overProcess, "the agent holds %d bytes of answers, and may hold %d", p.held+n, p.Bodies)
		}
		heaviest.over = exceeded(overProcess, "the agent may hold %d bytes of answers, of which this config had the most (%d)",
			p.Bodies, heaviest.meter.held)
		p.giveBack(heaviest)
		victims = append(victims, heaviest)
	}
	p.held += n
	m.held += n
	r.taken += n
	p.readers[r] = struct{}{}
	return victims, nil
}

// heaviest is the largest reservation of the instance that has reserved the most. It needs mu.
func (p *account) heaviest() (found *reservation) {
	for r := range p.readers {
		if found == nil || cmp.Or(cmp.Compare(r.meter.held, found.meter.held), cmp.Compare(r.taken, found.taken)) > 0 {
			found = r
		}
	}
	return found
}

// giveBack needs mu.
func (p *account) giveBack(r *reservation) {
	p.held -= r.taken
	r.meter.held -= r.taken
	r.taken = 0
	delete(p.readers, r)
}

// release gives back what was reserved.
func (r *reservation) release() {
	if r.meter == nil {
		return
	}
	p := r.meter.memory
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveBack(r)
}

// cutOff says why somebody cut off this answer; nil: nobody did.
func (r *reservation) cutOff() error {
	if r.meter == nil {
		return nil
	}
	r.meter.memory.mu.Lock()
	defer r.meter.memory.mu.Unlock()
	if r.over != nil {
		return r.over
	}
	return nil
}

func (p *account) add(m *meter) {
	p.pressing.Lock()
	defer p.pressing.Unlock()
	p.meters[m] = struct{}{}
	p.processors.instances.Store(int64(len(p.meters)))
}

func (p *account) remove(m *meter) {
	p.pressing.Lock()
	defer p.pressing.Unlock()
	delete(p.meters, m)
	p.processors.instances.Store(int64(len(p.meters)))
	delete(p.skipped, m)
	p.short.Store(len(p.skipped) > 0)
}

// admit says whether an instance may scrape, as far as the process' memory goes.
func (p *account) admit(m *meter, now time.Time) error {
	if p.Limit <= 0 {
		return nil
	}
	if next := p.next.Load(); now.UnixNano() >= next && p.next.CompareAndSwap(next, now.Add(lookEvery).UnixNano()) {
		p.look(now)
	}
	if !p.short.Load() {
		return nil
	}
	p.pressing.Lock()
	defer p.pressing.Unlock()
	if _, skipped := p.skipped[m]; skipped {
		return exceeded(overMemory, "the agent is near its limit of %d bytes, and this config is among the heaviest", p.Limit)
	}
	return nil
}

// look measures the process, and decides who is skipped.
func (p *account) look(now time.Time) {
	used := p.Used()
	p.pressing.Lock()
	defer p.pressing.Unlock()
	given := p.given(now)
	switch limit := float64(p.Limit); {
	case float64(used) > pressureHigh*limit:
		p.skipHeaviest(used-int64(pressureGoal*limit), now)
	case float64(used) < pressureLow*limit && given == 0:
		p.letOneBegin(math.MaxInt64, now)
	default:
		p.letOneBegin(int64(pressureHigh*limit)-used-given, now)
	}
	p.short.Store(len(p.skipped) > 0)
	if len(p.skipped) > 0 && now.Sub(p.said) >= time.Minute {
		p.said = now
		p.Logger.Warn("memory is short: scrapes of the heaviest instances are skipped", zap.Int("instances", len(p.skipped)),
			zap.Int64("used_bytes", used), zap.Int64("limit_bytes", p.Limit))
	}
}

// given is how much room those have that began again a short time ago. It needs pressing.
func (p *account) given(now time.Time) (bytes int64) {
	p.begun = slices.DeleteFunc(p.begun, func(s skip) bool { return now.Sub(s.since) >= showsAfter })
	for _, s := range p.begun {
		bytes += s.bytes
	}
	return bytes
}

// skip is since when an instance is skipped, and about what it took then.
type skip struct {
	since time.Time
	bytes int64
}

// weighed is an instance with about what it takes.
type weighed struct {
	*meter
	bytes int64
}

func (p *account) weigh() (all []weighed, mean int64) {
	p.mu.Lock()
	held := make(map[*meter]int64, len(p.meters))
	for m := range p.meters {
		held[m] = m.held
	}
	p.mu.Unlock()
	var sum int64
	for m, bytes := range held {
		if m.book != nil {
			stats := m.book.Stats()
			bytes += int64(stats.Bytes) + bytesPerSeries*int64(stats.Series)
		}
		all = append(all, weighed{m, bytes})
		sum += bytes
	}
	return all, sum / max(int64(len(all)), 1)
}

// skipHeaviest skips instances, the heaviest first, until they weigh as much as is to become free.
// What those weigh that are skipped already will become free. One that is lighter than the mean is
// not the reason, and goes on. It needs pressing.
func (p *account) skipHeaviest(wanted int64, now time.Time) {
	all, mean := p.weigh()
	slices.SortFunc(all, func(a, b weighed) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, w := range all {
		if _, skipped := p.skipped[w.meter]; skipped {
			wanted -= w.bytes
		}
	}
	for _, w := range all {
		if wanted <= 0 || w.bytes < mean {
			return
		}
		if _, skipped := p.skipped[w.meter]; !skipped {
			p.skipped[w.meter] = skip{now, w.bytes}
			wanted -= w.bytes
		}
	}
}

// letOneBegin lets one begin again that finds room: the one that was skipped for the longest time. It
// needs pressing.
func (p *account) letOneBegin(room int64, now time.Time) {
	var longest *meter
	for m, s := range p.skipped {
		if s.bytes <= room && (longest == nil || s.since.Before(p.skipped[longest].since)) {
			longest = m
		}
	}
	if longest != nil && now.Sub(p.skipped[longest].since) >= skipFor {
		p.begun = append(p.begun, skip{now, p.skipped[longest].bytes})
		delete(p.skipped, longest)
	}
}

// usedMemory is what is alive on the heap, and everything beside the heap. What a collection would
// free does not count, unless the process has more than its limit all the same.
func usedMemory() int64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(samples)
	var values [7]int64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			values[i] = int64(min(s.Value.Uint64(), math.MaxInt64))
		}
	}
	live, total, heap := values[0], values[1]-values[2], values[3]+values[4]+values[5]
	if total > values[6] {
		return total
	}
	return live + total - heap
}

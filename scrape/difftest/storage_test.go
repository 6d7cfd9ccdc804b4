package difftest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/ringmaster-agent/ringmaster/series"
)

// faultLabel on a series makes the storage refuse it in the way that the value names.
const faultLabel = "storage_fault"

var errStorage = errors.New("storage broke")

var faults = map[string]error{
	"ooo":      storage.ErrOutOfOrderSample,
	"dup":      storage.ErrDuplicateSampleForTimestamp,
	"bounds":   storage.ErrOutOfBounds,
	"notfound": storage.ErrNotFound,
	"other":    errStorage,
	"marker":   errStorage, // of a staleness marker; the others are not of markers, whose order is no loop's own choice
	"exemplar": &storage.AppendPartialError{ExemplarErrors: []error{storage.ErrOutOfOrderExemplar}},
	"partial":  &storage.AppendPartialError{ExemplarErrors: []error{errStorage}},
}

// clock turns timestamps that are a scrape's into the number of the interval, whatever the scrape's
// place in it.
type clock struct {
	network *network

	mu     sync.Mutex // scrapes go on while an interval begins
	first  int64      // number of the interval that began at origin
	origin int64      // milliseconds
	unit   int64      // length of an interval in milliseconds
}

// turn makes the interval that begins now the first of another length. Its number is that of the step.
func (c *clock) turn(step int, unit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first, c.origin, c.unit = int64(step), time.Now().UnixMilli(), unit.Milliseconds()
}

// length of an interval in milliseconds.
func (c *clock) length() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unit
}

// interval returns the number of the interval that the scrape with timestamp t ran in, and false if
// t is not a scrape's.
func (c *clock) interval(t int64, marker bool) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.intervalLocked(t, marker)
}

func (c *clock) intervalLocked(t int64, marker bool) (int64, bool) {
	known := t == time.Now().UnixMilli() || c.network.isTouch(t)
	if !known && marker { // an end-of-run marker has the time of a tick that nobody was asked at
		for back := t - c.unit; back > t-8*c.unit; back -= c.unit {
			known = known || c.network.isTouch(back)
		}
	}
	return c.first + floor(t-c.origin, c.unit), known
}

func floor(t, unit int64) int64 {
	n := t / unit
	if t%unit < 0 {
		n--
	}
	return n
}

// order is t for comparisons of times: a scrape is in the middle of its interval.
func (c *clock) order(t int64, marker bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.intervalLocked(t, marker)
	if !ok {
		return t
	}
	middle := c.origin + (n-c.first)*c.unit + c.unit/2
	switch {
	case !marker || c.network.isTouch(t):
		return middle
	case t == time.Now().UnixMilli(): // ends a series at once, so after the scrape of this interval
		return middle + 1
	default: // ends a series at a tick that passed; a scrape in that interval, by whatever target it is now, says it goes on
		return middle - 1
	}
}

// maxAhead is how far in the future both loops accept samples.
const maxAhead = 10 * time.Minute

// memory is what the storage knows of a series.
type memory struct {
	ref       storage.SeriesRef
	labels    labels.Labels
	text      string
	last      int64 // timestamp, as the clock has it
	lastValue string
	known     bool // last and lastValue are set
	lastStale bool
	ended     bool  // by a marker that a loop has made up
	exemplar  int64 // latest, as the clock has it
}

// mem is an appendable that keeps what is committed, in canonical form, and refuses what a real
// storage refuses: samples older than the series' last, and other values for the same time.
type mem struct {
	clock  *clock
	change func(*record) // plants a difference; nil: none

	mu         sync.Mutex
	series     map[string]*memory
	refs       map[storage.SeriesRef]*memory
	forgotten  map[storage.SeriesRef]*memory // by their references of before
	nextRef    storage.SeriesRef
	committed  []transaction
	open       int
	broken     []string       // violations of the contract of an appender
	cacheKeys  bool           // see record.cacheKey
	markersOf  map[string]int // how many each series has that a loop has made up
	book       *series.Book   // gives references, for ever; nil: the storage does
	failing    bool           // no commit succeeds
	veto       time.Duration  // how long there is no permit once an appender was asked for
	vetoed     time.Time      // when that was
	borderline bool           // a timestamp was accepted that a scrape at another place in the interval might find too far ahead
}

func newMem(c *clock) *mem {
	return &mem{clock: c, series: map[string]*memory{}, refs: map[storage.SeriesRef]*memory{},
		forgotten: map[storage.SeriesRef]*memory{}, nextRef: 1, markersOf: map[string]int{}}
}

// forget makes all references invalid and gives series new ones, as a storage that has dropped idle
// series does.
func (m *mem) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.forgotten, m.refs)
	m.refs = map[storage.SeriesRef]*memory{}
	for _, s := range m.series {
		s.ref = 0
	}
}

// violations are those of the contract, including strings that were changed after they had been
// appended.
func (m *mem) violations() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.series {
		if now := s.labels.String(); now != s.text {
			m.broken = append(m.broken, fmt.Sprintf("labels of series %s were overwritten: %s", s.text, now))
		}
	}
	if m.open != 0 {
		m.broken = append(m.broken, fmt.Sprintf("%d appenders were neither committed nor rolled back", m.open))
	}
	return m.broken
}

// openSeries are those whose last sample is not a staleness marker, and the time of that sample.
func (m *mem) openSeries() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := map[string]int64{}
	for _, s := range m.series {
		if s.known && !s.lastStale {
			open[s.text] = s.last
		}
	}
	return open
}

func (m *mem) AppenderV2(context.Context) storage.AppenderV2 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	if m.veto > 0 && m.vetoed.IsZero() {
		m.vetoed = time.Now()
	}
	return &memAppender{mem: m}
}

// memAppender is one transaction.
type memAppender struct {
	*mem
	records []record
	pending map[*memory]*record
	ended   bool
}

func (a *memAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram,
	fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		a.broken = append(a.broken, "append to an ended transaction")
	}
	a.borderline = a.borderline || t > time.Now().Add(maxAhead).UnixMilli()-2*a.clock.length()
	s := a.find(ref, ls, opts.RejectOutOfOrder)
	if s == nil || ls.IsEmpty() && s.labels.Get(faultLabel) == "notfound" {
		return 0, storage.ErrNotFound // whoever trusts in a reference has to come again, with labels
	}
	r := newRecord(a.clock, s, st, t, v, h, fh, opts)
	err := a.check(s, &r, opts)
	r.outcome = err
	a.cacheKeys = a.cacheKeys || r.cacheKey
	if a.change != nil {
		a.change(&r)
	}
	a.records = append(a.records, r)
	if err != nil && !errors.Is(err, (*storage.AppendPartialError)(nil)) {
		return 0, err
	}
	if a.pending == nil {
		a.pending = map[*memory]*record{}
	}
	a.pending[s] = &r
	return s.ref, err
}

// find returns the series with these labels, a new one if there is none. Without labels the
// reference is to be trusted; nil: there is no such series. Of a series that is open the storage
// forgets no reference, so markers find theirs.
func (m *mem) find(ref storage.SeriesRef, ls labels.Labels, marker bool) *memory {
	s := m.refs[ref]
	if ls.IsEmpty() {
		if s == nil && marker {
			if s = m.forgotten[ref]; s != nil {
				m.refer(s)
			}
		}
		return s
	}
	if s != nil {
		if !labels.Equal(s.labels, ls) {
			m.broken = append(m.broken, fmt.Sprintf("reference of %s used for %s", s.text, ls))
		}
		return s
	}
	text := ls.String()
	if s = m.series[text]; s == nil {
		s = &memory{labels: ls, text: text}
		m.series[text] = s
	}
	m.refer(s)
	return s
}

// refer makes sure that a series has a reference.
func (m *mem) refer(s *memory) {
	if s.ref == 0 {
		s.ref = m.newRef(s.labels)
		m.refs[s.ref] = s
	}
}

// check is what the storage has against a record.
func (a *memAppender) check(s *memory, r *record, opts storage.AOptions) error {
	if fault := s.labels.Get(faultLabel); fault != "" && faults[fault] != nil && r.marker == (fault == "marker") {
		return faults[fault]
	}
	last, lastValue, known := s.last, s.lastValue, s.known
	if p := a.pending[s]; p != nil {
		last, lastValue, known = p.order, p.value, true
	}
	switch {
	case known && r.order < last:
		r.afterEnd = s.ended && a.pending[s] == nil
		return storage.ErrOutOfOrderSample
	case known && r.order == last && r.value != lastValue:
		return storage.ErrDuplicateSampleForTimestamp
	}
	var refused []error
	r.exemplar = s.exemplar
	if p := a.pending[s]; p != nil {
		r.exemplar = max(r.exemplar, p.exemplar)
	}
	for _, e := range opts.Exemplars {
		at := a.clock.order(e.Ts, false)
		if at < r.exemplar {
			refused = append(refused, storage.ErrOutOfOrderExemplar)
		}
		r.exemplar = max(r.exemplar, at)
	}
	return (&storage.AppendPartialError{ExemplarErrors: refused}).ToError()
}

func (a *memAppender) Commit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end("commit")
	if a.failing {
		return errStorage
	}
	for s, r := range a.pending {
		s.ended = r.marker
		if r.marker {
			a.markersOf[s.text]++
		}
		s.last, s.lastValue, s.lastStale, s.known, s.exemplar = r.order, r.value, r.stale, true, r.exemplar
	}
	if len(a.records) > 0 {
		a.committed = append(a.committed, newTransaction(a.records))
	}
	return nil
}

func (a *memAppender) Rollback() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end("rollback")
	return nil
}

func (a *memAppender) end(how string) {
	if a.ended {
		a.broken = append(a.broken, how+" of an ended transaction")
		return
	}
	a.ended = true
	a.open--
}

func isStale(v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) bool {
	switch {
	case fh != nil:
		return value.IsStaleNaN(fh.Sum)
	case h != nil:
		return value.IsStaleNaN(h.Sum)
	default:
		return value.IsStaleNaN(v)
	}
}

func bits(v float64) uint64 { return math.Float64bits(v) }

func (c *clock) describeExemplar(b []byte, e exemplar.Exemplar) []byte {
	b = fmt.Appendf(b, " exemplar{%s %016x", e.Labels.String(), bits(e.Value))
	b = c.describeTime(b, e.Ts, false)
	return fmt.Appendf(b, " %t}", e.HasTs)
}

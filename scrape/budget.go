package scrape

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/series"
)

// Budget is what all targets of one instance may cost together. A field that is 0 is no limit.
type Budget struct {
	// SamplesPerSecond is averaged over a minute. A scrape that has begun is taken as a whole; none
	// begins while the instance is above.
	SamplesPerSecond uint
	// Series is how many series the instance may have, those included that ended in the last
	// minutes, and LabelBytes how large their labels may be together.
	Series     uint
	LabelBytes int64
	// BodyBytes is how many bytes of answers are held at one time.
	BodyBytes int64
	// DiscoveryBytes is how long one answer to a service discovery may be.
	DiscoveryBytes int64
	// DiscoveredBytes is how large the labels of all targets may be that the discoveries of one
	// origin have found, before relabelling, and DiscoveredTargets how many targets these may be. An
	// update of a discovery that exceeds it is refused as a whole, and what was found before stays. If
	// the discovery still exceeds it after it was started again, the origin has what fits.
	DiscoveredBytes   int64
	DiscoveredTargets uint
	// CPU is how many processors the instance may use to unpack, parse and relabel, on average over
	// a minute. No scrape begins while the instance is above; one that has begun fails if it would
	// take another minute's worth.
	CPU float64
}

// What can be exceeded, as it is called in metrics and by the API. The names are those of the keys
// in scraping_service.limits; the last three are about the process.
const (
	overSamples   = "samples_per_second"
	overSeries    = "series"
	overLabels    = "label_bytes"
	overBodies    = "body_bytes_in_flight"
	overDiscovery = "discovery_bytes"

	overDiscoveredBytes   = "discovered_bytes"
	overDiscoveredTargets = "discovered_targets"

	overCPU = "cpu"

	overProcess    = "process_body_bytes"
	overMemory     = "process_memory"
	overProcessors = "process_cpu"
)

var budgetReasons = []string{overSamples, overSeries, overLabels, overBodies, overDiscovery, overDiscoveredBytes, overDiscoveredTargets, overCPU, overProcess, overMemory, overProcessors}

// rateWindow is over which time samples per second are averaged.
const rateWindow = time.Minute

// overBudget is an error: an instance, or the process, would cost more than it may.
type overBudget struct{ limit, text string }

// Error implements error.
func (e *overBudget) Error() string { return e.text }

// RetryAfter tells receivers of pushed samples that the sender may try again.
func (e *overBudget) RetryAfter() time.Duration { return time.Second }

func exceeded(limit, format string, args ...any) *overBudget {
	return &overBudget{limit, limit + " exceeded: " + fmt.Sprintf(format, args...)}
}

// Refusal says how often a limit was exceeded.
type Refusal struct {
	// Limit is the key in scraping_service.limits, process_body_bytes, process_memory or process_cpu.
	Limit string
	// Count is how often since the instance was opened. Last and Message are about the last time.
	Count   uint64
	Last    time.Time
	Message string
}

// meter holds what one instance costs against its budget.
type meter struct {
	memory  *account
	metrics *loopMetrics
	book    *series.Book // nil: series are not counted

	held int64 // bytes of bodies; guarded by account.mu

	mu       sync.Mutex
	budget   Budget
	left     float64 // samples that may still be taken; below 0 once a scrape had more
	at       time.Time
	cpuLeft  float64 // seconds of processor time that may still be used; below 0 once a scrape took more
	cpuUse   float64 // processors, on average over cpuWindow
	cpuAt    time.Time
	refusals map[string]*Refusal
}

func newMeter(shared *Shared, metrics *loopMetrics, book *series.Book) *meter {
	return &meter{memory: shared.memory, metrics: metrics, book: book, refusals: map[string]*Refusal{}}
}

// adopt makes b the budget.
func (m *meter) adopt(b Budget, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget.CPU != b.CPU {
		m.settle(now)
		m.cpuLeft = b.CPU * rateWindow.Seconds()
	}
	if m.budget.SamplesPerSecond != b.SamplesPerSecond {
		m.left, m.at = float64(b.SamplesPerSecond)*rateWindow.Seconds(), now
	}
	m.budget = b
}

func (m *meter) inForce() Budget {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.budget
}

// admit says whether a scrape may begin.
func (m *meter) admit(now time.Time) error {
	if err := m.memory.admit(m, now); err != nil {
		return err
	}
	if err := m.cpu(now); err != nil {
		return err
	}
	return m.rate(now)
}

// rate says whether the instance may take samples.
func (m *meter) rate(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := float64(m.budget.SamplesPerSecond)
	if limit == 0 {
		return nil
	}
	m.left = min(m.left+limit*now.Sub(m.at).Seconds(), limit*rateWindow.Seconds())
	m.at = now
	if m.left > 0 {
		return nil
	}
	pause := time.Duration((1 - m.left) / limit * float64(time.Second)).Round(time.Second)
	return exceeded(overSamples, "%.0f are allowed; the average is below that again in %s", limit, max(pause, time.Second))
}

// spend counts samples that were taken.
func (m *meter) spend(samples int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left -= float64(samples)
}

// room says whether the instance may have another series.
func (m *meter) room() error {
	if m == nil || m.book == nil {
		return nil
	}
	b := m.inForce()
	if b.Series == 0 && b.LabelBytes == 0 {
		return nil
	}
	switch stats := m.book.Stats(); {
	case b.Series > 0 && uint(stats.Series) >= b.Series:
		return exceeded(overSeries, "the config has %d on this node, %d are allowed; they count until some minutes after their end", stats.Series, b.Series)
	case b.LabelBytes > 0 && int64(stats.LabelBytes) >= b.LabelBytes:
		return exceeded(overLabels, "the labels of the config's series take %d bytes, %d are allowed", stats.LabelBytes, b.LabelBytes)
	}
	return nil
}

// note counts an error if it says that something was exceeded.
func (m *meter) note(err error, now time.Time) {
	over, ok := errors.AsType[*overBudget](err)
	if !ok {
		return
	}
	m.metrics.overBudget.WithLabelValues(over.limit).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.refusals[over.limit]
	if r == nil {
		r = &Refusal{Limit: over.limit}
		m.refusals[over.limit] = r
	}
	r.Count++
	r.Last, r.Message = now, over.text
}

// Refusals are the limits that the instance has met, sorted by name. Any goroutine may call it.
func (s *Scraper) Refusals() []Refusal {
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	var all []Refusal
	for _, r := range s.meter.refusals {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Refusal) int { return strings.Compare(a.Limit, b.Limit) })
	return all
}

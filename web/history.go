package web

import (
	"context"
	"html/template"
	"math"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// HistoryStep is the distance of two points of a History, and historyPoints how many it keeps: the
// last hour.
const (
	HistoryStep   = 30 * time.Second
	historyPoints = 120
)

// Point is what a node has done at a moment.
type Point struct {
	// Step numbers the moment: the same on all nodes whose clocks agree.
	Step int64 `json:"step"`
	// Sent and Pending are of all endpoints together; Lag is the largest, in seconds.
	Sent    uint64  `json:"sent"`
	Pending uint64  `json:"pending"`
	Lag     float64 `json:"lag"`
}

// History keeps the points of the last hour in memory, and what each endpoint had done at the last
// two of them, and no more. The zero value is empty. Any goroutine may use it.
type History struct {
	mu     sync.Mutex
	points []Point
	// last and previous are the endpoints at the last two steps.
	last, previous census
}

// census is what all endpoints had done at a moment.
type census struct {
	at        time.Time
	endpoints map[endpointID]progress
}

type endpointID struct{ config, unit, name, url string }

// progress is what an endpoint has done since its instance started.
type progress struct{ sent, logged uint64 }

// progressOf: what the log took was sent, given up, or waits.
func progressOf(e *Endpoint) progress { return progress{e.Sent, e.Sent + total(e.Dropped) + e.Pending} }

func censusOf(all []Instance, now time.Time) census {
	c := census{now, map[endpointID]progress{}}
	for i := range all {
		for e := range all[i].Endpoints {
			endpoint := &all[i].Endpoints[e]
			c.endpoints[endpointID{all[i].Name, all[i].Unit, endpoint.Name, endpoint.URL}] = progressOf(endpoint)
		}
	}
	return c
}

// Rates are what an endpoint does in a second.
type Rates struct {
	// Sent are samples that were acknowledged, Logged samples that came into the log for it.
	Sent   float64 `json:"sent_per_second"`
	Logged float64 `json:"logged_per_second"`
}

// ratesOver is the shortest time that rates are taken over.
const ratesOver = 5 * time.Second

// Rates says what an endpoint of a unit has done since one of the last two steps, up to now; known
// is false for one that was not there.
func (h *History) Rates(config, unit string, e *Endpoint, now time.Time) (rates Rates, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	then := h.last
	if now.Sub(then.at) < ratesOver {
		then = h.previous
	}
	before, known := then.endpoints[endpointID{config, unit, e.Name, e.URL}]
	passed, after := now.Sub(then.at), progressOf(e)
	// A count that went back is that of an instance that has been started again.
	if !known || passed < ratesOver || after.sent < before.sent || after.logged < before.logged {
		return rates, false
	}
	return Rates{float64(after.sent-before.sent) / passed.Seconds(), float64(after.logged-before.logged) / passed.Seconds()}, true
}

// Run adds a point at each step until ctx is over. What can't be had leaves a gap.
func (h *History) Run(ctx context.Context, instances Instances) {
	ticker := time.NewTicker(HistoryStep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if all, err := instances.Instances(ctx, ""); err == nil {
				h.add(pointOf(all, now), censusOf(all, now))
			}
		}
	}
}

func pointOf(instances []Instance, now time.Time) Point {
	p := Point{Step: now.Unix() / int64(HistoryStep/time.Second)}
	for i := range instances {
		for e := range instances[i].Endpoints {
			endpoint := &instances[i].Endpoints[e]
			p.Sent += endpoint.Sent
			p.Pending += endpoint.Pending
			p.Lag = max(p.Lag, endpoint.Lag)
		}
	}
	return p
}

func (h *History) add(p Point, c census) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.previous, h.last = h.last, c
	h.points = append(h.points, p)
	if len(h.points) > historyPoints {
		h.points = append(h.points[:0], h.points[len(h.points)-historyPoints:]...)
	}
}

// Points are those of the last hour, oldest first.
func (h *History) Points() []Point {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Point(nil), h.points...)
}

// plots draws what the nodes have done together. Nothing until there are two points.
func plots(nodes []nodeSummary, now time.Time) []template.HTML {
	last := now.Unix() / int64(HistoryStep/time.Second)
	rate, pending, lag := gaps(historyPoints), gaps(historyPoints), gaps(historyPoints)
	known := map[int]bool{}
	for _, n := range nodes {
		for i, p := range n.History {
			at := int(p.Step - last + historyPoints - 1)
			if at < 0 || at >= historyPoints {
				continue
			}
			known[at] = true
			pending[at] = plus(pending[at], float64(p.Pending))
			lag[at] = max(plus(lag[at], 0), p.Lag)
			// A count that went back is that of an instance that has ended or moved.
			if i > 0 && n.History[i-1].Step < p.Step && n.History[i-1].Sent <= p.Sent {
				before := n.History[i-1]
				rate[at] = plus(rate[at], float64(p.Sent-before.Sent)/(float64(p.Step-before.Step)*HistoryStep.Seconds()))
			}
		}
	}
	if len(known) < 2 {
		return nil
	}
	return []template.HTML{
		pages.Plot("Samples sent per second", pages.Count(int64(newestOf(rate))), rate),
		pages.Plot("Samples pending", pages.Count(int64(newestOf(pending))), pending),
		pages.Plot("Largest lag", pages.Seconds(newestOf(lag)), lag),
	}
}

func gaps(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// plus adds to a value that may not be known yet.
func plus(value, more float64) float64 {
	if math.IsNaN(value) {
		return more
	}
	return value + more
}

// newestOf is the last value that is known, 0 if none is.
func newestOf(values []float64) float64 {
	for i := len(values) - 1; i >= 0; i-- {
		if !math.IsNaN(values[i]) {
			return values[i]
		}
	}
	return 0
}

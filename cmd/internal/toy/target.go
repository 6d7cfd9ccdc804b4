package toy

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"
)

// ScrapesMetric is the counter by which a Target numbers its scrapes.
const ScrapesMetric = "toy_scrapes_total"

// Target answers a scrape with a small shop's metrics in the text format. The zero value is ready
// to use.
type Target struct {
	// Series is the number of additional gauges, to make the target as big as wanted.
	Series int

	mu      sync.Mutex
	scrapes uint64
	began   time.Time
}

// Scrapes is the number of scrapes that were answered.
func (t *Target) Scrapes() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scrapes
}

// rooms have a temperature each.
var rooms = []string{"kitchen", "cellar"}

// Samples is how many samples a scrape has.
func (t *Target) Samples() int { return 1 + len(rooms) + t.Series }

// ServeHTTP answers one scrape.
func (t *Target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	number, age := t.next()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# HELP %s Scrapes of this target, this one included.\n# TYPE %s counter\n%s %d\n", ScrapesMetric, ScrapesMetric, ScrapesMetric, number)
	fmt.Fprintf(w, "# HELP toy_temperature_celsius A value that moves.\n# TYPE toy_temperature_celsius gauge\n")
	for _, room := range rooms {
		fmt.Fprintf(w, "toy_temperature_celsius{room=%q} %.3f\n", room, 20+5*math.Sin(age.Seconds()/10+float64(len(room))))
	}
	fmt.Fprintf(w, "# HELP toy_shelf_items Items on a shelf.\n# TYPE toy_shelf_items gauge\n")
	for i := range t.Series {
		fmt.Fprintf(w, "toy_shelf_items{shelf=\"%04d\"} %d\n", i, (number*7+uint64(i))%1000)
	}
}

func (t *Target) next() (number uint64, age time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = time.Now()
	}
	t.scrapes++
	return t.scrapes, time.Since(t.began)
}

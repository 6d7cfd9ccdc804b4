package difftest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"

	"github.com/ringmaster-agent/ringmaster/series"
)

// quiet is the end of each interval in which nothing may be scraped: configs are reloaded and
// answers are changed then, and it is long enough for either loop to take up new targets.
const quiet = 2 * time.Second

const defaultUnit = time.Minute

// step is one interval.
type step struct {
	config  string             // if not empty, reloaded before
	parsed  *promconfig.Config // the same, parsed
	answers map[string]answer  // by host:port; "" is every other target. nil: as before
	unit    time.Duration      // scrape interval from now on. 0: as before
	forget  bool               // the storage gives series new references

	ours   *promconfig.Config  // what this project's loop is given instead of parsed, if not nil
	blocks map[string][]finder // discoveries of the config's jobs, by name
	fails  bool                // no commit succeeds in this interval
	veto   time.Duration       // from the first scrape of this interval on, this project's loop has no permit for so long
	move   bool                // this project's loop hands over to another scraper; Prometheus' goes on
}

// scenario is what both loops go through.
type scenario struct {
	features features
	steps    []step
	// jobRemoved says that a job is removed. Prometheus leaves the series of a removed job open,
	// this project ends them.
	jobRemoved bool
	// keepsCache says that a job changes so that Prometheus forgets what it knew of its targets,
	// which this project does not do: series that are gone end in the next scrape instead of some
	// intervals later or never, and series that go on do not count as added.
	keepsCache bool
	asksAgain  bool          // this project's loop repeats requests, whose number is not compared
	plant      func(*record) // for tests of this package: what the second loop appends differently
}

// trace is everything that is compared of one run.
type trace struct {
	committed  map[string][][]string // lines of each transaction, by target
	requests   map[string][]string   // by address
	shown      []string              // targets and metadata after each interval
	ended      []string              // series, sorted
	markers    []string              // what was appended to end them
	markersOf  map[string]int        // how many each series has that a loop has made up
	open       map[string]int64      // series without a staleness marker at the end, and the time of their last sample
	end        int64                 // when the last interval began
	broken     []string              // violations of the appender's contract
	borderline bool                  // see mem
	cacheKeys  bool                  // see mem
	disturbed  bool                  // a scrape ran in a quiet time: another phase is needed
}

// phases are tried in turn until no scrape runs in a quiet time.
var phases = []time.Duration{0, 17 * time.Second, 31 * time.Second, 43 * time.Second, 7 * time.Second, 53 * time.Second}

// compare runs the scenario through both loops and returns what differs, or "".
func (s scenario) compare(t *testing.T) string {
	t.Helper()
	s.parse(t)
	stock := s.run(t, s.stock(), nil)
	own := s.run(t, makeOwn, s.plant)
	if stock.borderline || own.borderline {
		return ""
	}
	if len(stock.committed) == 0 {
		return "nothing was committed: this compares nothing"
	}
	return s.diff(stock, own)
}

// check fails the test if the loops differ.
func (s scenario) check(t *testing.T) {
	t.Helper()
	if d := s.compare(t); d != "" {
		t.Error(d)
	}
}

// parse reads the configs. Both loops get the same values, which neither may change.
func (s scenario) parse(t testing.TB) {
	for i := range s.steps {
		if step := &s.steps[i]; step.config != "" {
			step.parsed = parse(t, step.config)
			for _, job := range step.parsed.ScrapeConfigs {
				for _, f := range step.blocks[job.JobName] {
					job.ServiceDiscoveryConfigs = append(job.ServiceDiscoveryConfigs, f)
				}
			}
		}
	}
}

// parse reads a config file; a list of jobs will do.
func parse(t testing.TB, text string) *promconfig.Config {
	t.Helper()
	if strings.HasPrefix(strings.TrimSpace(text), "- ") {
		text = "scrape_configs:\n" + text
	}
	if !strings.Contains(text, "global:") {
		text = "global: {scrape_interval: 1m, scrape_timeout: 5s}\n" + text
	}
	config, err := promconfig.Load(text, promslog.NewNopLogger())
	if err != nil {
		t.Fatalf("parse config: %v\n%s", err, text)
	}
	return config
}

func (s scenario) run(t *testing.T, makeLoop makeLoop, plant func(*record)) *trace {
	t.Helper()
	for _, phase := range phases {
		if s.usesZstandard() {
			// Prometheus keeps decoders, which have channels, in a global pool: those of another
			// bubble can't be used.
			runtime.GC()
			runtime.GC()
		}
		var got *trace
		synctest.Test(t, func(t *testing.T) { got = s.runAt(t, phase, makeLoop, plant) })
		if !got.disturbed {
			return got
		}
	}
	t.Fatal("in every phase a scrape runs in the quiet time: choose other target addresses")
	return nil
}

func (s scenario) usesZstandard() bool {
	for _, step := range s.steps {
		for _, a := range step.answers {
			if slices.Contains(a.header, "Content-Encoding: zstd") {
				return true
			}
		}
	}
	return false
}

// runAt runs the scenario in the current bubble. Intervals begin at phase after each multiple of
// their length.
func (s scenario) runAt(t *testing.T, phase time.Duration, makeLoop makeLoop, plant func(*record)) *trace {
	net := newNetwork()
	clock := &clock{network: net}
	store := newMem(clock)
	store.change = plant
	if s.moves() {
		store.book = series.New()
	}
	loop := makeLoop(t, s.features, store, net)
	_, vetoable := loop.(*ownLoop)
	got := &trace{}

	unit := defaultUnit
	pass(phase)
	for i, step := range s.steps {
		if i > 0 {
			pass(unit - quiet)
			synctest.Wait()
			got.show(i-1, loop, net)
		}
		before, quietEnds := net.activity(), time.Now().Add(quiet)
		if step.answers != nil {
			net.set(step.answers)
		}
		if step.forget {
			store.forget()
		}
		store.trouble(step, vetoable)
		if step.move {
			loop.move()
		}
		if step.parsed != nil {
			if err := loop.apply(step); err != nil {
				t.Fatalf("apply config of step %d: %v", i, err)
			}
		}
		if i > 0 {
			pass(time.Until(quietEnds))
			got.disturbed = got.disturbed || net.activity() != before || net.inFlight() > 0
		}
		if step.unit != 0 {
			unit = step.unit
		}
		if step.unit != 0 || i == 0 {
			clock.turn(i, unit)
		}
		if i == 0 {
			if err := loop.start(); err != nil {
				t.Fatalf("start: %v", err)
			}
		}
	}
	got.end = time.Now().UnixMilli()
	pass(unit - quiet)
	synctest.Wait()
	got.show(len(s.steps)-1, loop, net)
	before := net.activity()
	pass(quiet - time.Millisecond)
	got.disturbed = got.disturbed || net.activity() != before || net.inFlight() > 0
	loop.stop()
	net.close()
	got.collect(store, net)
	return got
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func (g *trace) show(step int, l loop, n *network) {
	g.disturbed = g.disturbed || n.inFlight() > 0
	for _, target := range l.targets() {
		g.shown = append(g.shown, fmt.Sprintf("interval %d: %s", step, target))
	}
	for _, m := range l.metadata() {
		g.shown = append(g.shown, fmt.Sprintf("interval %d: metadata %s", step, m))
	}
}

func (g *trace) collect(store *mem, net *network) {
	g.committed = map[string][][]string{}
	for _, tx := range store.committed {
		if tx.ending != nil {
			g.ended = append(g.ended, tx.ending...)
			g.markers = append(g.markers, tx.markers...)
		} else {
			g.committed[tx.target] = append(g.committed[tx.target], tx.lines)
		}
	}
	slices.Sort(g.ended)
	g.requests = net.requests
	g.open, g.markersOf = store.openSeries(), store.markersOf
	g.borderline, g.cacheKeys = store.borderline, store.cacheKeys
	g.broken = store.violations()
}

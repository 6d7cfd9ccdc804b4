package difftest

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
)

// quiet is the end of each interval in which nothing may be scraped: configs are reloaded and answers are changed then, and it
// is long enough for either loop to take up new targets.
const quiet = 2 * time.Second

const defaultUnit = time.Minute

// step is one interval.
type step struct {
	config  string             // if not empty, reloaded before
	parsed  *promconfig.Config // the same, parsed
	answers map[string]answer  // by host:port; "" is every other target. nil: as before
	unit    time.Duration      // scrape interval from now on. 0: as before
	forget  bool               // the storage gives series new references
}

// scenario is what both loops go through.
type scenario struct {
	features features
	steps    []step
	// jobRemoved says that a job is removed. Prometheus leaves the series of a removed job open, this project ends them.
	jobRemoved bool
	// keepsCache says that a job changes so that Prometheus forgets what it knew of its targets, which this project does not do:
	// series that are gone end in the next scrape instead of some intervals later or never, and series that go on do not count as added.
	keepsCache bool
	plant      func(*record) // for tests of this package: what the second loop appends differently
}

// trace is everything that is compared of one run.
type trace struct {
	committed  map[string][][]string // lines of each transaction, by target
	requests   map[string][]string   // by address
	shown      []string              // targets and metadata after each interval
	ended      []string              // series, sorted
	markers    []string              // what was appended to end them
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
	stock := s.run(t, makeStock, nil)
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
			// Prometheus keeps decoders, which have channels, in a global pool: those of another bubble can't be used.
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

// runAt runs the scenario in the current bubble. Intervals begin at phase after each multiple of their length.
func (s scenario) runAt(t *testing.T, phase time.Duration, makeLoop makeLoop, plant func(*record)) *trace {
	net := newNetwork()
	clock := &clock{network: net}
	store := newMem(clock)
	store.change = plant
	loop := makeLoop(t, s.features, store, net)
	got := &trace{}

	unit := defaultUnit
	pass(phase)
	for i, step := range s.steps {
		if i > 0 {
			pass(unit - quiet)
			synctest.Wait()
			got.show(i-1, loop, net)
		}
		before := net.activity()
		if step.answers != nil {
			net.set(step.answers)
		}
		if step.forget {
			store.forget()
		}
		if step.parsed != nil {
			if err := loop.apply(step.parsed); err != nil {
				t.Fatalf("apply config of step %d: %v", i, err)
			}
		}
		if i > 0 {
			pass(quiet)
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
	g.open = store.openSeries()
	g.borderline, g.cacheKeys = store.borderline, store.cacheKeys
	g.broken = store.violations()
}

// diff returns what differs, or "".
func (s scenario) diff(stock, own *trace) string {
	var out strings.Builder
	for _, broken := range own.broken {
		fmt.Fprintf(&out, "own loop: %s\n", broken)
	}
	for _, target := range keys(stock.committed, own.committed) {
		a, b := stock.committed[target], own.committed[target]
		if s.keepsCache {
			a, b = withoutCache(a), withoutCache(b)
		}
		for i := range max(len(a), len(b)) {
			if s.keepsCache {
				forgiveEnds(at(a, i), at(b, i))
			}
			diffLines(&out, fmt.Sprintf("transaction %d of target %s", i, target), at(a, i), forgive(at(a, i), at(b, i)))
		}
	}
	for _, address := range keys(stock.requests, own.requests) {
		diffLines(&out, "requests to "+address, stock.requests[address], own.requests[address])
	}
	if s.keepsCache {
		diffLines(&out, "targets", onlyTargets(stock.shown), onlyTargets(own.shown))
	} else {
		diffLines(&out, "targets and metadata", stock.shown, own.shown)
	}
	if s.keepsCache {
		diffOpen(&out, stock, own)
	} else {
		s.diffEnded(&out, stock, own)
	}
	return out.String()
}

// diffEnded compares which series were ended outside of scrapes.
func (s scenario) diffEnded(out *strings.Builder, stock, own *trace) {
	ended := own.ended
	if s.jobRemoved {
		ended = slices.DeleteFunc(slices.Clone(ended), func(series string) bool { return !slices.Contains(stock.ended, series) })
	}
	if !slices.Equal(stock.ended, ended) {
		diffLines(out, "ended series", stock.ended, ended)
		writeLines(out, "for this stock appended", stock.markers)
		writeLines(out, "for this own appended", own.markers)
	}
}

// diffOpen compares which series are open at the end, if what ended them may differ. Series that Prometheus has forgotten without
// ending them need not be open. Where the last body breaks off, those of its first part go on in both loops, but a reload by which Prometheus
// forgets them ends them there.
func diffOpen(out *strings.Builder, stock, own *trace) {
	for _, series := range keys(stock.open, own.open) {
		last, inStock := stock.open[series]
		_, inOwn := own.open[series]
		switch {
		case inStock && !inOwn && last >= stock.end:
			fmt.Fprintf(out, "series %s has ended, and goes on in stock\n", series)
		case inOwn && !inStock && !endsInFailure(own.committed):
			fmt.Fprintf(out, "series %s has not ended, but has in stock\n", series)
		}
	}
}

// endsInFailure reports whether the last scrape of a target failed.
func endsInFailure(committed map[string][][]string) bool {
	for _, transactions := range committed {
		if len(transactions) > 0 && strings.Contains(line(transactions[len(transactions)-1], "up"), " (0) ") {
			return true
		}
	}
	return false
}

// withoutCache leaves out what depends on what a loop knows of earlier scrapes.
func withoutCache(transactions [][]string) [][]string {
	var kept [][]string
	for _, lines := range transactions {
		kept = append(kept, slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return strings.Contains(line, " 7ff0000000000002 (NaN) @") || strings.HasPrefix(line, `{__name__="scrape_series_added"`)
		}))
	}
	return kept
}

// forgiveEnds leaves out what became of samples, with old timestamps of their own, that one of the loops has appended after it had ended
// their series because of a reload, which the other does later or never.
func forgiveEnds(a, b []string) {
	for i := range min(len(a), len(b)) {
		if strings.HasSuffix(a[i], afterEnd) || strings.HasSuffix(b[i], afterEnd) {
			a[i], _, _ = strings.Cut(a[i], " refused: ")
			b[i], _, _ = strings.Cut(b[i], " refused: ")
		}
	}
}

// forgive takes metadata away from own lines where Prometheus has none because it keeps the name of a protobuf family in a buffer
// that the parser has filled with the next series: it finds the name there again unless a label sorts before it.
func forgive(stock, own []string) []string {
	misplaced := func(line string) bool { return !strings.HasPrefix(line, `{__name__=`) }
	if len(stock) != len(own) || !slices.ContainsFunc(stock, misplaced) {
		return own
	}
	forgiven := slices.Clone(own)
	for i, line := range own {
		if bare := withoutMetadata(line); bare == stock[i] {
			forgiven[i] = bare
		}
	}
	return forgiven
}

// onlyTargets leaves out metadata, of which a loop without its cache knows less.
func onlyTargets(shown []string) []string {
	return slices.DeleteFunc(slices.Clone(shown), func(line string) bool { return strings.Contains(line, ": metadata ") })
}

func withoutMetadata(line string) string {
	from, to := strings.Index(line, " family="), strings.LastIndex(line, " refused: ")
	switch {
	case from < 0:
		return line
	case to < from:
		return line[:from]
	default:
		return line[:from] + line[to:]
	}
}

func at(transactions [][]string, i int) []string {
	if i < len(transactions) {
		return transactions[i]
	}
	return nil
}

func keys[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

// diffLines writes the lines between the common beginning and the common end, a few of each side.
func diffLines(out *strings.Builder, what string, stock, own []string) {
	if slices.Equal(stock, own) {
		return
	}
	first := 0
	for first < min(len(stock), len(own)) && stock[first] == own[first] {
		first++
	}
	last := 0
	for last < min(len(stock), len(own))-first && stock[len(stock)-1-last] == own[len(own)-1-last] {
		last++
	}
	fmt.Fprintf(out, "%s differ from line %d on (%d lines, own loop %d):\n", what, first, len(stock), len(own))
	writeLines(out, "stock", stock[first:len(stock)-last])
	writeLines(out, "own  ", own[first:len(own)-last])
}

func writeLines(out *strings.Builder, side string, lines []string) {
	const most, width = 12, 1000
	for i, line := range lines {
		if i == most {
			fmt.Fprintf(out, "  %s … and %d more\n", side, len(lines)-most)
			return
		}
		fmt.Fprintf(out, "  %s %s\n", side, line[:min(len(line), width)])
	}
}

package scrape

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	_ "github.com/ringmaster-agent/ringmaster/scrape/sd/light"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test; it is never what a test asserts on.
const patience = 30 * time.Second

// sample is one committed sample.
type sample struct {
	labels    labels.Labels
	t, st     int64
	v         float64
	h         *histogram.Histogram
	exemplars []exemplar.Exemplar
	metadata  metadata.Metadata
}

func (s sample) name() string { return s.labels.Get("__name__") }
func (s sample) stale() bool  { return value.IsStaleNaN(s.v) }

// memory is an appendable that keeps what was committed and refuses what is out of order.
type memory struct {
	mu        sync.Mutex
	refs      map[string]storage.SeriesRef
	labels    map[storage.SeriesRef]labels.Labels
	last      map[storage.SeriesRef]int64
	committed []sample
	appenders int
	rolled    int
	broken    atomic.Bool            // nothing can be committed
	before    func(ls labels.Labels) // called in Append, if set
	committer func()                 // called in Commit, if set
}

func newMemory() *memory {
	return &memory{refs: map[string]storage.SeriesRef{}, labels: map[storage.SeriesRef]labels.Labels{}, last: map[storage.SeriesRef]int64{}}
}

func (m *memory) AppenderV2(context.Context) storage.AppenderV2 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appenders++
	return &memoryAppender{memory: m}
}

type memoryAppender struct {
	*memory
	batch []sample
}

// Append trusts a reference that comes without labels.
func (a *memoryAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram,
	_ *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, ls = a.resolve(ref, ls)
	if ls.IsEmpty() {
		return 0, storage.ErrNotFound
	}
	if a.before != nil {
		a.before(ls)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.last[ref]; ok && t <= last {
		return 0, storage.ErrOutOfOrderSample
	}
	s := sample{labels: ls, t: t, st: st, v: v, metadata: opts.Metadata}
	if h != nil {
		s.h = h.Copy()
	}
	for _, e := range opts.Exemplars {
		s.exemplars = append(s.exemplars, exemplar.Exemplar{Labels: e.Labels.Copy(), Value: e.Value, Ts: e.Ts})
	}
	a.batch = append(a.batch, s)
	return ref, nil
}

func (m *memory) resolve(ref storage.SeriesRef, ls labels.Labels) (storage.SeriesRef, labels.Labels) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ls.IsEmpty() {
		return ref, m.labels[ref]
	}
	key := ls.String()
	if ref = m.refs[key]; ref == 0 {
		ref = storage.SeriesRef(len(m.refs) + 1)
		m.refs[key], m.labels[ref] = ref, ls
	}
	return ref, ls
}

func (a *memoryAppender) Commit() error {
	if a.committer != nil {
		a.committer()
	}
	if a.broken.Load() {
		return errors.New("disk full")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.batch {
		a.last[a.refs[s.labels.String()]] = s.t
	}
	a.committed = append(a.committed, a.batch...)
	return nil
}

func (a *memoryAppender) Rollback() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rolled++
	return nil
}

// find returns the committed samples of series with this name and these label pairs, in order.
func (m *memory) find(name string, pairs ...string) []sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []sample
	for _, s := range m.committed {
		matches := s.name() == name
		for i := 0; i < len(pairs); i += 2 {
			matches = matches && s.labels.Get(pairs[i]) == pairs[i+1]
		}
		if matches {
			found = append(found, s)
		}
	}
	return found
}

// untouched reports whether nobody has asked for an appender.
func (m *memory) untouched() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appenders == 0
}

func (m *memory) rollbacks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rolled
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.committed)
}

// open returns the names of the series whose last sample is not a staleness marker.
func (m *memory) open() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := map[string]bool{}
	for _, s := range m.committed {
		if s.stale() {
			delete(open, s.labels.String())
		} else {
			open[s.labels.String()] = true
		}
	}
	return open
}

// serve answers every request with body.
func serve(t testing.TB, contentType, body string) *httptest.Server {
	t.Helper()
	return serveFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = fmt.Fprint(w, body)
	})
}

func serveFunc(t testing.TB, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server
}

func address(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }

// configure parses scrape_configs as a user writes them. ADDR0, ADDR1 … stand for the
// servers' addresses.
func configure(t testing.TB, text string, servers ...*httptest.Server) *Config {
	t.Helper()
	for i, server := range servers {
		text = strings.ReplaceAll(text, fmt.Sprintf("ADDR%d", i), address(server))
	}
	text = "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\nscrape_configs:\n  " +
		strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
	parsed, err := promconfig.Load(text, promslog.NewNopLogger())
	require.NoError(t, err)
	jobs, err := parsed.GetScrapeConfigs()
	require.NoError(t, err)
	return &Config{Jobs: jobs}
}

// newScraper makes a scraper that is stopped at the end of the test, and that must not panic.
func newScraper(t testing.TB, m *memory, change ...func(*Options)) *Scraper {
	t.Helper()
	options := Options{
		Appendable: m,
		OnPanic:    func(err error) { t.Errorf("unexpected panic: %v", err) },
	}
	for _, c := range change {
		c(&options)
	}
	s, err := New(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(over(), KeepSeries)) })
	return s
}

// run applies c and starts.
func run(t testing.TB, s *Scraper, c *Config) {
	t.Helper()
	require.NoError(t, s.Apply(t.Context(), c))
	require.NoError(t, s.Start())
}

// over is a context that has ended.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// eventually waits for what; the message says what it waited for.
func eventually(t testing.TB, what func() bool, message string) {
	t.Helper()
	require.Eventually(t, what, patience, 5*time.Millisecond, message)
}

// deliveries returns how often target groups were handed to the loops, and how many discoveries run.
func deliveries(s *Scraper) (sent, running int) {
	s.discoveries.mu.Lock()
	defer s.discoveries.mu.Unlock()
	return s.discoveries.sent, len(s.discoveries.current.providers)
}

// inState reports whether the i-th target is in this state. There may not be as many.
func inState(s *Scraper, i int, state State) bool {
	targets := s.Targets()
	return i < len(targets) && targets[i].State == state
}

// lastError is that of the i-th target.
func lastError(s *Scraper, i int) string {
	if targets := s.Targets(); i < len(targets) {
		return targets[i].LastError
	}
	return ""
}

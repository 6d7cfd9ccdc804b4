package pipeline

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

const patience = 30 * time.Second

// receiver counts what it takes and can be told what to answer.
type receiver struct {
	status  atomic.Int64 // 0: take it
	samples atomic.Int64
	stale   atomic.Int64
	users   chan string
	series  sync.Map // of all series that came, as text
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, _, ok := req.BasicAuth(); ok {
		select {
		case r.users <- user:
		default:
		}
	}
	if status := r.status.Load(); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	compressed, _ := io.ReadAll(req.Body)
	raw, err := snappy.Decode(nil, compressed)
	var decoded prompb.WriteRequest
	if err != nil || decoded.Unmarshal(raw) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, series := range decoded.Timeseries {
		r.samples.Add(int64(len(series.Samples)))
		builder := labels.NewScratchBuilder(0)
		r.series.Store(series.ToLabels(&builder, nil).String(), true)
		for _, sample := range series.Samples {
			if value.IsStaleNaN(sample.Value) {
				r.stale.Add(1)
			}
		}
	}
}

// world is a factory, a target and a receiver.
type world struct {
	t        *testing.T
	factory  *Factory
	registry *prometheus.Registry
	target   *httptest.Server
	receiver *receiver
	remote   *httptest.Server
	failures atomic.Pointer[error]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, func(*Options) {})
}

func newWorldOf(t *testing.T, adjust func(*Options)) *world {
	t.Helper()
	w := &world{t: t, registry: prometheus.NewRegistry(), receiver: &receiver{users: make(chan string, 1)}}
	w.remote = httptest.NewServer(w.receiver)
	t.Cleanup(w.remote.Close)
	w.target = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(out, "# TYPE a gauge\na 1\nb 2\n")
	}))
	t.Cleanup(w.target.Close)
	o := Options{WALDirectory: filepath.Join(t.TempDir(), "wal"), Registerer: w.registry}
	adjust(&o)
	factory, err := NewFactory(o)
	require.NoError(t, err)
	t.Cleanup(factory.Close)
	w.factory = factory
	return w
}

// instance is a valid config; credentials go into the endpoint.
func (w *world) instance(credentials string) *config.Instance {
	return w.every("100ms", credentials)
}

// patient is an instance whose scrapes may take their time on a busy machine: one that takes too
// long would end its series with markers.
func (w *world) patient() *config.Instance { return w.every("2s", "") }

func (w *world) every(interval, credentials string) *config.Instance {
	w.t.Helper()
	text := fmt.Sprintf("scrape_configs:\n- job_name: j\n  scrape_interval: %s\n  scrape_timeout: %s\n  static_configs: [{targets: [%q]}]\nremote_write:\n- url: %s\n%s  queue_config: {batch_send_deadline: 50ms, max_backoff: 100ms}\n",
		interval, interval, w.target.Listener.Addr(), w.remote.URL, credentials)
	return w.parse(text)
}

func (w *world) parse(text string) *config.Instance {
	w.t.Helper()
	instance, err := config.ParseInstance("one", text, config.InstanceOptions{})
	require.NoError(w.t, err)
	return instance
}

func (w *world) open(c *config.Instance) *Pipeline {
	w.t.Helper()
	opened, err := w.factory.New(w.t.Context(), actors.PipelineSpec{
		Unit: messages.WholeConfig(c.Name), Config: c, Failed: func(err error) { w.failures.Store(&err) },
	})
	require.NoError(w.t, err)
	p, ok := opened.(*Pipeline)
	require.True(w.t, ok)
	w.t.Cleanup(func() { _ = p.Close(false) })
	return p
}

func (w *world) eventually(condition func() bool, message string) {
	w.t.Helper()
	require.Eventually(w.t, condition, patience, 10*time.Millisecond, message)
}

func TestNothingIsScrapedBeforeStartAndNothingAfterStop(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.patient())
	require.Len(t, p.Targets(nil), 1, "discovery is warm")
	require.Zero(t, p.log.Stats().SamplesAppended)
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return w.receiver.samples.Load() > 0 }, "samples arrive")

	stopScraping(t, p, messages.Moved)
	pending, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.Zero(t, pending)
	require.EqualValues(t, p.log.Stats().SamplesAppended, w.receiver.samples.Load(), "committed = received")
	require.Zero(t, w.receiver.stale.Load(), "a move writes no staleness markers")
	require.NoError(t, p.Close(true))
	require.NoDirExists(t, w.factory.directory("one"), "an empty log is removed")
}

func TestADeletedInstanceEndsItsSeries(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.patient())
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return w.receiver.samples.Load() > 0 }, "samples arrive")
	stopScraping(t, p, messages.Deleted)
	_, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, w.receiver.stale.Load(), "a, b and the five series of the scrape itself")
}

func TestAPasswordChangeLosesNothingThatWaited(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusUnauthorized)
	p := w.open(w.instance("  basic_auth: {username: old, password: x}\n"))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.Stats().SamplesAppended > 50 }, "samples are committed")

	w.receiver.status.Store(0)
	require.NoError(t, p.Reload(t.Context(), w.instance("  basic_auth: {username: new, password: y}\n")))
	stopScraping(t, p, messages.Moved)
	_, err := p.Drain(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, p.log.Stats().SamplesAppended, w.receiver.samples.Load())
}

func TestWhatAnEarlierProcessLeftIsSentBeforeStart(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := w.open(w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return p.log.Stats().SamplesAppended > 50 }, "samples are committed")
	stopScraping(t, p, messages.Shutdown)
	committed := p.log.Stats().SamplesAppended
	require.NoError(t, p.Close(false))

	w.receiver.status.Store(0)
	w.open(w.instance(""))
	w.eventually(func() bool { return uint64(w.receiver.samples.Load()) >= committed }, "what was left arrives")
}

func TestARefusedReloadLeavesTheConfigBeforeInForce(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.instance(""))
	require.NoError(t, p.Start(t.Context(), ""))
	unsupported := w.parse(fmt.Sprintf("scrape_configs: [{job_name: k}]\nremote_write: [{url: %q}]", w.remote.URL))
	unsupported.RemoteWrite[0].ProtobufMessage = "another" // which no upload can have
	require.ErrorContains(t, p.Reload(t.Context(), unsupported), "not supported")

	before := w.receiver.samples.Load()
	w.eventually(func() bool { return w.receiver.samples.Load() > before+20 }, "samples go on arriving")
	require.Equal(t, "j", p.Targets(nil)[0].Job)
}

func TestARefusedReloadLeavesNoCursorOfAnEndpointItWouldHaveAdded(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.instance(""))
	before := p.log.Cursors()[0].ID
	missing := filepath.Join(t.TempDir(), "missing")
	refused, err := config.ParseInstance("one", fmt.Sprintf(
		"scrape_configs: [{job_name: k, tls_config: {ca_file: %q}}]\nremote_write: [{url: \"http://127.0.0.1:1/elsewhere\"}]", missing),
		config.InstanceOptions{AllowFiles: true})
	require.NoError(t, err)
	require.ErrorContains(t, p.Reload(t.Context(), refused), missing)
	require.Len(t, p.log.Cursors(), 1)
	require.Equal(t, before, p.log.Cursors()[0].ID)
}

func TestARemovedEndpointHoldsNothingBack(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.instance(""))
	require.Len(t, p.log.Cursors(), 1)
	require.NoError(t, p.Reload(t.Context(), w.parse("scrape_configs: [{job_name: j}]")))
	require.Empty(t, p.log.Cursors())
}

func TestADirectoryInUseIsAnError(t *testing.T) {
	w := newWorld(t)
	c := w.instance("")
	w.open(c)
	_, err := w.factory.New(t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig("one"), Config: c, Failed: func(error) {}})
	require.ErrorContains(t, err, "in use")
}

func TestAPanicInTheDataPathIsReportedAndEndsNothingElse(t *testing.T) {
	w := newWorld(t)
	disk := &waltest.FS{}
	w.factory.options.FS = disk
	p := w.open(w.instance(""))
	neighbour := w.open(w.named("neighbour"))
	require.NoError(t, neighbour.Start(t.Context(), ""))
	disk.Hook(func(call waltest.Call) waltest.Fault {
		if call.Op == waltest.OpWrite && strings.HasPrefix(call.Name, w.factory.directory("one")) {
			panic("the disk driver has a bug")
		}
		return waltest.Fault{}
	})
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return w.failures.Load() != nil }, "the panic is reported")
	require.ErrorContains(t, *w.failures.Load(), "the disk driver has a bug")
	before := neighbour.log.Stats().SamplesAppended
	w.eventually(func() bool { return neighbour.log.Stats().SamplesAppended > before+20 }, "the neighbour goes on")
}

func TestMetricsShowTheLogAndVanishWithIt(t *testing.T) {
	w := newWorld(t)
	p := w.open(w.instance(""))
	appender := p.Appendable().AppenderV2(t.Context())
	_, err := appender.Append(0, labels.FromStrings("__name__", "x"), 0, 1, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, appender.Commit())
	require.Equal(t, 1, testutil.CollectAndCount(w.factory.logs, "agent_wal_samples_appended_total"))
	require.NoError(t, p.Close(false))
	require.Zero(t, testutil.CollectAndCount(w.factory.logs, "agent_wal_samples_appended_total"))
}

func TestOnlyOldLogsOfUnknownConfigsAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.factory.options.OrphanAge = time.Hour
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{"wanted", "orphan", "young"} {
		p := w.open(w.named(name))
		require.NoError(t, p.Close(false))
		if name != "young" {
			age(t, w.factory.directory(name), old)
		}
	}
	foreign := filepath.Join(w.factory.options.WALDirectory, "foreign")
	require.NoError(t, os.Mkdir(foreign, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "precious"), []byte("x"), 0o600))
	age(t, foreign, old)
	failing := func(context.Context) (map[string]bool, error) { return nil, context.DeadlineExceeded }
	require.ErrorIs(t, w.factory.removeOrphans(t.Context(), failing), context.DeadlineExceeded)
	require.DirExists(t, w.factory.directory("orphan"), "unknown changes nothing")

	known := func(context.Context) (map[string]bool, error) { return map[string]bool{"wanted": true}, nil }
	require.NoError(t, w.factory.removeOrphans(t.Context(), known))
	require.NoDirExists(t, w.factory.directory("orphan"))
	require.DirExists(t, w.factory.directory("wanted"))
	require.DirExists(t, w.factory.directory("young"))
	require.FileExists(t, filepath.Join(foreign, "precious"), "what is no log is not ours")
}

func (w *world) named(name string) *config.Instance {
	c := *w.instance("")
	c.Name = name
	return &c
}

// age makes everything in a directory look as if it was written at a time.
func age(t *testing.T, directory string, at time.Time) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	for _, entry := range entries {
		require.NoError(t, os.Chtimes(filepath.Join(directory, entry.Name()), at, at))
	}
	require.NoError(t, os.Chtimes(directory, at, at))
}

func stopScraping(t *testing.T, p *Pipeline, reason messages.StopReason) {
	t.Helper()
	_, err := p.StopScraping(t.Context(), reason)
	require.NoError(t, err)
}

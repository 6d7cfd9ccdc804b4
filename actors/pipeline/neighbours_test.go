package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

var (
	neighbours = flag.Int("neighbours", 0, "instances of TestHostileInstancesHarmNoNeighbour, of which a tenth is hostile") //nolint:forbidigo // a test's own
	strict     = flag.Bool("neighbours.strict", false, "no tick may be missed, on a machine that does nothing else")        //nolint:forbidigo // a test's own
	spell      = flag.Duration("neighbours.time", 16*time.Second, "for how long they are watched")                          //nolint:forbidigo // a test's own
)

// beat is the interval of the instances that mean well.
const beat = 5 * time.Second

// allowed are the limits of every instance, hostile or not. On two processors a tenth of a thousand
// may have no more than this.
var allowed = config.Limits{
	MinInterval: time.Second, Values: 100_000, StaticTargets: 1000, RegexInstructions: 100_000, TargetsPerJob: 1000,
	SamplesPerScrape: 10_000, BodySize: 32 << 20, Labels: 64, LabelNameLength: 256, LabelValueLength: 16 << 10, WALSize: 64 << 20,
	SamplesPerSecond: 500, Series: 5000, LabelBytes: 2 << 20, BodyBytesInFlight: 24 << 20, DiscoveryBytes: 1 << 20,
	DiscoveredBytes: 1 << 20, DiscoveredTargets: 2000,
	CPU: 0.005,
}

// memoryBudget is what the process may use, the targets and receivers of the test included.
const memoryBudget = 1 << 30

// hostile are the ways in which an instance can be: what it is configured to do, SERVER being the
// street's address.
var hostile = []struct{ name, config string }{
	{"answers that stall", jobs(9, "/stall", "1s")},
	{"hours of labels", jobs(1, "/labels", "1s")},
	{"new series each time", jobs(1, "/churn", "1s")},
	{"many targets without a pause", jobs(20, "/many", "1s")},
	{"long answers of a discovery", `[{job_name: j, http_sd_configs: [{url: "http://SERVER/discovery", refresh_interval: 1s}]}]`},
	{"an answer a byte at a time", jobs(20, "/drip", "1s")},
	{"writes to itself", jobs(1, "/many", "1s")},
	{"a receiver that is down", jobs(1, "/many", "1s")},
	{"relabelling that takes long", "[{job_name: j, metrics_path: /churn, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [SERVER]}], metric_relabel_configs: [" +
		"{source_labels: [n, n, n, n, n, n, n, n], regex: '(.*.{900}.*)|(.*[0-9].*[-].*.{900})', action: drop}]}]"},
}

func jobs(n int, path, interval string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\n- {job_name: j%d, metrics_path: %s, scrape_interval: %s, scrape_timeout: %s, static_configs: [{targets: [SERVER]}]}",
			i, path, interval, interval)
	}
	return b.String()
}

// street is where all targets and receivers are.
type street struct {
	server *httptest.Server
	bodies map[string][]byte
	stop   chan struct{}
	serial atomic.Int64

	mu        sync.Mutex
	pipelines map[string]*Pipeline
	ups       map[string][]prompb.Sample // by instance
	requests  map[string][]time.Time     // to good targets
}

func newStreet(t *testing.T) *street {
	s := &street{stop: make(chan struct{}), pipelines: map[string]*Pipeline{}, ups: map[string][]prompb.Sample{}, requests: map[string][]time.Time{}}
	var long strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&long, "long{n=\"%d\",x=\"%s\"} 1\n", i, strings.Repeat("x", 8<<10))
	}
	var plain strings.Builder
	for i := range 500 {
		fmt.Fprintf(&plain, "many{n=\"%d\"} %d\n", i, i)
	}
	s.bodies = map[string][]byte{
		"/stall":     zipped(t, "# "+strings.Repeat("#", 16<<20), false),
		"/labels":    zipped(t, long.String(), true),
		"/many":      []byte(plain.String()),
		"/discovery": []byte(`[{"targets": [` + strings.TrimSuffix(strings.Repeat(`"127.0.0.1:1",`, 1<<20), ",") + `]}]`),
	}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	t.Cleanup(func() { close(s.stop) })
	return s
}

func zipped(t *testing.T, text string, whole bool) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	require.NoError(t, err)
	require.NoError(t, z.Flush())
	if whole {
		require.NoError(t, z.Close())
	}
	return b.Bytes()
}

func (s *street) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind {
	case "good":
		s.mu.Lock()
		s.requests[name] = append(s.requests[name], time.Now())
		s.mu.Unlock()
		for i := range 20 {
			fmt.Fprintf(w, "good{n=\"%d\"} %d\n", i, i)
		}
	case "churn":
		n := s.serial.Add(1)
		for i := range 400 {
			fmt.Fprintf(w, "churn{n=\"%d-%d\"} 1\n", n, i)
		}
	case "stall", "labels":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(s.bodies[r.URL.Path])
		if kind == "stall" {
			s.hang(w, r, time.Hour)
		}
	case "drip":
		for s.hang(w, r, 50*time.Millisecond) {
			_, _ = io.WriteString(w, "a")
		}
	case "discovery":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.bodies[r.URL.Path])
	case "receiver":
		s.receive(r.Body, name)
	case "self":
		s.push(w, r.Body, name)
	case "down":
		w.WriteHeader(http.StatusInternalServerError)
	default:
		_, _ = w.Write(s.bodies[r.URL.Path])
	}
}

// hang waits, and reports whether the client is still there.
func (s *street) hang(w http.ResponseWriter, r *http.Request, d time.Duration) bool {
	w.(http.Flusher).Flush()
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
	case <-s.stop:
	}
	return false
}

func decodeWrite(body io.Reader) (decoded prompb.WriteRequest) {
	compressed, _ := io.ReadAll(body)
	if raw, err := snappy.Decode(nil, compressed); err == nil {
		_ = decoded.Unmarshal(raw)
	}
	return decoded
}

// receive keeps what a good instance says of its target.
func (s *street) receive(body io.Reader, name string) {
	decoded := decodeWrite(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, series := range decoded.Timeseries {
		for _, l := range series.Labels {
			if l.Name == "__name__" && l.Value == "up" {
				s.ups[name] = append(s.ups[name], series.Samples...)
			}
		}
	}
}

// push writes what a hostile instance sends into that instance, under other names, so that it grows.
func (s *street) push(w http.ResponseWriter, body io.Reader, name string) {
	decoded := decodeWrite(body)
	s.mu.Lock()
	p := s.pipelines[name]
	s.mu.Unlock()
	if p == nil {
		return
	}
	n := strconv.FormatInt(s.serial.Add(1), 10)
	app := p.Appendable().AppenderV2(context.Background())
	for _, series := range decoded.Timeseries {
		var b labels.ScratchBuilder
		ls := labels.NewBuilder(series.ToLabels(&b, nil)).Set("push", n).Labels()
		for _, sample := range series.Samples {
			if _, err := app.Append(0, ls, 0, sample.Timestamp, sample.Value, nil, nil, storage.AOptions{}); err != nil {
				_ = app.Rollback()
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
		}
	}
	_ = app.Commit()
}

// open starts an instance.
func (s *street) open(t *testing.T, f *Factory, name, scrapes, receiver string) *Pipeline {
	text := "scrape_configs: " + strings.ReplaceAll(scrapes, "SERVER", s.server.Listener.Addr().String()) +
		"\nremote_write: [{url: \"" + s.server.URL + receiver + "\", queue_config: {batch_send_deadline: 1s}}]\n"
	c, err := config.ParseInstance(name, text, config.InstanceOptions{Limits: allowed})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	opened, err := f.New(t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig(name), Config: c, Failed: func(err error) { t.Errorf("%s: %v", name, err) }})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	p := opened.(*Pipeline)
	s.mu.Lock()
	s.pipelines[name] = p
	s.mu.Unlock()
	if err := p.Start(t.Context(), ""); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return p
}

// fill opens n instances, several at a time.
func (s *street) fill(t *testing.T, f *Factory, n int, open func(i int)) {
	var group sync.WaitGroup
	work := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range work {
				open(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	group.Wait()
}

// watch waits for a spell and returns how late the good targets' requests were against their ticks,
// sorted.
func (s *street) watch(good int) (late []time.Duration, missed int) {
	s.mu.Lock()
	clear(s.requests)
	clear(s.ups)
	s.mu.Unlock()
	<-time.After(*spell)
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := int(*spell/beat) - 1
	for i := range good {
		at := s.requests[strconv.Itoa(i)]
		if missed += max(0, wanted-len(at)); len(at) == 0 {
			continue
		}
		for j := 1; j < len(at); j++ {
			gap := at[j].Sub(at[j-1])
			late = append(late, (gap - beat).Abs())
			missed += int((gap + beat/2) / beat)
			missed--
		}
	}
	slices.Sort(late)
	return late, missed
}

// Hostile instances do, all together, what the limits are for. The others must not notice.
func TestHostileInstancesHarmNoNeighbour(t *testing.T) {
	if *neighbours == 0 {
		t.Skip("it needs a process and most of a minute to itself: go test -run TestHostileInstances ./actors/pipeline -args -neighbours=100")
	}
	// As the agent does in a container that has memoryBudget.
	limit := int64(memoryBudget) * 9 / 10
	before, percent := debug.SetMemoryLimit(limit), debug.SetGCPercent(50)
	defer func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	}()
	s := newStreet(t)
	f, err := NewFactory(Options{WALDirectory: filepath.Join(t.TempDir(), "wal"), MemoryLimit: limit, Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	defer f.Close()
	bad := *neighbours / 10
	good := *neighbours - bad
	defer func() {
		s.fill(t, f, *neighbours, func(i int) {
			s.mu.Lock()
			p := s.pipelines[fmt.Sprint("bad-", i-good)]
			if i < good {
				p = s.pipelines[fmt.Sprint("good-", i)]
			}
			s.mu.Unlock()
			if p != nil {
				_ = p.Close(false)
			}
		})
	}()
	s.fill(t, f, good, func(i int) {
		job := fmt.Sprintf("[{job_name: j, metrics_path: /good/%d, scrape_interval: %s, scrape_timeout: %s, static_configs: [{targets: [SERVER]}]}]", i, beat, beat)
		s.open(t, f, fmt.Sprint("good-", i), job, fmt.Sprint("/receiver/good-", i))
	})
	<-time.After(beat) // each has been scraped once
	calm, missed := s.watch(good)
	if *strict {
		require.Zero(t, missed, "before the hostile ones are there")
	}

	s.fill(t, f, bad, func(i int) {
		name, kind := fmt.Sprint("bad-", i), hostile[i%len(hostile)]
		receiver := "/receiver/bad"
		switch kind.name {
		case "writes to itself":
			receiver = "/self/" + name
		case "a receiver that is down":
			receiver = "/down"
		}
		s.open(t, f, name, kind.config, receiver)
	})
	troubled, missed := s.watch(good)
	peak := peakMemory(t)
	t.Logf("%d instances, %d hostile: lateness of the others, median %s, 99th %s, most %s; before median %s, 99th %s, most %s; peak of memory %d MiB",
		*neighbours, bad, lateness(troubled, 0.5), lateness(troubled, 0.99), lateness(troubled, 1), lateness(calm, 0.5), lateness(calm, 0.99), lateness(calm, 1), peak>>20)
	// A machine that is busy with other tests misses ticks by itself; what may not happen is that
	// an instance is left out.
	ticks := good * int(*spell/beat)
	if *strict {
		require.Zero(t, missed, "ticks of good instances")
	}
	require.Less(t, missed, ticks/2, "of %d ticks of good instances", ticks)
	require.Less(t, peak, int64(memoryBudget))
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, ups := range s.ups {
		for _, up := range ups {
			if *strict && strings.HasPrefix(name, "good-") {
				require.Equal(t, 1.0, up.Value, "%s", name)
			}
		}
	}
	for i := range min(bad, len(hostile)) {
		t.Logf("%s: %v", hostile[i].name, s.pipelines[fmt.Sprint("bad-", i)].Refusals())
	}
}

func lateness(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
}

// peakMemory is the most that the process has had, the test's own part included. 0: it is not known
// here.
func peakMemory(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			require.NoError(t, err)
			return kb << 10
		}
	}
	return 0
}

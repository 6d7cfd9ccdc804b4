package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// processInstances write to one receiver, so that they share requests.
const processInstances = 4

// sufferer is a process of instances that are written to and reloaded until the process is killed,
// or told to send all and end.
type sufferer struct {
	t       *testing.T
	url     string
	rnd     *rand.Rand
	version int
	last    int64
}

// TestEnduranceProcess is no test: it is what TestKillsOfRealProcesses… starts and kills.
func TestEnduranceProcess(t *testing.T) {
	directory := os.Getenv("ENDURANCE_DIRECTORY") //nolint:forbidigo // how the test speaks to its process
	if directory == "" {
		t.Skip("started by another test")
	}
	s := &sufferer{t: t, url: os.Getenv("ENDURANCE_URL"), rnd: rand.New(rand.NewPCG(uint64(os.Getpid()), 1))} //nolint:forbidigo // as above
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM) //nolint:forbidigo // a process of its own
	registry := prometheus.NewRegistry()
	factory, err := NewFactory(Options{WALDirectory: directory, Registerer: registry})
	require.NoError(t, err)
	pipelines := make([]*Pipeline, processInstances)
	for i := range pipelines {
		c := s.config(i)
		spec := actors.PipelineSpec{Unit: messages.WholeConfig(c.Name), Config: c, Failed: func(err error) { t.Error(err) }}
		opened, err := factory.New(t.Context(), spec)
		require.NoError(t, err)
		pipelines[i], _ = opened.(*Pipeline)
	}
	fmt.Println("ready")
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		select {
		case <-told:
			s.end(factory, registry, pipelines)
			return
		default:
		}
		i := s.rnd.IntN(processInstances)
		s.scrape(pipelines[i], i)
		if s.rnd.IntN(40) == 0 {
			require.NoError(t, pipelines[i].Reload(t.Context(), s.config(i)))
		}
		if s.rnd.IntN(10) == 0 {
			receivertest.RequireBalance(t, registry)
		}
	}
}

func (s *sufferer) config(i int) *config.Instance {
	s.version++
	text := fmt.Sprintf(`
scrape_configs: [{job_name: j}]
remote_write:
- url: %s
  queue_config: {batch_send_deadline: 5ms, min_backoff: 1ms, max_backoff: 3ms, capacity: %d, max_samples_per_send: %d, max_shards: 4}
`, s.url, 1000+s.version, 100+s.rnd.IntN(900))
	c, err := config.ParseInstance(fmt.Sprint("instance-", i), text, config.InstanceOptions{})
	require.NoError(s.t, err)
	return c
}

func (s *sufferer) scrape(p *Pipeline, i int) {
	s.last = max(s.last+1, time.Now().UnixMilli())
	a := p.Appendable().AppenderV2(s.t.Context())
	for n := range enduranceSeries {
		ls := labels.FromStrings("__name__", "x", "n", fmt.Sprint(n), "instance_number", fmt.Sprint(i))
		_, err := a.Append(0, ls, 0, s.last, float64(s.last), nil, nil, storage.AOptions{})
		require.NoError(s.t, err)
	}
	require.NoError(s.t, a.Commit())
}

func (s *sufferer) end(factory *Factory, registry *prometheus.Registry, pipelines []*Pipeline) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, p := range pipelines {
		pending, err := p.Drain(ctx)
		require.NoError(s.t, err)
		require.Zero(s.t, pending)
	}
	receivertest.RequireBalance(s.t, registry)
	for _, p := range pipelines {
		require.NoError(s.t, p.Close(false))
	}
	factory.Close()
}

// flaky is a receiver that takes its time, fails at random unless it is well, refuses what is not
// newer than what it has, and has a poison series.
func flaky(t *testing.T, well *atomic.Bool) (*receivertest.Receiver, string) {
	var faults atomic.Uint64
	r := &receivertest.Receiver{
		Poison: func(ls labels.Labels) bool {
			return ls.Get("n") == fmt.Sprint(endurancePoison) && ls.Get("instance_number") == "1"
		},
		Before: func(*receivertest.Request) int {
			n := faults.Add(1)
			if well.Load() {
				return 0
			}
			return []int{0, 0, 0, 503, 429, 0, 500, 0, 0, 408, 0, 0, 0}[n*7919%13]
		},
		After: func(*receivertest.Request) int {
			<-time.After(time.Duration(rand.IntN(4)) * time.Millisecond)
			n := faults.Add(1)
			if well.Load() {
				return 0
			}
			switch n * 104729 % 11 {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				return 504
			}
			return 0
		},
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func TestKillsOfRealProcessesLoseNoGoodSample(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	if text := os.Getenv("ENDURANCE_ROUNDS"); text != "" { //nolint:forbidigo // a longer run is asked for
		_, err := fmt.Sscan(text, &rounds)
		require.NoError(t, err)
	}
	var well atomic.Bool
	r, url := flaky(t, &well)
	directory := filepath.Join(t.TempDir(), "wal")
	for range rounds {
		well.Store(rand.IntN(2) == 0)
		p, output := startSufferer(t, directory, url)
		<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
		require.NoError(t, p.Process.Kill())
		require.Error(t, p.Wait())
		require.NotContains(t, output.String(), "FAIL")
	}
	p, output := startSufferer(t, directory, url)
	r.Set(func(r *receivertest.Receiver) { r.Before, r.After = nil, nil })
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	err := p.Wait()
	require.NoError(t, err, output.String())

	scrapes := committedScrapes(t, directory)
	stored := r.Stored()
	require.Len(t, stored, processInstances*enduranceSeries-1, "all but the poison series")
	for name, s := range stored {
		require.Equal(t, scrapes[s.Labels.Get("instance_number")], len(s.Samples), "series %s", name) //nolint:testifylint // Len prints all
	}
	t.Logf("%d rounds, %v scrapes, %d requests, %d refused", rounds, scrapes, r.Requests(), r.Refused())
}

func startSufferer(t *testing.T, directory, url string) (*exec.Cmd, *said) {
	p, output := exec.Command(os.Args[0], "-test.run=^TestEnduranceProcess$"), &said{}
	p.Env = append(p.Environ(), "ENDURANCE_DIRECTORY="+directory, "ENDURANCE_URL="+url)
	p.Stdout, p.Stderr = output, output
	require.NoError(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill() })
	require.Eventually(t, func() bool { return output.String() != "" }, 30*time.Second, time.Millisecond, "the process says nothing")
	return p, output
}

// said is the output of a process.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// committedScrapes is how many scrapes each instance's log was ever given.
func committedScrapes(t *testing.T, directory string) map[string]int {
	scrapes := map[string]int{}
	syncer := wal.NewSyncer(0)
	defer syncer.Close()
	for i := range processInstances {
		log, err := wal.Open(filepath.Join(directory, config.DirectoryName(fmt.Sprint("instance-", i))), wal.Options{Syncer: syncer})
		require.NoError(t, err)
		require.Zero(t, log.End().Seq%enduranceSeries)
		scrapes[fmt.Sprint(i)] = int(log.End().Seq / enduranceSeries)
		require.NoError(t, log.Close())
	}
	return scrapes
}

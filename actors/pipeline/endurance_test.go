package pipeline

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// endurance is a pipeline that is killed and reloaded again and again, before a receiver that fails
// at random and refuses what is not newer than what it has.
type endurance struct {
	t        *testing.T
	rnd      *rand.Rand
	receiver *receivertest.Receiver
	url      string

	// life is the number of the process that lives; requests of others don't arrive, and their
	// writes fail.
	life     atomic.Int64
	dir      string
	registry *prometheus.Registry
	factory  *Factory
	pipeline *Pipeline
	version  int
	scrapes  int64
	// messages are the protocols of the endpoint; each config has one of them.
	messages []string
}

const (
	enduranceSeries = 40
	endurancePoison = 7
)

func newEndurance(t *testing.T, seed uint64, messages ...string) *endurance {
	e := &endurance{t: t, messages: messages, rnd: rand.New(rand.NewPCG(seed, 8)), dir: filepath.Join(t.TempDir(), "wal")}
	var faults atomic.Uint64
	e.receiver = &receivertest.Receiver{
		Poison: func(ls labels.Labels) bool { return ls.Get("n") == fmt.Sprint(endurancePoison) },
		Before: func(r *receivertest.Request) int {
			if r.Header.Get("X-Process") != fmt.Sprint(e.life.Load()) {
				panic(http.ErrAbortHandler)
			}
			return []int{0, 0, 0, 503, 429, 0, 500, 0, 0, 408}[faults.Add(1)*7919%10]
		},
		After: func(*receivertest.Request) int {
			switch faults.Add(1) * 104729 % 9 {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				return 504
			}
			return 0
		},
	}
	server := httptest.NewServer(e.receiver)
	t.Cleanup(server.Close)
	e.url = server.URL
	e.begin()
	return e
}

func (e *endurance) config() *config.Instance {
	e.version++
	text := fmt.Sprintf(`
scrape_configs: [{job_name: j}]
remote_write:
- url: %s
  protobuf_message: %s
  headers: {X-Process: "%d", X-Version: "%d"}
  queue_config: {batch_send_deadline: 5ms, min_backoff: 1ms, max_backoff: 3ms, max_samples_per_send: %d, min_shards: %d, max_shards: 8}
`, e.url, e.messages[e.rnd.IntN(len(e.messages))], e.life.Load(), e.version, 20+e.rnd.IntN(100), 1+e.rnd.IntN(4))
	c, err := config.ParseInstance("one", text, config.InstanceOptions{})
	require.NoError(e.t, err)
	return c
}

// begin starts a process.
func (e *endurance) begin() {
	me := e.life.Load()
	fs := new(waltest.FS)
	fs.Hook(func(waltest.Call) waltest.Fault {
		if e.life.Load() != me {
			return waltest.Fault{Err: syscall.EIO}
		}
		return waltest.Fault{}
	})
	e.registry = prometheus.NewRegistry()
	var err error
	e.factory, err = NewFactory(Options{WALDirectory: e.dir, Registerer: e.registry, FS: fs})
	require.NoError(e.t, err)
	c := e.config()
	opened, err := e.factory.New(e.t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig(c.Name), Config: c, Failed: func(err error) { e.t.Error(err) }})
	require.NoError(e.t, err)
	e.pipeline = opened.(*Pipeline)
}

// kill ends the process at this instant: nothing of it reaches the disk or the receiver any more.
func (e *endurance) kill() {
	e.life.Add(1)
	dead, deadFactory := e.pipeline, e.factory
	next := filepath.Join(e.t.TempDir(), "wal")
	require.NoError(e.t, os.CopyFS(next, os.DirFS(e.dir)))
	e.dir = next
	_ = dead.Close(false)
	deadFactory.Close()
	e.begin()
}

func (e *endurance) scrape() {
	e.scrapes++
	a := e.pipeline.Appendable().AppenderV2(e.t.Context())
	for n := range enduranceSeries {
		_, err := a.Append(0, labels.FromStrings("__name__", "x", "n", fmt.Sprint(n)), 0, e.scrapes, float64(e.scrapes), nil, nil, storage.AOptions{})
		require.NoError(e.t, err)
	}
	require.NoError(e.t, a.Commit())
}

func TestKillsAndReloadsAtAnyMomentLoseNoGoodSample(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	if text := os.Getenv("ENDURANCE_SEED"); text != "" { //nolint:forbidigo // a test replays a seed
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("ENDURANCE_SEED=%d", seed)
	const v1, v2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
	for name, messages := range map[string][]string{"1.0": {v1}, "2.0": {v2}, "either": {v1, v2}} {
		t.Run(name, func(t *testing.T) { newEndurance(t, seed, messages...).run(rounds) })
	}
	t.Run("2.0 to a receiver that writes parts", func(t *testing.T) {
		e := newEndurance(t, seed, v2)
		e.receiver.Set(func(r *receivertest.Receiver) { r.Partial = true })
		e.run(rounds)
	})
}

func (e *endurance) run(rounds int) {
	t := e.t
	for range rounds {
		for range e.rnd.IntN(12) {
			e.scrape()
		}
		<-time.After(time.Duration(e.rnd.IntN(20)) * time.Millisecond)
		receivertest.RequireBalance(t, e.registry)
		if e.rnd.IntN(2) == 0 {
			e.kill()
		} else {
			require.NoError(t, e.pipeline.Reload(t.Context(), e.config()))
		}
		receivertest.RequireBalance(t, e.registry)
	}
	e.receiver.Set(func(r *receivertest.Receiver) { r.Before, r.After = nil, nil })
	pending, err := e.pipeline.Drain(t.Context())
	require.NoError(t, err)
	require.Zero(t, pending)
	receivertest.RequireBalance(t, e.registry)
	require.NoError(t, e.pipeline.Close(false))
	e.factory.Close()

	stored := e.receiver.Stored()
	require.Len(t, stored, enduranceSeries-1, "all but the poison series")
	for name, s := range stored {
		require.Len(t, s.Samples, int(e.scrapes), "series %s", name)
	}
	t.Logf("%d scrapes, %d requests, %d refused", e.scrapes, e.receiver.Requests(), e.receiver.Refused())
}

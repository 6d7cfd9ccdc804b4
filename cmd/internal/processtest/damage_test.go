package processtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/etcdstore"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// damages are what can happen to a segment. A segment begins with the definitions of its series,
// and a record that uses a definition is worth nothing without it; so most cases leave the first
// half alone.
var damages = []struct {
	name string
	do   func(content []byte) []byte
	// atMost is the part of all samples that may be lost.
	atMost float64
	// uncounted: what is cut off the end of the log looks as if it had never been written.
	uncounted bool
}{
	{"a flipped byte", func(c []byte) []byte { c[len(c)*7/8] ^= 0x40; return c }, 0.1, false},
	{"a hole", func(c []byte) []byte { return append(c[:len(c)*3/4:len(c)*3/4], c[len(c)*3/4+200:]...) }, 0.2, false},
	{"a cut", func(c []byte) []byte { return c[:len(c)*7/8] }, 0.5, true},
	{"flipped definitions", func(c []byte) []byte { c[1000] ^= 0x40; return c }, 1, false},
	{"a flipped header", func(c []byte) []byte { c[41] ^= 0x40; return c }, 1, false},
}

func TestADamagedLogCostsOnlyWhatIsDamaged(t *testing.T) {
	t.Cleanup(closeIdle)
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			target, receiver := &toy.Target{Series: 50}, &toy.Receiver{}
			receiver.Fail(http.StatusServiceUnavailable)
			a := startAgent(t, directory)
			a.put("one", toyConfig("100ms", serve(t, failsOnce(target)), serve(t, receiver)))
			eventually(t, func() bool { return target.Scrapes() >= 30 }, "no scrapes")
			a.kill()
			written := committedSamples(t, filepath.Join(directory, "wal"))
			segment := soleSegment(t, directory)
			content, err := os.ReadFile(segment)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(segment, damage.do(content), 0o600))

			receiver.Fail(0)
			before := target.Scrapes()
			b := startAgent(t, directory)
			eventually(t, func() bool {
				samples := scrapeCounter(t, receiver).Samples
				return len(samples) > 0 && uint64(samples[len(samples)-1].V) > before
			}, "nothing new arrives")
			missing := missingOf(receiver, written)
			require.LessOrEqual(t, float64(missing), damage.atMost*float64(written.count()), "the rest arrives")
			if !damage.uncounted {
				require.EqualValues(t, missing, b.metric("wal_samples_damaged_total"), "the loss is counted")
			}
			require.Zero(t, receiver.Totals().OutOfOrder, "order holds per series")
			b.stop()
			require.NoError(t, b.err)
		})
	}
}

// failsOnce is a target that fails to answer its tenth scrape, so that logs hold markers of staleness
// too.
func failsOnce(target http.Handler) http.Handler {
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 10 {
			http.Error(w, "not this time", http.StatusInternalServerError)
			return
		}
		target.ServeHTTP(w, r)
	})
}

// soleSegment is the only segment of the only log.
func soleSegment(t *testing.T, directory string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(directory, "wal", "*", "*.seg"))
	require.NoError(t, err)
	require.Len(t, segments, 1)
	return segments[0]
}

func (c committed) count() (samples int) {
	for _, of := range c {
		samples += len(of)
	}
	return samples
}

// instanceStatus is what a test wants to know of an instance.
type instanceStatus struct {
	Name, Phase string
	LastError   string `json:"last_error"`
}

func (a *agent) instanceStatuses() map[string]instanceStatus {
	var answer struct {
		Data struct{ Instances []instanceStatus }
	}
	_, body := a.get("/agent/api/v1/metrics/instances/status")
	_ = json.Unmarshal([]byte(body), &answer)
	found := map[string]instanceStatus{}
	for _, status := range answer.Data.Instances {
		found[status.Name] = status
	}
	return found
}

func TestGarbageInTheStoreIsShownAndTheOthersRun(t *testing.T) {
	t.Cleanup(closeIdle)
	directory := t.TempDir()
	target, receiver := &toy.Target{}, &toy.Receiver{}
	putIntoStore(t, filepath.Join(directory, "wal-store"), map[string][]byte{
		"configurations/binary":   {0xff, 0x00, 0x1f, 0x8b, 0x13},
		"configurations/cut":      gzipped(t, "scrape_configs: []\n")[:20],
		"configurations/not-yaml": gzipped(t, "\x00\x01{{{"),
		"configurations/empty":    {},
		"configurations/good":     gzipped(t, toyConfig("100ms", serve(t, target), serve(t, receiver))),
		"configurations/a/../b":   gzipped(t, "scrape_configs: []\n"),
	})
	a := launchAgent(t, directory)
	eventually(t, func() bool { return target.Scrapes() >= 3 }, "the good config doesn't run")
	requireNothingLost(t, target, receiver)
	for _, name := range []string{"binary", "cut", "not-yaml", "empty", "a/../b"} {
		eventually(t, func() bool { return a.instanceStatuses()[name].LastError != "" }, "the status of %q tells no reason", name)
	}
	require.Equal(t, "running", a.instanceStatuses()["good"].Phase)
	require.Empty(t, a.instanceStatuses()["good"].LastError)
	a.awaitReady()

	a.put("binary", toyConfig("100ms", serve(t, &toy.Target{}), serve(t, &toy.Receiver{})))
	eventually(t, func() bool { return a.instanceStatuses()["binary"].Phase == "running" }, "a config that was repaired doesn't run")
	code, body := a.do(http.MethodDelete, "/agent/api/v1/config/cut", "")
	require.Equal(t, http.StatusOK, code, body)
	a.stop()
	require.NoError(t, a.err)
}

// putIntoStore writes into an agent's embedded store while the agent is not running.
func putIntoStore(t *testing.T, directory string, values map[string][]byte) {
	t.Helper()
	store, err := etcdstore.StartEmbedded(t.Context(), etcdstore.EmbeddedConfig{Dir: directory})
	require.NoError(t, err)
	for key, value := range values {
		_, err := store.Put(t.Context(), cluster.PutRequest{Key: key, Value: value})
		require.NoError(t, err)
	}
	require.NoError(t, store.Close())
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return packed.Bytes()
}

package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/wal/waltest"
)

// put commits n batches of one sample for each of ten series.
func put(t *testing.T, p *Pipeline, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		a := p.Appendable().AppenderV2(t.Context())
		for s := range 10 {
			ls := labels.FromStrings("__name__", "x", "s", fmt.Sprint(s))
			_, err := a.Append(0, ls, 0, int64(i+1), float64(i), nil, nil, storage.AOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, a.Commit())
	}
}

// sendingTo is a config that scrapes nothing and sends to URLs.
func (w *world) sendingTo(urls ...string) *config.Instance {
	text := "scrape_configs: [{job_name: j}]\nremote_write:\n"
	for _, url := range urls {
		text += fmt.Sprintf("- url: %s\n  queue_config: {batch_send_deadline: 20ms, min_backoff: 10ms, max_backoff: 20ms}\n", url)
	}
	return w.parse(text)
}

func drained(t *testing.T, p *Pipeline) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pending, err := p.Drain(ctx)
	require.NoError(t, err)
	require.Zero(t, pending)
}

func TestABadSectorCostsWhatIsInItAndStopsNoEndpoint(t *testing.T) {
	w := newWorld(t)
	disk := &waltest.FS{}
	w.factory.options.FS = disk
	w.receiver.status.Store(http.StatusServiceUnavailable)
	for process := range 2 { // each has a segment of its own
		p := w.open(w.sendingTo(w.remote.URL))
		put(t, p, 100*process, 20)
		require.NoError(t, p.Close(false))
	}
	segments, err := filepath.Glob(filepath.Join(w.factory.directory("one"), "*.seg"))
	require.NoError(t, err)
	require.Len(t, segments, 2)
	var reads atomic.Int64
	disk.Hook(func(c waltest.Call) waltest.Fault {
		if c.Op == waltest.OpRead && c.Name == segments[0] {
			reads.Add(1)
			return waltest.Fault{Err: syscall.EIO}
		}
		return waltest.Fault{}
	})
	w.receiver.status.Store(0)
	p := w.open(w.sendingTo(w.remote.URL))
	drained(t, p)
	require.EqualValues(t, 200, w.receiver.samples.Load(), "all of the segment that can be read")
	require.EqualValues(t, 200, p.log.Stats().SamplesDamaged)
	require.Less(t, reads.Load(), int64(20))
	require.NoError(t, p.Close(true))
}

func TestAStartThatCanNotReadTheLogFailsAndTheNextLosesNothing(t *testing.T) {
	for _, suffix := range []string{".seg", ".cursor"} {
		w := newWorld(t)
		disk := &waltest.FS{}
		w.factory.options.FS = disk
		w.receiver.status.Store(http.StatusServiceUnavailable)
		p := w.open(w.sendingTo(w.remote.URL))
		put(t, p, 0, 20)
		require.NoError(t, p.Close(false))
		w.receiver.status.Store(0)
		disk.Hook(func(c waltest.Call) waltest.Fault {
			if c.Op == waltest.OpOpen && strings.HasSuffix(c.Name, suffix) {
				return waltest.Fault{Err: syscall.EMFILE}
			}
			return waltest.Fault{}
		})
		_, err := w.factory.New(t.Context(), actors.PipelineSpec{
			Unit: messages.WholeConfig("one"), Config: w.sendingTo(w.remote.URL), Failed: func(error) {},
		})
		require.ErrorIs(t, err, syscall.EMFILE)
		disk.Hook(nil)
		p = w.open(w.sendingTo(w.remote.URL))
		put(t, p, 100, 1)
		drained(t, p)
		require.EqualValues(t, 210, w.receiver.samples.Load())
		require.NoError(t, p.Close(true))
	}
}

func TestAStartFromAnOldConfigForgetsNoPlaceOfANewerEndpoint(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	older, newer := w.sendingTo(w.remote.URL+"/a"), w.sendingTo(w.remote.URL+"/a", w.remote.URL+"/b")
	p := w.open(newer)
	put(t, p, 0, 20)
	require.NoError(t, p.Close(false))
	p = w.open(older) // as the node remembers it while the store is away
	require.NoError(t, p.tidy(time.Now()))
	require.NoError(t, p.Reload(t.Context(), older))
	require.NoError(t, p.Close(false))
	w.receiver.status.Store(0)
	p = w.open(newer)
	drained(t, p)
	require.EqualValues(t, 400, w.receiver.samples.Load())
	require.NoError(t, p.Close(true))
}

func TestADamagedCursorOfARemovedEndpointDoesNotHoldTheLogBackForEver(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := w.open(w.sendingTo(w.remote.URL))
	put(t, p, 0, 20)
	require.NoError(t, p.Close(false))
	damaged, err := filepath.Glob(filepath.Join(w.factory.directory("one"), "*.cursor"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(damaged[0], []byte("damaged"), 0o600))
	w.receiver.status.Store(0)
	p = w.open(w.sendingTo(w.remote.URL + "/other"))
	put(t, p, 100, 1)
	drained(t, p)
	require.NoError(t, p.tidy(time.Now()))
	require.Len(t, p.log.Cursors(), 2, "its endpoint may come back")
	require.NoError(t, p.tidy(time.Now().Add(time.Hour)))
	require.Len(t, p.log.Cursors(), 1)
	require.NoError(t, p.Close(false))
	require.Empty(t, w.factory.Leftovers([]messages.Unit{messages.WholeConfig("one")}, nil))
}

func TestTheProbeOfAKilledStartHidesNoLogFromAdoption(t *testing.T) {
	w := newWorld(t)
	w.receiver.status.Store(http.StatusServiceUnavailable)
	p := w.open(w.sendingTo(w.remote.URL))
	put(t, p, 0, 20)
	require.NoError(t, p.Close(false))
	require.NoError(t, os.WriteFile(filepath.Join(w.factory.directory("one"), ".writable"), nil, 0o600))
	one := []messages.Unit{messages.WholeConfig("one")}
	require.Equal(t, one, w.factory.Leftovers(one, nil))
}

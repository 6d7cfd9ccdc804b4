package pipeline

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// pushAt commits a sample of each of some series, of which a few are new each time.
func pushAt(t *testing.T, p *Pipeline, at time.Time, scrape, series int) (samples int) {
	t.Helper()
	a := p.Appendable().AppenderV2(t.Context())
	for n := range series {
		name := fmt.Sprint(n)
		if n < 5 {
			name = fmt.Sprint(n, "-", scrape/20)
		}
		ls := labels.FromStrings("__name__", "x", "n", name)
		_, err := a.Append(0, ls, 0, at.UnixMilli(), float64(scrape), nil, nil, storage.AOptions{})
		require.NoError(t, err)
		samples++
	}
	require.NoError(t, a.Commit())
	return samples
}

func TestRecentFirstLosesNothingOfARealLog(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w, rnd := newWorld(t), rand.New(rand.NewPCG(seed, 9))
			var down, recentCame, outOfOrder atomic.Bool
			old := time.Now().Add(-time.Hour)
			// These are the times of the first scrape, and of the one that follows the twenty of the backlog.
			oldest, newest := old.Add(time.Second).UnixMilli(), old.Add(21*time.Second).UnixMilli()
			r := &receivertest.Receiver{OutOfOrder: true}
			r.After = func(req *receivertest.Request) int {
				last := req.Series[len(req.Series)-1].Samples
				recentCame.Store(recentCame.Load() || last[len(last)-1].T >= newest)
				return 0
			}
			r.Before = func(req *receivertest.Request) int {
				// The oldest samples are refused until recent ones came. Otherwise all of the backlog may be sent
				// within the time for which recent samples wait for a full request.
				if down.Load() || !recentCame.Load() && req.Series[0].Samples[0].T == oldest {
					return http.StatusServiceUnavailable
				}
				stored := r.Stored()
				for _, s := range req.Series {
					old, at := stored[s.Labels.String()].Samples, s.Samples[0].T
					known := slices.ContainsFunc(old, func(x receivertest.Sample) bool { return x.T == at })
					if len(old) > 0 && at < old[len(old)-1].T && !known {
						outOfOrder.Store(true)
					}
				}
				return 0
			}
			server := httptest.NewServer(r)
			defer server.Close()
			text := func(version int) string {
				return fmt.Sprintf(`scrape_configs: [{job_name: j}]
remote_write:
- url: %s
  recent_first: true
  headers: {X-Version: "%d"}
  queue_config:
    {max_samples_per_send: 100, max_shards: 4, batch_send_deadline: 20ms, min_backoff: 5ms, max_backoff: 20ms}
`, server.URL, version)
			}
			p := w.open(w.parse(text(0)))
			samples, scrape := 0, 0
			push := func(scrapes, series int) { // all of it is late, so that the log is parted again and again
				for range scrapes {
					scrape++
					samples += pushAt(t, p, old.Add(time.Duration(scrape)*time.Second), scrape, series)
				}
			}
			down.Store(true)
			push(20, 50)
			asked := r.Requests()
			w.eventually(func() bool { return r.Requests() > asked+1 }, "the backlog is tried again")
			push(1, 10) // less than a request, with what may be new already
			down.Store(false)
			w.eventually(outOfOrder.Load, "it is sent before the backlog")
			for round := range 40 {
				down.Store(rnd.IntN(2) == 0)
				push(rnd.IntN(20), 50)
				switch rnd.IntN(6) {
				case 0:
					require.NoError(t, p.Reload(t.Context(), w.parse(text(round))))
				case 1:
					require.NoError(t, p.Close(false))
					p = w.open(w.parse(text(round)))
				}
				receivertest.RequireBalance(t, w.registry)
			}
			down.Store(false)
			pending, err := p.Drain(t.Context())
			require.NoError(t, err)
			require.Zero(t, pending)
			require.Equal(t, samples, r.Samples())
			require.Empty(t, p.Endpoints()[0].Dropped)
			receivertest.RequireBalance(t, w.registry)
			require.True(t, p.everythingSent())
			require.NoError(t, p.Close(true))
		})
	}
}

package processtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// hang keeps a request until its client gives up or the server is closed.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// reset cuts the connection without a word.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// endless sends valid samples for as long as somebody reads, and counts how often nobody did any
// more, and the most that was taken.
type endless struct{ cut, most atomic.Int64 }

func (e *endless) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(strings.Repeat("endless{path=\"/a/b/c\"} 1\n", 1000))
	for sent := int64(0); ; sent += int64(len(chunk)) {
		if _, err := w.Write(chunk); err != nil {
			e.most.Store(max(sent, e.most.Load()))
			e.cut.Add(1)
			return
		}
	}
}

func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

func halfABody(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, "half 1\n")
}

func TestTargetsThatMisbehaveHarmNobodyElse(t *testing.T) {
	t.Cleanup(closeIdle)
	good, receiver, flood := &toy.Target{Series: 20}, &toy.Receiver{}, &endless{}
	stuck := make(chan struct{}, 1)
	bad := map[string]http.Handler{
		"hangs":   http.HandlerFunc(hang),
		"resets":  http.HandlerFunc(reset),
		"half":    http.HandlerFunc(halfABody),
		"endless": flood,
		"garbage": answer("text/plain; version=0.0.4", "\xff\x13garbage{{{\n"),
		"html":    answer("text/html", "<!DOCTYPE html><html><body>Welcome!</body></html>"),
		"error":   http.NotFoundHandler(),
	}
	text := toyConfig("200ms", serve(t, good), serve(t, receiver))
	for job, handler := range bad {
		text = addJob(text, job, "200ms", serve(t, handler))
	}
	text = addJob(text, "stuck", "3s", serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case stuck <- struct{}{}:
		default:
		}
		hang(w, r)
	})))
	// A shutdown that waited for the target's three seconds would not end in two.
	a := startAgent(t, t.TempDir(), "-config.file="+inMemory(t), "-server.graceful-shutdown-timeout=2s")
	a.put("one", text)

	for job := range bad {
		eventually(t, func() bool { return len(upOf(receiver, job)) >= 3 }, "up of %s never arrives", job)
		for _, sample := range upOf(receiver, job) {
			require.Zero(t, sample.V, "up of %s", job)
		}
	}
	requireNothingLost(t, good, receiver)
	for _, sample := range upOf(receiver, "toy") {
		require.EqualValues(t, 1, sample.V, "up of the good target")
	}
	for _, name := range []string{"endless", "half", "garbage"} {
		require.Empty(t, receiver.Select(labels.FromStrings(model.MetricNameLabel, name)), "nothing of a scrape that failed is kept")
	}
	eventually(t, func() bool { return flood.cut.Load() >= 3 }, "an endless answer is never cut off")
	require.Less(t, flood.most.Load(), int64(64<<20), "what is over the limit is not read, whatever fits into the buffers between")

	<-stuck
	select {
	case <-stuck:
	case <-a.exited:
	}
	a.stop()
	require.NoError(t, a.err)
	require.NotContains(t, a.output.String(), "not stopped in time")
}

// addJob puts one more job in front of the others.
func addJob(text, job, interval, target string) string {
	return strings.Replace(text, "scrape_configs:\n", fmt.Sprintf(
		"scrape_configs:\n- {job_name: %s, scrape_interval: %s, scrape_timeout: %s, body_size_limit: 100KB, static_configs: [{targets: [%q]}]}\n", job, interval, interval, target), 1)
}

func upOf(r *toy.Receiver, job string) []toy.Sample {
	found := r.Select(labels.FromStrings(model.MetricNameLabel, "up", "job", job))
	if len(found) == 0 {
		return nil
	}
	return found[0].Samples
}

// moody is a receiver that misbehaves until it is healed.
type moody struct {
	toy.Receiver
	refused atomic.Int64
	healed  atomic.Bool
	// refuse answers a request and returns true, or leaves it to the receiver.
	refuse func(w http.ResponseWriter, r *http.Request, body []byte) bool
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !m.healed.Load() && m.refuse(w, r, body) {
		m.refused.Add(1)
		return
	}
	m.Receiver.ServeHTTP(w, r)
}

func always(handler http.HandlerFunc) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		handler(w, r)
		return true
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not now", code)
	}
}

// poison is a series that one receiver refuses for ever.
const poison = "0007"

func refusePoison(w http.ResponseWriter, _ *http.Request, body []byte) bool {
	plain, err := snappy.Decode(nil, body)
	if err != nil || !bytes.Contains(plain, []byte(poison)) {
		return false
	}
	http.Error(w, "series is not welcome", http.StatusBadRequest)
	return true
}

func refuseLarge(w http.ResponseWriter, _ *http.Request, body []byte) bool {
	if size, err := snappy.DecodedLen(body); err != nil || size <= 48<<10 {
		return false
	}
	http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	return true
}

func TestReceiversThatMisbehaveLoseNothingAndHarmNobodyElse(t *testing.T) {
	t.Cleanup(closeIdle)
	target, good := &toy.Target{Series: 300}, &toy.Receiver{} // more than refuseLarge takes at once
	healing := map[string]*moody{
		"415":    {refuse: always(status(http.StatusUnsupportedMediaType))},
		"429":    {refuse: always(status(http.StatusTooManyRequests))},
		"500":    {refuse: always(status(http.StatusInternalServerError))},
		"hangs":  {refuse: always(hang)},
		"resets": {refuse: always(reset)},
	}
	picky := map[string]*moody{"400": {refuse: refusePoison}, "413": {refuse: refuseLarge}}
	text := toyConfig("100ms", serve(t, target), serve(t, good))
	for _, receivers := range []map[string]*moody{healing, picky} {
		for name, receiver := range receivers {
			text += fmt.Sprintf("- name: bad-%s\n  url: http://%s/\n  remote_timeout: 1s\n  queue_config: {batch_send_deadline: 200ms, min_backoff: 30ms, max_backoff: 200ms, max_samples_per_send: 500, max_shards: 2}\n", name, serve(t, receiver))
		}
	}
	a := startAgent(t, t.TempDir(), "-config.file="+inMemory(t))
	a.put("one", text)
	for name, receiver := range healing {
		eventually(t, func() bool { return receiver.refused.Load() >= 2 }, "%s is never asked again", name)
		require.Zero(t, receiver.Totals().Samples)
	}
	eventually(t, func() bool { return target.Scrapes() >= 20 }, "no scrapes")
	requireNothingLost(t, target, good)

	for name, receiver := range picky {
		requireNothingLost(t, target, &receiver.Receiver)
		require.Positive(t, receiver.refused.Load(), name)
	}
	refused := labels.FromStrings("shelf", poison)
	require.Empty(t, picky["400"].Select(refused), "the series that is refused")
	require.NotEmpty(t, picky["400"].Select(labels.FromStrings("shelf", "0006")), "its neighbour")
	require.NotEmpty(t, picky["413"].Select(refused))
	for _, receiver := range healing {
		receiver.healed.Store(true)
	}
	for _, receiver := range healing {
		requireNothingLost(t, target, &receiver.Receiver)
		require.NotEmpty(t, receiver.Select(refused))
	}
	a.awaitMetric(`prometheus_remote_storage_samples_failed_total{instance_name="one",remote_name="bad-400",`)
	a.stop()
	require.NoError(t, a.err)
	for line := range strings.Lines(a.output.String()) {
		require.LessOrEqual(t, strings.Count(line, " instance=one "), 1, line)
	}
}

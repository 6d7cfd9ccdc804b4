package processtest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// toyConfig scrapes one target into receivers, quickly enough for a test.
func toyConfig(interval, target string, receivers ...string) string {
	text := fmt.Sprintf("scrape_configs:\n- job_name: toy\n  scrape_interval: %s\n  scrape_timeout: %s\n  static_configs:\n  - targets: [%q]\nremote_write:\n", interval, interval, target)
	for i, receiver := range receivers {
		text += fmt.Sprintf("- name: receiver-%d\n  url: http://%s/api/v1/write\n  queue_config: {batch_send_deadline: 200ms, max_backoff: 200ms, capacity: 2000, max_samples_per_send: 500, max_shards: 4}\n", i, receiver)
	}
	return text
}

func scrapeCounter(t *testing.T, r *toy.Receiver) toy.Series {
	t.Helper()
	found := r.Select(labels.FromStrings(model.MetricNameLabel, toy.ScrapesMetric))
	require.LessOrEqual(t, len(found), 1)
	if len(found) == 0 {
		return toy.Series{}
	}
	return found[0]
}

// requireNothingLost waits until the receiver has everything that was scraped before now, and wants
// every scrape just once. On a machine that stands still for longer than the timeout of a scrape,
// the target has answered and the agent has not taken the answer: the receiver has an up of 0 then.
func requireNothingLost(t *testing.T, target *toy.Target, r *toy.Receiver) {
	t.Helper()
	want := target.Scrapes()
	eventually(t, func() bool {
		samples := scrapeCounter(t, r).Samples
		return len(samples) > 0 && uint64(samples[len(samples)-1].V) >= want
	}, "scrape %d never arrives", want)
	series := scrapeCounter(t, r)
	missing, doubled := toy.Gaps(series)
	failed := 0
	for _, up := range r.Select(labels.FromStrings(model.MetricNameLabel, "up")) {
		for _, sample := range up.Samples {
			if sample.V == 0 {
				failed++
			}
		}
	}
	first := int(series.Samples[0].V)
	require.LessOrEqual(t, first-1+len(missing), failed, "scrapes that never arrived: all before scrape %d, and %v", first, missing)
	require.Empty(t, doubled, "scrapes that arrived twice at different times")
	require.Zero(t, r.Totals().OutOfOrder, "order holds per series")
}

func TestAnAgentWithoutAnyFlagScrapesWhatIsUploaded(t *testing.T) {
	t.Cleanup(closeIdle)
	target, receiver := &toy.Target{Series: 20}, &toy.Receiver{}
	a := startAgent(t, t.TempDir())
	a.put("one", toyConfig("200ms", serve(t, target), serve(t, receiver)))
	eventually(t, func() bool { return target.Scrapes() >= 5 }, "no scrapes")
	requireNothingLost(t, target, receiver)

	status, body := a.get("/agent/api/v1/metrics/instances")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"success","data":["one"]}`, body)
	a.stop()
	require.NoError(t, a.err, "an orderly end exits with 0")
}

func TestAKillWithTheReceiverDownLosesNoCommittedSample(t *testing.T) {
	t.Cleanup(closeIdle)
	directory := t.TempDir()
	target, receiver := &toy.Target{Series: 100}, &toy.Receiver{}
	receiverAddress := freeAddress(t)
	a := startAgent(t, directory)
	a.put("one", toyConfig("100ms", serve(t, failsOnce(target)), receiverAddress))
	eventually(t, func() bool { return target.Scrapes() >= 30 }, "no scrapes")
	a.kill()

	committed := committedSamples(t, filepath.Join(directory, "wal"))
	require.NotEmpty(t, committed)
	b := startAgent(t, directory)
	serveOn(t, receiverAddress, receiver)
	eventually(t, func() bool { return missingOf(receiver, committed) == 0 }, "committed samples never arrive")
	require.Zero(t, receiver.Totals().OutOfOrder, "order holds per series")
	b.stop()
}

func TestALongOutageOfTheReceiverLosesNothing(t *testing.T) {
	t.Cleanup(closeIdle)
	target, receiver := &toy.Target{Series: 2000}, &toy.Receiver{}
	a := startAgent(t, t.TempDir())
	receiver.Fail(http.StatusServiceUnavailable)
	a.put("one", toyConfig("100ms", serve(t, target), serve(t, receiver)))
	// 60 scrapes of 2,000 series are fifteen times what the queue may hold in memory (4 lanes of
	// 2,000).
	eventually(t, func() bool { return target.Scrapes() >= 60 }, "no scrapes")
	require.Zero(t, receiver.Totals().Samples)
	receiver.Fail(0)
	requireNothingLost(t, target, receiver)
	a.stop()
}

func TestAnEndpointThatFailsForEverDelaysNoOther(t *testing.T) {
	t.Cleanup(closeIdle)
	target, healthy, broken := &toy.Target{Series: 500}, &toy.Receiver{}, &toy.Receiver{}
	broken.Fail(http.StatusInternalServerError)
	a := startAgent(t, t.TempDir(), "-server.graceful-shutdown-timeout=1s")
	a.put("one", toyConfig("100ms", serve(t, target), serve(t, broken), serve(t, healthy)))
	for want := uint64(10); want <= 50; want += 20 {
		eventually(t, func() bool { return target.Scrapes() >= want }, "no scrapes")
		requireNothingLost(t, target, healthy)
	}
	require.Zero(t, broken.Totals().Samples)
	a.stop()
}

func TestAFullDiskCrashesNothingAndHealsWhenSpaceReturns(t *testing.T) {
	t.Cleanup(closeIdle)
	small := mountTmpfs(t, "4m")
	target, receiver := &toy.Target{Series: 1000}, &toy.Receiver{}
	receiver.Fail(http.StatusServiceUnavailable)
	a := startAgent(t, small, "-config.file="+storeElsewhere(t))
	ballast := filepath.Join(small, "ballast")
	a.put("one", toyConfig("100ms", serve(t, target), serve(t, receiver)))
	eventually(t, func() bool { return target.Scrapes() >= 3 }, "no scrapes")
	fillDisk(t, ballast)
	a.awaitOutput(`no space left on device`)
	whenFull := target.Scrapes()
	eventually(t, func() bool { return target.Scrapes() >= whenFull+5 }, "a full disk stops the scraping")

	require.NoError(t, os.Remove(ballast))
	receiver.Fail(0)
	spaceBack := target.Scrapes()
	eventually(t, func() bool {
		samples := scrapeCounter(t, receiver).Samples
		return len(samples) > 0 && uint64(samples[len(samples)-1].V) >= spaceBack+5
	}, "nothing arrives after space returned")
	_, doubled := toy.Gaps(scrapeCounter(t, receiver))
	require.Empty(t, doubled)
	require.Zero(t, receiver.Totals().OutOfOrder)
	require.True(t, a.running())
	a.stop()
}

// storeElsewhere is an agent.yaml that keeps the embedded store out of the way of the write-ahead logs.
func storeElsewhere(t *testing.T) (file string) {
	t.Helper()
	directory := t.TempDir()
	file = filepath.Join(directory, "agent.yaml")
	text := fmt.Sprintf("metrics:\n  scraping_service:\n    enabled: true\n    kvstore:\n      store: embedded\n      embedded: {data_directory: %q}\n", filepath.Join(directory, "store"))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

package processtest

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// settling is how long an agent is watched: four scrapes of each target.
const settling = time.Minute

// BenchmarkInstances runs one agent with many instances of one target with 100 series each, at 15
// s, against one receiver. Targets and receiver are in the process of the benchmark, so that
// memory, goroutines and CPU are the agent's alone. One run of it is enough.
func BenchmarkInstances(b *testing.B) {
	for _, instances := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("instances=%d", instances), func(b *testing.B) {
			for range b.N {
				measureInstances(b, instances)
			}
		})
	}
}

func measureInstances(b *testing.B, instances int) {
	target := serve(b, &toy.Target{Series: 96})
	receiver := serve(b, &toy.Receiver{Forget: 1})
	directory, address := b.TempDir(), freeAddress(b)
	file := filepath.Join(directory, "agent.yaml")
	require.NoError(b, os.WriteFile(file, []byte(manyInstances(instances, target, receiver)), 0o600))

	began := time.Now()
	a := &agent{base: "http://" + address, process: start(b, program(b, "agent"), "-config.file="+file, "-server.http.address="+address,
		"-metrics.wal-directory="+filepath.Join(directory, "wal"), "-server.graceful-shutdown-timeout=10s")}
	eventually(b, func() bool { return a.metric("agent_metrics_active_instances") == float64(instances) }, "the instances never run")
	started := time.Since(began)

	eventually(b, func() bool { return a.metric("agent_wal_samples_appended_total") >= float64(100*instances) }, "no samples")
	samples, cpu := a.metric("agent_wal_samples_appended_total"), a.cpu()
	watched := time.NewTimer(settling)
	defer watched.Stop()
	<-watched.C
	samples, cpu = a.metric("agent_wal_samples_appended_total")-samples, a.cpu()-cpu
	n := float64(instances)
	b.ReportMetric(started.Seconds(), "start-s")
	b.ReportMetric(a.residentKB()/n, "RSS-KB/instance")
	b.ReportMetric(a.metric("go_goroutines")/n, "goroutines/instance")
	b.ReportMetric(a.openFiles()/n, "files/instance")
	b.ReportMetric(cpu.Seconds()/settling.Seconds(), "cores")
	b.ReportMetric(cpu.Seconds()/samples*1e6, "cpu-s/Msample")
	b.ReportMetric(a.metric("scrape_ticks_skipped_total"), "ticks-missed")
	b.ReportMetric(0, "ns/op")
	a.stop()
}

func manyInstances(n int, target, receiver string) string {
	var text strings.Builder
	text.WriteString("metrics:\n  global: {scrape_interval: 15s}\n  configs:\n")
	for i := range n {
		fmt.Fprintf(&text, "  - name: instance-%04d\n    scrape_configs: [{job_name: j, static_configs: [{targets: [%q], labels: {n: \"%d\"}}]}]\n    remote_write: [{url: \"http://%s/\"}]\n",
			i, target, i, receiver)
	}
	return text.String()
}

// metric is the sum of a metric over all its series, 0 if it can't be read.
func (a *agent) metric(name string) (total float64) {
	for _, m := range a.metrics()[name].GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return total
}

// metrics are what the agent exposes of itself, by name; nil if it does not answer.
func (a *agent) metrics() map[string]*dto.MetricFamily {
	response, err := http.Get(a.base + "/metrics")
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil
	}
	return families
}

// stop ends the agent in order, once its account of what it has sent adds up.
func (a *agent) stop() {
	a.t.Helper()
	var families []*dto.MetricFamily
	for _, f := range a.metrics() {
		families = append(families, f)
	}
	require.NotEmpty(a.t, families, "the agent does not say how it is")
	require.Empty(a.t, receivertest.Imbalance(families))
	a.process.stop()
}

// cpu is the processor time that the agent has used.
func (a *agent) cpu() time.Duration {
	return time.Duration(a.metric("process_cpu_seconds_total") * float64(time.Second))
}

func (a *agent) residentKB() float64 {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	require.NoError(a.t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			require.NoError(a.t, err)
			return kb
		}
	}
	return 0
}

func (a *agent) openFiles() float64 {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.cmd.Process.Pid))
	require.NoError(a.t, err)
	return float64(len(files))
}

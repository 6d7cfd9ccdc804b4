package clustertest

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

const (
	manyConfigs   = 10_000
	manyInterval  = 15 * time.Second
	hardlyEver    = time.Hour // an interval at which a node does hardly anything but being there
	manyRunning   = 30 * time.Second
	manyDecision  = 20 * time.Millisecond
	manyCPU       = 0.02
	cpuWindow     = 30 * time.Second
	calmDown      = 20 * time.Second // until what a change of all configs has stirred up has settled
	decisionsName = "agent_metrics_scraping_service_reshard_duration"
	runningName   = "agent_metrics_active_instances"
)

func TestManyConfigsAtOnce(t *testing.T) {
	onlyFull(t)
	reach := "running within 30 s; reshard decision under 20 ms; steady state under 2 % of a core per node besides scraping"
	measured(t, "10,000 configs put at once on 3 nodes", reach, func(r *row) {
		c := newCluster(t, "a", "b", "c")
		began := time.Now()
		c.put(manyConfigs, manyInterval)
		uploaded := time.Since(began)
		eventually(t, func() bool { return c.sum(runningName) >= manyConfigs }, "the configs never run")
		running := time.Since(began)
		c.logf("all run")
		eventually(t, func() bool { return len(c.notScrapedSince(began)) == 0 }, "the configs are never scraped")
		c.logf("all were scraped, the last one %s after the first upload", time.Since(began))
		decisions := c.decisions()

		pause(calmDown)
		scraping := c.cpu(cpuWindow)
		c.put(manyConfigs, hardlyEver)
		pause(calmDown)
		idle := c.cpu(cpuWindow)

		r.measured = fmt.Sprintf("uploaded in %s, all running %s after the first upload; %s; CPU per node %.1f %% of a core without scraping, %.1f %% with it (every %s)",
			sec(uploaded), sec(running), decisions, 100*idle, 100*scraping, manyInterval)
		r.wants(running <= manyRunning, "running after %s", sec(running))
		r.wants(decisions.mean <= manyDecision.Seconds(), "decisions of %.0f ms on average", 1000*decisions.mean)
		r.wants(idle < manyCPU, "%.1f %% of a core", 100*idle)
	})
}

// sum adds a metric of all nodes up.
func (c *clusterUnderTest) sum(name string) (total float64) {
	for _, n := range c.nodes {
		families, err := n.Metrics(c.t.Context())
		if err != nil {
			return 0
		}
		for _, m := range families[name].GetMetric() {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return total
}

// decisionTimes are how long reshard decisions took by the clock, in seconds.
type decisionTimes struct {
	count         uint64
	quick         uint64  // how many of them took at most quickDecision
	mean, slowest float64 // the slowest is at most this: a bound of the histogram
}

// quickDecision is the bound of the histogram next to manyDecision.
const quickDecision = 0.0256

func (d decisionTimes) String() string {
	return fmt.Sprintf("%d reshard decisions by the clock: %.1f ms on average, %.1f %% under %.0f ms, all under %.0f ms",
		d.count, 1000*d.mean, 100*float64(d.quick)/float64(max(1, d.count)), 1000*quickDecision, 1000*d.slowest)
}

// decisions are those of all nodes since they were started, as their histograms tell.
func (c *clusterUnderTest) decisions() (found decisionTimes) {
	var sum float64
	for _, n := range c.nodes {
		families, err := n.Metrics(c.t.Context())
		require.NoError(c.t, err)
		for _, m := range families[decisionsName].GetMetric() {
			found.count += m.GetHistogram().GetSampleCount()
			sum += m.GetHistogram().GetSampleSum()
			found.slowest = max(found.slowest, slowest(m.GetHistogram()))
			found.quick += atMost(m.GetHistogram(), quickDecision)
		}
	}
	found.mean = sum / float64(max(1, found.count))
	return found
}

// atMost is how many observations were not more than a bound of the histogram.
func atMost(h *dto.Histogram, bound float64) (count uint64) {
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() <= bound*1.001 {
			count = b.GetCumulativeCount()
		}
	}
	return count
}

// slowest is the upper bound of the last bucket that something is in.
func slowest(h *dto.Histogram) (bound float64) {
	before := uint64(0)
	for _, b := range h.GetBucket() {
		if b.GetCumulativeCount() > before {
			bound = b.GetUpperBound()
		}
		before = b.GetCumulativeCount()
	}
	if h.GetSampleCount() > before {
		return math.Inf(1)
	}
	return bound
}

// cpu is what part of a core a node uses, on average of all.
func (c *clusterUnderTest) cpu(window time.Duration) float64 {
	c.t.Helper()
	before := c.cpuSeconds()
	pause(window)
	return (c.cpuSeconds() - before) / window.Seconds() / float64(len(c.nodes))
}

// cpuSeconds is what all nodes have used.
func (c *clusterUnderTest) cpuSeconds() (total float64) {
	c.t.Helper()
	for _, n := range c.nodes {
		used := cpuOf(c.t, n)
		c.logf("node %s has used %.2f CPU-seconds", n.Name, used)
		total += used
	}
	return total
}

// clockTicks per second are how Linux counts the time of processes for others.
const clockTicks = 100

// cpuOf reads the time in user and kernel mode: fields 14 and 15 of /proc/PID/stat (proc(5)).
func cpuOf(t *testing.T, n *node.Node) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID()))
	if err != nil {
		t.Skipf("the CPU time of a process is read from /proc, as Linux has it: %v", err)
	}
	_, afterName, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(afterName) // begins with field 3
	user, err := strconv.ParseFloat(fields[14-3], 64)
	require.NoError(t, err)
	system, err := strconv.ParseFloat(fields[15-3], 64)
	require.NoError(t, err)
	return (user + system) / clockTicks
}

package browsertest

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

var largeConfigs = flag.Int("configs", 0, "look at a cluster with so many configs, and print sizes and times of its pages; 0: don't")

const (
	// mostPageBytes is what docs/api.md promises of a page.
	mostPageBytes = 200 << 10
	// largePatience bounds how long all configs may take to run.
	largePatience = 10 * time.Minute
	// uploaders is how many configs are uploaded at a time.
	uploaders = 8
)

// timing is what the browser says of how a page came.
type timing struct {
	Path            string
	Bytes           int
	Server          float64 // from the request to the first byte, milliseconds
	Loaded          float64 // until everything was loaded and drawn
	Elements, Width int
}

const timingOfPage = `(() => {
	const t = performance.getEntriesByType("navigation")[0]
	return {Bytes: t.decodedBodySize, Server: t.responseStart - t.requestStart, Loaded: t.loadEventStart,
		Elements: document.querySelectorAll("*").length, Width: document.documentElement.scrollWidth}
})()`

// TestPagesOfALargeCluster looks at every page of three real agents with -configs configs, of which
// one in 500 has a target that is down. It takes minutes, so it is asked for.
func TestPagesOfALargeCluster(t *testing.T) {
	if *largeConfigs == 0 {
		t.Skip("no -configs is given; task browser-large does it")
	}
	chromium := findChromium(t)
	toys, nowhere := serveToys(t), freeAddress(t)
	nodes := startCluster(t, toys)
	browser := startBrowser(t, chromium)
	began := time.Now()
	uploadMany(t, nodes, toys, nowhere)
	t.Logf("%d configs uploaded in %s", *largeConfigs, time.Since(began).Round(time.Second))
	eventually(t, func() bool { return running(t, nodes[0]) == *largeConfigs }, time.Now().Add(largePatience), "not all configs run")
	t.Logf("all of them run after %s", time.Since(began).Round(time.Second))
	b := openTab(t, browser)
	for _, path := range []string{
		"/", "/configs", "/configs?state=down", "/configs?q=00042", "/configs/" + largeName(42), "/targets", "/targets?state=down", "/targets?q=refused", "/receivers", "/flow", "/flow?config=" + largeName(42),
		"/cluster", "/cluster?leave=agent-1", "/discovery", "/discovery?config=" + largeName(42), "/status", "/upload?name=" + largeName(42),
	} {
		best := timing{Loaded: 1e9}
		for _, n := range nodes { // any node answers for all
			b.visit(n.URL() + path)
			if one := ask[timing](b, timingOfPage); one.Loaded < best.Loaded {
				best = one
			}
		}
		t.Logf("%-32s %4d KB, %6.1f ms to the first byte, %6.1f ms until it is drawn, %5d elements", path, best.Bytes>>10, best.Server, best.Loaded, best.Elements)
		require.Less(t, best.Bytes, mostPageBytes, path)
		require.Positive(t, best.Bytes, path)
	}
}

func largeName(i int) string { return fmt.Sprintf("app-%05d", i) }

func uploadMany(t *testing.T, nodes []*node.Node, toys, nowhere string) {
	t.Helper()
	numbers, failures := make(chan int), make(chan error, uploaders)
	var uploading sync.WaitGroup
	for range uploaders {
		uploading.Go(func() {
			var failed error
			for i := range numbers {
				target := toys
				if i%500 == 42 {
					target = nowhere
				}
				text := strings.Replace(configOf(target), "scrape_interval: 1s\n  scrape_timeout: 1s", "scrape_interval: 15s\n  scrape_timeout: 10s", 1)
				if err := nodes[i%len(nodes)].Put(t.Context(), largeName(i), text); err != nil {
					failed = err
				}
			}
			failures <- failed
		})
	}
	for i := range *largeConfigs {
		numbers <- i
	}
	close(numbers)
	uploading.Wait()
	for range uploaders {
		require.NoError(t, <-failures)
	}
}

// running is how many configs run, as a page tells programs.
func running(t *testing.T, n *node.Node) (sum int) {
	body, err := n.Get(t.Context(), "/configs?format=json&limit=1")
	if err != nil {
		return 0
	}
	var answer struct {
		Data struct{ Counts map[string]int }
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return 0
	}
	return answer.Data.Counts["running"] + answer.Data.Counts["down"]
}

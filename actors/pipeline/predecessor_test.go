package pipeline

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
)

// The corpus in testdata/agent has targets, a config, and what Grafana Agent v0.44 sent of them; its
// README says how that was recorded. With compatibility: agent, this agent sends the same series with
// the same values, but for what differs.txt lists. Each of its lines is a row of docs/migration.md.
func TestSeriesAreThoseThatGrafanaAgentSent(t *testing.T) {
	const corpus = "testdata/agent"
	targets := httptest.NewServer(corpusTargets(t, filepath.Join(corpus, "targets")))
	t.Cleanup(targets.Close)
	receiver := &receivertest.Receiver{}
	remote := httptest.NewServer(receiver)
	t.Cleanup(remote.Close)
	text := strings.NewReplacer("PROXY", targets.URL, "RECEIVER", remote.URL).Replace(readFile(t, corpus, "config.yaml"))

	w := newWorld(t)
	global, err := config.LoadAgent("agent.yaml", []byte("metrics:\n  compatibility: agent\n  global:\n    scrape_interval: 1s\n    scrape_timeout: 1s\n"+
		"    external_labels: {cluster: recorded, zone: external}\n"), config.LoadOptions{})
	require.NoError(t, err)
	instance, err := config.ParseInstance("recorded", text, config.InstanceOptions{Global: global.Metrics.Global})
	require.NoError(t, err)
	p := w.open(instance)
	require.Equal(t, config.AgentSeries, p.Compatibility())
	require.NoError(t, p.Start(t.Context(), ""))
	w.eventually(func() bool { return count(receiver, "scrape_series_added") == len(instance.ScrapeConfigs) }, "each target is scraped")
	stopScraping(t, p, messages.Moved)
	_, err = p.Drain(t.Context())
	require.NoError(t, err)

	recorded := lines(readFile(t, corpus, "recorded.txt"))
	var sent []string
	for _, series := range receiver.Stored() {
		sent = append(sent, asRecorded(series))
	}
	var differs []string
	for _, line := range sent {
		if !slices.Contains(recorded, line) {
			differs = append(differs, "+ "+line)
		}
	}
	for _, line := range recorded {
		if !slices.Contains(sent, line) {
			differs = append(differs, "- "+line)
		}
	}
	slices.SortFunc(differs, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	require.Equal(t, readFile(t, corpus, "differs.txt"), strings.Join(differs, "\n")+"\n")
}

// corpusTargets answer requests that come to a proxy as the files of a directory say: a line with
// the Content-Type, or none, an empty line, and the body.
func corpusTargets(t *testing.T, directory string) http.Handler {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.txt"))
	require.NoError(t, err)
	bodies := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		bodies["/"+strings.TrimSuffix(filepath.Base(file), ".txt")] = text
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		head, body, _ := bytes.Cut(text, []byte("\n"))
		w.Header()["Content-Type"] = nil // which would be guessed
		if kind, ok := bytes.CutPrefix(head, []byte("Content-Type: ")); ok {
			w.Header().Set("Content-Type", string(kind))
			body = bytes.TrimPrefix(body, []byte("\n"))
		}
		_, _ = w.Write(body)
	})
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(text)
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

func count(r *receivertest.Receiver, metric string) (n int) {
	for _, series := range r.Stored() {
		if series.Labels.Get(model.MetricNameLabel) == metric {
			n++
		}
	}
	return n
}

// asRecorded is the first sample of a series in a line of recorded.txt.
func asRecorded(s receivertest.Series) string {
	first := s.Samples[0]
	value, at := strconv.FormatFloat(first.V, 'g', -1, 64), ""
	if s.Labels.Get(model.MetricNameLabel) == "scrape_duration_seconds" {
		value = "?"
	}
	if time.Since(time.UnixMilli(first.T)) > time.Hour {
		at = fmt.Sprintf(" @%d", first.T)
	}
	return s.Labels.String() + " " + value + at
}

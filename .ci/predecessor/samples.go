package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

// patience bounds a recording.
const patience = time.Minute

// targets answer as the files of a directory say, to requests that come to a proxy.
func targets(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(filepath.Join(dir, filepath.Base(r.URL.Path)+".txt"))
		if err != nil {
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

func recordSamples(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return err
	}
	server := httptest.NewServer(targets(filepath.Join(dir, "targets")))
	defer server.Close()
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("PROXY"), []byte(server.URL)), []byte("RECEIVER"), []byte(server.URL))
	i, err := read(text)
	if err != nil {
		return err
	}
	i.Name = "recorded"
	if err := i.withDefaults(); err != nil {
		return err
	}
	l := &ledger{last: map[string]int64{}, jobs: map[string]bool{}, rules: i.RemoteWrite[0].WriteRelabelConfigs}
	manager := scrape.NewManager(&scrape.Options{}, nil, l)
	groups := map[string][]*targetgroup.Group{}
	for _, job := range i.ScrapeConfigs {
		job.ScrapeInterval, job.ScrapeTimeout = model.Duration(time.Second), model.Duration(time.Second)
		for _, d := range job.ServiceDiscoveryConfigs {
			static, ok := d.(discovery.StaticConfig)
			if !ok {
				return fmt.Errorf("job %s: only static_configs can be recorded", job.JobName)
			}
			groups[job.JobName] = static
		}
	}
	global := config.DefaultGlobalConfig
	global.ExternalLabels = labels.FromStrings("cluster", "recorded", "zone", "external")
	l.external = global.ExternalLabels
	if err := manager.ApplyConfig(&config.Config{GlobalConfig: global, ScrapeConfigs: i.ScrapeConfigs}); err != nil {
		return err
	}
	sets := make(chan map[string][]*targetgroup.Group, 1)
	sets <- groups
	go func() { _ = manager.Run(sets) }()
	for deadline := time.Now().Add(patience); l.scraped() < len(i.ScrapeConfigs); <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d jobs were scraped", l.scraped(), len(i.ScrapeConfigs))
		}
	}
	manager.Stop()
	return os.WriteFile(filepath.Join(dir, "recorded.txt"), []byte(l.text()), 0o644)
}

// ledger takes samples as the agent's log did, which refuses what is not newer, and keeps what
// would have been sent.
type ledger struct {
	mu       sync.Mutex
	external labels.Labels
	rules    []*relabel.Config
	last     map[string]int64
	jobs     map[string]bool
	lines    []string
}

func (l *ledger) scraped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.jobs)
}

func (l *ledger) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.lines)
	return strings.Join(l.lines, "\n") + "\n"
}

func (l *ledger) Appender(context.Context) storage.Appender { return &appender{ledger: l} }

type sample struct {
	labels labels.Labels
	t      int64
	v      float64
}

type appender struct {
	ledger  *ledger
	pending []sample
}

func (a *appender) Append(_ storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	key := l.String()
	if last, ok := a.ledger.last[key]; ok && t <= last {
		return 0, storage.ErrOutOfOrderSample
	}
	if _, ok := a.ledger.last[key]; !ok {
		a.pending = append(a.pending, sample{l, t, v})
	}
	a.ledger.last[key] = t
	return 0, nil
}

func (a *appender) Commit() error {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	for _, s := range a.pending {
		b := labels.NewBuilder(s.labels)
		a.ledger.external.Range(func(e labels.Label) {
			if s.labels.Get(e.Name) == "" {
				b.Set(e.Name, e.Value)
			}
		})
		sent, keep := relabel.Process(b.Labels(), a.ledger.rules...)
		if !keep {
			continue
		}
		at := ""
		if s.t < time.Now().Add(-time.Hour).UnixMilli() {
			at = fmt.Sprintf(" @%d", s.t)
		}
		value := strconv.FormatFloat(s.v, 'g', -1, 64)
		if sent.Get(labels.MetricName) == "scrape_duration_seconds" {
			value = "?"
		}
		a.ledger.lines = append(a.ledger.lines, sent.String()+" "+value+at)
	}
	for _, s := range a.pending {
		if s.labels.Get(labels.MetricName) == "scrape_series_added" {
			a.ledger.jobs[s.labels.Get("job")] = true
		}
	}
	a.pending = nil
	return nil
}

func (a *appender) Rollback() error {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	for _, s := range a.pending {
		delete(a.ledger.last, s.labels.String())
	}
	a.pending = nil
	return nil
}

func (a *appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

func (a *appender) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, fmt.Errorf("no native histograms here")
}

func (a *appender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, nil
}

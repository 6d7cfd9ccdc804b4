package difftest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/logging"

	"github.com/ringmaster-agent/ringmaster/scrape"
)

// features are the options that both loops have.
type features struct {
	parseStartTimestamps, typeAndUnitLabels, openMetrics2, zstd, scrapeOnShutdown, synthesis bool
}

// loop is a scrape loop under test. Its methods are called by one goroutine.
type loop interface {
	apply(s step) error
	start() error
	move()              // goes on as another scraper, after the next apply
	targets() []string  // all that is shown of the active targets, sorted
	metadata() []string // of their metrics, distinct and sorted
	stop()
}

// makeLoop makes a loop in the current bubble.
type makeLoop func(t testing.TB, f features, a storage.AppendableV2, n *network) loop

type stockLoop struct {
	t       testing.TB
	static  bool // see makeStaticStock
	manager *promscrape.Manager
	sets    chan map[string][]*targetgroup.Group
	config  *promconfig.Config
}

// makeStock makes Prometheus' loop. The name of the host is given to it, since looking it up would
// leave the bubble.
func makeStock(t testing.TB, f features, a storage.AppendableV2, n *network) loop {
	options := &promscrape.Options{
		AppendMetadata:           true,
		DiscoveryReloadInterval:  model.Duration(time.Second),
		DiscoveryReloadOnStartup: true,
		ParseST:                  f.parseStartTimestamps,
		EnableTypeAndUnitLabels:  f.typeAndUnitLabels,
		EnableOpenMetrics2:       f.openMetrics2,
		EnableZstdScrape:         f.zstd,
		ScrapeOnShutdown:         f.scrapeOnShutdown,
		SynthesizeST:             f.synthesis,
		HTTPClientOptions:        []config_util.HTTPClientOption{config_util.WithDialContextFunc(n.dial)},
	}
	name := reflect.ValueOf(options).Elem().FieldByName("fqdn")
	*(*string)(unsafe.Pointer(name.UnsafeAddr())) = "host"
	openLog := func(name string) (*logging.JSONFileLogger, error) { return logging.NewJSONFileLogger(name) }
	manager, err := promscrape.NewManager(options, slog.New(slog.DiscardHandler), openLog, nil, a, nowhere{})
	if err != nil {
		t.Fatalf("make Prometheus' loop: %v", err)
	}
	return &stockLoop{t: t, manager: manager, sets: make(chan map[string][]*targetgroup.Group)}
}

// makeStaticStock makes Prometheus' loop as it is with static targets: it restarts all loops of a
// job, without their caches, when one of its targets changes. The other hears of targets as if a
// discovery had found them.
func makeStaticStock(t testing.TB, f features, a storage.AppendableV2, n *network) loop {
	l := makeStock(t, f, a, n).(*stockLoop)
	l.static = true
	return l
}

// nowhere is a registerer that costs nothing.
type nowhere struct{}

func (nowhere) Register(prometheus.Collector) error  { return nil }
func (nowhere) MustRegister(...prometheus.Collector) {}
func (nowhere) Unregister(prometheus.Collector) bool { return true }

func (l *stockLoop) move() {}

func (l *stockLoop) apply(s step) error {
	c, managed := s.parsed, s.parsed
	if !l.static {
		managed = withoutDiscoveries(c)
	}
	if err := l.manager.ApplyConfig(managed); err != nil {
		return err
	}
	started := l.config != nil
	l.config = c
	if started {
		l.sets <- staticTargets(c)
	}
	return nil
}

func withoutDiscoveries(c *promconfig.Config) *promconfig.Config {
	managed := *c
	managed.ScrapeConfigs = nil
	for _, job := range c.ScrapeConfigs {
		bare := *job
		bare.ServiceDiscoveryConfigs = nil
		managed.ScrapeConfigs = append(managed.ScrapeConfigs, &bare)
	}
	return &managed
}

func (l *stockLoop) start() error {
	go func() { _ = l.manager.Run(l.sets) }()
	l.sets <- staticTargets(l.config)
	return nil
}

// staticTargets does what Prometheus' discovery manager does with static configs.
func staticTargets(c *promconfig.Config) map[string][]*targetgroup.Group {
	sets := map[string][]*targetgroup.Group{}
	for _, job := range c.ScrapeConfigs {
		sets[job.JobName] = []*targetgroup.Group{}
		for _, sd := range job.ServiceDiscoveryConfigs {
			sets[job.JobName] = append(sets[job.JobName], sd.(discovery.StaticConfig)...)
		}
	}
	return sets
}

func (l *stockLoop) targets() []string {
	var all []string
	builder := labels.NewBuilder(labels.EmptyLabels())
	for job, targets := range l.manager.TargetsActive() {
		for _, t := range targets {
			lastError := ""
			if err := t.LastError(); err != nil {
				lastError = err.Error()
			}
			all = append(all, describeTarget(job, string(t.Health()), t.URL().String(), t.Labels(builder), lastError))
		}
	}
	slices.Sort(all)
	return all
}

func describeTarget(job, state, url string, ls labels.Labels, lastError string) string {
	return fmt.Sprintf("%s %s %s %s %q", job, ls, url, state, lastError)
}

func (l *stockLoop) metadata() []string {
	var all []string
	for _, targets := range l.manager.TargetsActive() {
		for _, t := range targets {
			for _, m := range t.ListMetadata() {
				all = append(all, fmt.Sprintf("%q %s %q %q", m.MetricFamily, m.Type, m.Unit, m.Help))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *stockLoop) stop() { l.manager.Stop() }

type ownLoop struct {
	t       testing.TB
	options scrape.Options
	scraper *scrape.Scraper
	moved   bool // the scraper has not been started
}

// makeOwn makes this project's loop.
func makeOwn(t testing.TB, f features, a storage.AppendableV2, n *network) loop {
	options := scrape.Options{
		Appendable: a,
		OnPanic:    func(err error) { t.Errorf("unexpected panic: %v", err) },
		Features: scrape.Features{
			ParseStartTimestamps:      f.parseStartTimestamps,
			SynthesizeStartTimestamps: f.synthesis,
			TypeAndUnitLabels:         f.typeAndUnitLabels,
			OpenMetrics2:              f.openMetrics2,
			ZstdScrape:                f.zstd,
			ScrapeOnShutdown:          f.scrapeOnShutdown,
		},
		DialContext: n.dial,
	}
	if m, ok := a.(*mem); ok {
		options.Book, options.Permit = m.book, m.permitted
	}
	l := &ownLoop{t: t, options: options}
	l.renew()
	return l
}

func (l *ownLoop) renew() {
	scraper, err := scrape.New(l.options)
	if err != nil {
		l.t.Fatalf("make own loop: %v", err)
	}
	l.scraper = scraper
}

func (l *ownLoop) apply(s step) error {
	c := cmp.Or(s.ours, s.parsed)
	if err := l.scraper.Apply(context.Background(), &scrape.Config{Jobs: c.ScrapeConfigs}); err != nil || !l.moved {
		return err
	}
	l.moved = false
	return l.scraper.Start()
}

// move hands over within half of the quiet time.
func (l *ownLoop) move() {
	ctx, cancel := context.WithTimeout(context.Background(), quiet/2)
	defer cancel()
	if err := l.scraper.Stop(ctx, scrape.HandOver); err != nil {
		l.t.Errorf("hand over: %v", err)
	}
	handover := l.scraper.Handover()
	l.renew()
	if err := l.scraper.Resume(handover); err != nil {
		l.t.Errorf("resume: %v", err)
	}
	l.moved = true
}

func (l *ownLoop) start() error { return l.scraper.Start() }

func (l *ownLoop) targets() []string {
	var all []string
	for _, t := range l.scraper.Targets() {
		all = append(all, describeTarget(t.Job, string(t.State), t.URL, t.Labels, t.LastError))
	}
	slices.Sort(all)
	return all
}

func (l *ownLoop) metadata() []string {
	var all []string
	for _, m := range l.scraper.Metadata() {
		all = append(all, fmt.Sprintf("%q %s %q %q", m.Family, m.Type, m.Unit, m.Help))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *ownLoop) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.scraper.Stop(ctx, scrape.KeepSeries); err != nil {
		l.t.Errorf("stop own loop: %v", err)
	}
}

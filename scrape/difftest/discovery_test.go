package difftest

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/storage"
)

// finder is a block of a service discovery. One that differs in any field is another block.
type finder struct {
	RefreshInterval time.Duration
	Reports         []finding // none: it never reports
}

// finding is what is reported some time after the report before, or the start.
type finding struct {
	After   time.Duration
	Targets string // separated by spaces
}

// finds is a block that reports this at once.
func finds(targets string) finder { return finder{Reports: []finding{{Targets: targets}}} }

func (finder) Name() string { return "finder" }

func (finder) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return &discovery.NoopDiscovererMetrics{}
}

func (f finder) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return f, nil
}

func (f finder) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	for _, report := range f.Reports {
		group := &targetgroup.Group{Source: "finder"}
		for _, address := range strings.Fields(report.Targets) {
			group.Targets = append(group.Targets, model.LabelSet{model.AddressLabel: model.LabelValue(address)})
		}
		select {
		case <-time.After(report.After):
		case <-ctx.Done():
			return
		}
		select {
		case updates <- []*targetgroup.Group{group}:
		case <-ctx.Done():
			return
		}
	}
	<-ctx.Done()
}

// discoveringStock is Prometheus' loop with its discovery manager.
type discoveringStock struct {
	*stockLoop
	discovery *discovery.Manager
	end       context.CancelFunc
}

func makeDiscoveringStock(t testing.TB, f features, a storage.AppendableV2, n *network) loop {
	metrics, err := discovery.CreateAndRegisterSDMetrics(nowhere{})
	if err != nil {
		t.Fatalf("make metrics of discoveries: %v", err)
	}
	ctx, end := context.WithCancel(context.Background())
	manager := discovery.NewManager(ctx, slog.New(slog.DiscardHandler), nowhere{}, metrics, discovery.Updatert(200*time.Millisecond))
	return &discoveringStock{stockLoop: makeStock(t, f, a, n).(*stockLoop), discovery: manager, end: end}
}

func (l *discoveringStock) apply(s step) error {
	found := map[string]discovery.Configs{}
	for _, job := range s.parsed.ScrapeConfigs {
		found[job.JobName] = job.ServiceDiscoveryConfigs
	}
	if err := l.manager.ApplyConfig(withoutDiscoveries(s.parsed)); err != nil {
		return err
	}
	return l.discovery.ApplyConfig(found)
}

func (l *discoveringStock) start() error {
	go func() { _ = l.discovery.Run() }()
	go func() { _ = l.manager.Run(l.discovery.SyncCh()) }()
	return nil
}

func (l *discoveringStock) stop() {
	l.manager.Stop()
	l.end()
}

// stock is Prometheus' side of the scenario.
func (s scenario) stock() makeLoop {
	for _, step := range s.steps {
		if step.blocks != nil {
			return makeDiscoveringStock
		}
	}
	return makeStock
}

// inQuiet is when the quiet time of the second interval has begun, after the start.
const inQuiet = 2*time.Minute - quiet + 100*time.Millisecond

const bare = "- job_name: j\n"

// blocks is a reload of one job, with these blocks.
func blocks(found ...finder) step {
	return step{config: bare, blocks: map[string][]finder{"j": found}}
}

func answering(s step, body string) step {
	s.answers = all(plain(body))
	return s
}

func TestDiscoveriesThatChange(t *testing.T) {
	slower := func(targets string) finder {
		return finder{RefreshInterval: time.Hour, Reports: []finding{{Targets: targets}}}
	}
	growing := finder{Reports: []finding{{Targets: "one:80"}, {After: inQuiet, Targets: "one:80 two:80"}, {After: 3 * time.Minute, Targets: "two:80"}}}
	one, both := answering(blocks(finds("one:80")), "a 1\nb 1\n"), answering(blocks(finds("one:80 two:80")), "a 1\nb 1\n")
	static := step{config: targets("three:80"), blocks: map[string][]finder{"j": {finds("one:80")}}, answers: all(plain("a 1\n"))}
	for what, steps := range map[string][]step{
		"nothing changes":                        {one, {}, blocks(finds("one:80")), {}},
		"refresh_interval changes":               {both, {}, blocks(slower("one:80 two:80")), {}, blocks(finds("one:80 two:80"))},
		"refresh_interval changes, and a target": {both, {}, blocks(slower("one:80")), {}, blocks(finds("one:80 two:80")), {}},
		"a block is replaced":                    {one, {}, blocks(finds("two:80")), {}},
		"a block is added":                       {one, {}, blocks(finds("one:80"), finds("two:80")), {}},
		"a block is removed":                     {answering(blocks(finds("one:80"), finds("two:80")), "a 1\n"), {}, blocks(finds("two:80")), {}},
		"blocks change places":                   {answering(blocks(finds("one:80"), finds("two:80")), "a 1\n"), {}, blocks(finds("two:80"), finds("one:80")), {}},
		"two blocks find one target":             {answering(blocks(finds("one:80"), slower("one:80")), "a 1\n"), {}, blocks(finds("one:80")), {}},
		"all blocks are removed":                 {both, {}, blocks(), {}, {}},
		"a block finds nothing any more":         {both, {}, blocks(finds("")), {}, {}},
		"static targets take its place":          {one, {}, {config: targets("one:80"), blocks: map[string][]finder{}}, {}},
		"a block beside static targets changes":  {static, {}, {config: targets("three:80"), blocks: map[string][]finder{"j": {slower("one:80")}}}, {}},
		"targets come and go":                    {answering(blocks(growing), "a 1\n"), {}, {}, {}, {}, {}, {}},
		"it changes while targets come and go":   {answering(blocks(growing), "a 1\n"), {}, {}, blocks(slower("one:80 two:80")), {}, {}},
		"one never reports beside another":       {answering(blocks(finds("one:80"), finder{}), "a 1\n"), {}, {}},
		"one never reports beside static targets": {{config: targets("three:80"), blocks: map[string][]finder{"j": {{}}},
			answers: all(plain("a 1\n"))}, {}, {}},
		"it reports late":               {answering(blocks(finder{Reports: []finding{{After: inQuiet, Targets: "one:80"}}}), "a 1\n"), {}, {}, {}},
		"a series ends with the change": {both, {}, answering(blocks(slower("one:80 two:80")), "a 1\n"), {}},
	} {
		t.Run(what, func(t *testing.T) { scenario{steps: still(steps...)}.check(t) })
	}
}

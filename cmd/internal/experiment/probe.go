package experiment

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

const (
	// probeInterval is how often the targets of a Probe are scraped.
	probeInterval = time.Second
	// probePatience is how long after its interval a tick is judged.
	probePatience = 500 * time.Millisecond
	// probeWrite is where a Probe receives.
	probeWrite = "/api/v1/write"
	// ticksToKnow is how many ticks of each config are judged before an experiment.
	ticksToKnow = 3
)

// Probe is targets and a receiver that count: which ticks were missed and which were taken twice,
// and how many samples have arrived. A cluster scrapes them by configs of the probe's own. It is
// made by NewProbe, and may be used concurrently.
type Probe struct {
	address string
	names   []string
	targets toy.Targets
	ledger  toy.Ledger

	mu    sync.Mutex
	judge toy.Judge
}

// NewProbe returns a probe with that many configs. Agents reach its Handler at address, host:port.
func NewProbe(address, name string, configs int) *Probe {
	p := &Probe{address: address, judge: toy.Judge{Interval: probeInterval, Patience: probeInterval + probePatience}}
	for i := range configs {
		p.names = append(p.names, fmt.Sprintf("%s-%02d", name, i))
	}
	return p
}

// Handler answers scrapes and takes samples.
func (p *Probe) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, &p.targets)
	mux.Handle(probeWrite, &p.ledger)
	return mux
}

// Names are those of its configs.
func (p *Probe) Names() []string { return p.names }

// Config is the text of a config, to be uploaded.
func (p *Probe) Config(name string) string {
	return fmt.Sprintf("scrape_configs:\n  - {job_name: %s, metrics_path: %s%s, scrape_interval: %s, static_configs: [{targets: [%q]}]}\n"+
		"remote_write: [{url: %q, queue_config: {batch_send_deadline: 500ms, max_backoff: 1s}}]\n",
		name, toy.TargetsPath, name, probeInterval, p.address, "http://"+p.address+probeWrite)
}

// Ready reports whether the probe knows when each of its targets is scraped, and samples of each
// have arrived.
func (p *Probe) Ready() bool {
	p.Ticks()
	p.mu.Lock()
	due := p.judge.Due
	p.mu.Unlock()
	for _, name := range p.names {
		if p.ledger.Samples(name) == 0 {
			return false
		}
	}
	return due > ticksToKnow*len(p.names)
}

// Ticks is how many ticks were missed and taken twice so far.
func (p *Probe) Ticks() (missed, doubled int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range p.names {
		p.judge.Until(name, p.targets.Arrivals(name), time.Now())
	}
	return p.judge.Missed, p.judge.Doubled
}

// Received is how many samples of each config have arrived.
func (p *Probe) Received() map[string]int {
	found := map[string]int{}
	for _, name := range p.names {
		found[name] = p.ledger.Samples(name)
	}
	return found
}

package pipeline

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
	"github.com/ringmaster-agent/ringmaster/remotewrite/receivertest"
	"github.com/ringmaster-agent/ringmaster/scrape/scrapetest"
)

var (
	ledgerSeeds = flag.Int("ledger.seeds", 40, "how many seeds the ledger of markers plays")                    //nolint:forbidigo // a flag of the test binary only
	ledgerSeed  = flag.Uint64("ledger.seed", 0, "the one seed that it plays; 0: as many as -ledger.seeds says") //nolint:forbidigo // a flag of the test binary only
)

// Each series that has ended has one staleness marker, and none that goes on has one, whatever
// happens to its instance: the marker ledger. A run plays random events in virtual time; the nodes
// write to one receiver, which tells in the end what it has of each series.
func TestEachSeriesThatEndsHasOneMarkerWhateverHappens(t *testing.T) {
	first, seeds := uint64(1), uint64(*ledgerSeeds)
	if *ledgerSeed != 0 {
		first, seeds = *ledgerSeed, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playLedger(t, seed) })
			if t.Failed() {
				t.Logf("to replay it: go test -run TestEachSeriesThatEnds ./actors/pipeline -ledger.seed %d", seed)
			}
		})
	}
}

const (
	ledgerTargets = 4 // of each of two jobs
	ledgerNames   = 3 // of series
)

// ledgerState is what there is to be scraped.
type ledgerState struct {
	bodies      [2][ledgerTargets]uint8 // which series each target has
	down        [2][ledgerTargets]bool
	there       [2][ledgerTargets]bool // static targets of the first job, discovered ones of the second
	jobs        [2]bool
	dropped     bool // metric relabelling drops the series b
	version     int  // of a label of all targets
	interval    int  // in seconds
	unreachable bool // the discovery's server does not answer those who start
}

// present are all series that should be open.
func (s *ledgerState) present() map[string]bool {
	found := map[string]bool{}
	for job := range s.jobs {
		for i := range ledgerTargets {
			if !s.jobs[job] || !s.there[job][i] {
				continue
			}
			add := func(name string) {
				found[labels.FromStrings("__name__", name, "instance", ledgerHost(job, i), "job", ledgerJob(job), "v", fmt.Sprint(s.version)).String()] = true
			}
			for _, name := range []string{"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"} {
				add(name)
			}
			for bit := range ledgerNames {
				if !s.down[job][i] && s.bodies[job][i]&(1<<bit) != 0 && (bit != 1 || !s.dropped) {
					add(string(rune('a' + bit)))
				}
			}
		}
	}
	return found
}

func ledgerJob(job int) string     { return []string{"fixed", "found"}[job] }
func ledgerHost(job, i int) string { return fmt.Sprintf("%s-%d:80", ledgerJob(job), i) }

// ledger is one run.
type ledger struct {
	t      *testing.T
	random *rand.Rand
	nodes  []*node
	at     int // the owner's node
	owner  *Pipeline

	receiver receivertest.Receiver

	mu      sync.Mutex // what follows; targets and discoveries read it
	state   ledgerState
	changed chan struct{} // closed when it has

	answering func(job, i int) // called by the target that answers next, if not nil

	history []ledgerMoment
	crashes []time.Time
	log     []string
}

// ledgerMoment is what is present from an instant on.
type ledgerMoment struct {
	from    time.Time
	present map[string]bool
}

// change changes what there is to be scraped.
func (l *ledger) change(f func(*ledgerState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.state)
	close(l.changed)
	l.changed = make(chan struct{})
	l.history = append(l.history, ledgerMoment{time.Now(), l.state.present()})
}

// ServeHTTP is every target. An answer takes some time, so that a permit can be lost between a
// scrape and its commit.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.answer(r.Host)
	<-time.After(time.Duration(r.Host[len("fixed-")]-'0') * 100 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	for job := range l.state.jobs {
		for i := range ledgerTargets {
			if r.Host != ledgerHost(job, i) {
				continue
			}
			if l.state.down[job][i] {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			for bit := range ledgerNames {
				if l.state.bodies[job][i]&(1<<bit) != 0 {
					fmt.Fprintf(w, "%c 1\n", 'a'+bit)
				}
			}
		}
	}
}

// answer lets happen what is to happen while a target answers.
func (l *ledger) answer(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for job := range l.state.jobs {
		for i := range ledgerTargets {
			if host == ledgerHost(job, i) && l.answering != nil {
				l.answering(job, i)
				l.answering = nil
			}
		}
	}
}

// ledgerDiscovery finds what the ledger says.
type ledgerDiscovery struct {
	Server string
	ledger *ledger
}

func (ledgerDiscovery) Name() string { return "ledger" }

func (d ledgerDiscovery) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return ledgerFinder{d.run}, nil
}

// ledgerFinder is a discoverer without the ledger in its fields, through which scrapers look for
// HTTP clients.
type ledgerFinder struct {
	run func(context.Context, chan<- []*targetgroup.Group)
}

func (f ledgerFinder) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	f.run(ctx, updates)
}

func (ledgerDiscovery) NewDiscovererMetrics(prometheus.Registerer, discovery.RefreshMetricsInstantiator) discovery.DiscovererMetrics {
	return &discovery.NoopDiscovererMetrics{}
}

// MarshalYAML says what the discovery's config is without what a test needs.
func (d ledgerDiscovery) MarshalYAML() (any, error) { return d.Server, nil }

func (d ledgerDiscovery) run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	for said := false; ; {
		d.ledger.mu.Lock()
		changed, silent := d.ledger.changed, d.ledger.state.unreachable && !said
		group := &targetgroup.Group{Source: "ledger"}
		for i, there := range d.ledger.state.there[1] {
			if there {
				group.Targets = append(group.Targets, model.LabelSet{model.AddressLabel: model.LabelValue(ledgerHost(1, i)), "__meta_secret": "x"})
			}
		}
		d.ledger.mu.Unlock()
		if !silent {
			said = true
			select {
			case updates <- []*targetgroup.Group{group}:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// config is the instance's, as it is now.
func (l *ledger) config() *config.Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	const sending = "remote_write: [{url: 'http://receiver/write'}]\n"
	text := sending + "scrape_configs:\n"
	for job, there := range l.state.jobs {
		if !there {
			continue
		}
		text += fmt.Sprintf("- job_name: %s\n  scrape_interval: %ds\n  scrape_timeout: 4s\n  relabel_configs: [{target_label: v, replacement: \"%d\"}]\n",
			ledgerJob(job), l.state.interval, l.state.version)
		if l.state.dropped {
			text += "  metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]\n"
		}
		if job == 0 {
			var hosts []string
			for i, there := range l.state.there[0] {
				if there {
					hosts = append(hosts, ledgerHost(0, i))
				}
			}
			text += "  static_configs: [{targets: [" + strings.Join(hosts, ", ") + "]}]\n"
		}
	}
	if text == sending+"scrape_configs:\n" {
		text = sending + "scrape_configs: []\n"
	}
	c := parse(l.t, "one", text)
	for _, job := range c.ScrapeConfigs {
		if job.JobName == ledgerJob(1) {
			job.ServiceDiscoveryConfigs = discovery.Configs{ledgerDiscovery{"one", l}}
		}
	}
	return c
}

// open opens the unit on a node.
func (l *ledger) open(at int, warm bool) *Pipeline {
	n := l.nodes[at]
	opened, err := n.factory.New(l.t.Context(), actors.PipelineSpec{Unit: messages.WholeConfig("one"), Config: l.config(), Permit: n.permit.Load, Warm: warm,
		Failed: func(err error) { l.t.Error(err) }})
	require.NoError(l.t, err)
	return opened.(*Pipeline)
}

// own makes a pipeline the one that scrapes.
func (l *ledger) own(p *Pipeline, at int, resume messages.Handover) {
	l.owner, l.at = p, at
	require.NoError(l.t, p.Start(l.t.Context(), resume))
}

// leave ends the owner's scrapes and sends what it has, as an instance does; one that is killed may
// not come to that.
func (l *ledger) leave(reason messages.StopReason) messages.Handover {
	ctx, done := context.WithTimeout(l.t.Context(), 15*time.Second)
	defer done()
	handover, err := l.owner.StopScraping(ctx, reason)
	require.NoError(l.t, err)
	if reason == messages.Fenced && l.random.IntN(2) == 0 {
		l.note("what it has not sent waits until the instance is there again")
		return handover
	}
	pending, err := l.owner.Drain(ctx)
	require.NoError(l.t, err)
	require.Zero(l.t, pending)
	return handover
}

func (l *ledger) note(format string, args ...any) {
	l.log = append(l.log, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// act lets one random thing happen.
func (l *ledger) act() {
	job, i := l.random.IntN(2), l.random.IntN(ledgerTargets)
	switch l.random.IntN(15) {
	case 0, 1, 2, 3:
		body := uint8(l.random.IntN(1 << ledgerNames))
		l.note("%s has %b", ledgerHost(job, i), body)
		l.change(func(s *ledgerState) { s.bodies[job][i] = body })
	case 4:
		l.note("%s goes down, or comes back", ledgerHost(job, i))
		l.change(func(s *ledgerState) { s.down[job][i] = !s.down[job][i] })
	case 5, 6:
		l.discover(i)
	case 7:
		l.veto(i)
	case 8, 9, 10:
		l.move()
	case 11, 12:
		l.reload(i)
	case 13:
		l.endOne()
	case 14:
		l.endAll()
	}
}

func (l *ledger) discover(i int) {
	l.mu.Lock()
	unreachable := l.state.unreachable
	l.mu.Unlock()
	if l.random.IntN(3) == 0 || unreachable {
		l.note("discovery is unreachable: %v", !unreachable)
		l.change(func(s *ledgerState) { s.unreachable = !s.unreachable })
		return
	}
	l.note("discovery finds %d, or loses it", i)
	l.change(func(s *ledgerState) { s.there[1][i] = !s.there[1][i] })
}

// veto takes the permit away: at once, perhaps with a reload that ends series meanwhile, or while a
// target answers, whose series change then, so that the scrape after a vetoed one finds others.
func (l *ledger) veto(i int) {
	permit, pause := &l.nodes[l.at].permit, 60*time.Millisecond+time.Duration(l.random.Int64N(int64(9*time.Second)))
	how, body := l.random.IntN(3), uint8(l.random.IntN(1<<ledgerNames))
	take := func() {
		permit.Store(false)
		time.AfterFunc(pause, func() { permit.Store(true) })
	}
	if how == 0 {
		l.note("node %d has no permit for %s when a target answers, which has %b then", l.at, pause, body)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answering = func(job, i int) {
			take()
			time.AfterFunc(time.Second, func() { l.change(func(s *ledgerState) { s.bodies[job][i] = body }) })
		}
		return
	}
	l.note("node %d has no permit for %s", l.at, pause)
	take()
	if how == 1 {
		l.reload(i)
	}
}

func (l *ledger) move() {
	l.note("moves from node %d", l.at)
	before, next := l.owner, 1-l.at
	p := l.open(next, true)
	handover := l.leave(messages.Moved)
	l.own(p, next, handover)
	require.NoError(l.t, before.Close(false))
}

// endOne restarts the instance, or kills it.
func (l *ledger) endOne() {
	if l.random.IntN(2) == 0 {
		l.note("node %d restarts", l.at)
		handover := l.leave(messages.Shutdown)
		require.NoError(l.t, l.owner.Close(false))
		l.own(l.open(l.at, false), l.at, handover)
		return
	}
	l.note("node %d is killed", l.at)
	l.crashes = append(l.crashes, time.Now())
	l.leave(messages.Fenced)
	require.NoError(l.t, l.owner.Close(false))
	l.own(l.open(1-l.at, false), 1-l.at, "")
}

// endAll deletes the instance, or holds it, so that all series end, and runs it again some time later.
func (l *ledger) endAll() {
	reason := []messages.StopReason{messages.Deleted, messages.Held}[l.random.IntN(2)]
	l.note("node %d stops: %s", l.at, reason)
	l.leave(reason)
	require.NoError(l.t, l.owner.Close(reason == messages.Deleted))
	l.gone()
	<-time.After(time.Duration(l.random.Int64N(int64(12 * time.Second))))
	l.note("and runs it again")
	l.change(func(*ledgerState) {})
	l.own(l.open(l.at, false), l.at, "")
}

// gone notes that nothing is to be scraped.
func (l *ledger) gone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, ledgerMoment{from: time.Now()})
}

func (l *ledger) reload(i int) {
	what := l.random.IntN(5)
	l.note("reload %d of %d", what, i)
	l.change(func(s *ledgerState) {
		switch what {
		case 0:
			s.jobs[i%2] = !s.jobs[i%2]
		case 1:
			s.there[0][i] = !s.there[0][i]
		case 2:
			s.dropped = !s.dropped
		case 3:
			s.version++
		case 4:
			s.interval = 15 - s.interval
		}
	})
	require.NoError(l.t, l.owner.Reload(l.t.Context(), l.config()))
}

func playLedger(t *testing.T, seed uint64) {
	l := &ledger{t: t, random: rand.New(rand.NewPCG(seed, 7)), changed: make(chan struct{})}
	targets, receivers := scrapetest.NewNetwork(), scrapetest.NewNetwork()
	defer targets.Serve(l)()
	defer receivers.Serve(&l.receiver)()
	for range 2 {
		transport := &http.Transport{DialContext: receivers.Dial}
		defer transport.CloseIdleConnections()
		n := newNode(t, Options{DialContext: targets.Dial, Seed: 7,
			WrapReceivers: func(http.RoundTripper) http.RoundTripper { return transport }})
		defer n.factory.Close()
		l.nodes = append(l.nodes, n)
	}
	l.change(func(s *ledgerState) {
		*s = ledgerState{jobs: [2]bool{true, true}, interval: 5}
		for job := range s.jobs {
			for i := range ledgerTargets {
				s.there[job][i], s.bodies[job][i] = l.random.IntN(4) > 0, uint8(l.random.IntN(1<<ledgerNames))
			}
		}
	})
	l.own(l.open(0, false), 0, "")
	for range 8 + l.random.IntN(20) {
		<-time.After(time.Duration(l.random.Int64N(int64(12 * time.Second))))
		l.act()
	}
	l.note("calm")
	l.change(func(s *ledgerState) { s.unreachable = false })
	l.mu.Lock()
	l.answering = nil
	l.mu.Unlock()
	l.nodes[0].permit.Store(true)
	l.nodes[1].permit.Store(true)
	<-time.After(12 * time.Minute) // series of targets that a successor does not know end after five
	calm := time.Now()
	if l.random.IntN(2) == 0 {
		l.note("is deleted")
		l.leave(messages.Deleted)
		l.gone()
	} else {
		l.leave(messages.Shutdown)
	}
	require.NoError(t, l.owner.Close(false))
	l.judge(calm)
	if t.Failed() {
		t.Log("what happened:\n" + strings.Join(l.log, "\n"))
	}
}

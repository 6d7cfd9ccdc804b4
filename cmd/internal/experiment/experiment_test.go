package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

var (
	built = flag.String("agent", "", "an agent program; without it one is built of this module")
	only  = flag.String("experiment", "", "play only this file of examples/chaos")
	keep  = flag.String("reports", "", "write reports into this directory")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnExperimentThatMakesNoSenseIsRefusedWithItsField(t *testing.T) {
	valid := "title: t\nhypothesis: {unowned: 0}\nduration: 10s\nmethod: [{at: 1s, rule: {point: clock, action: skew, delay: 1s}}]\n"
	e, err := Parse("a.yaml", []byte(valid))
	require.NoError(t, err)
	require.Equal(t, fault.Duration(9*time.Second), e.Method[0].Rule.Duration, "a rule lasts until the end of the method")
	for text, want := range map[string]string{
		strings.Replace(valid, "unowned: 0", "lag: -1s", 1): "hypothesis.lag: it is -1s",
		"titel: t":                             "field titel not found",
		"title: t":                             "hypothesis: it says nothing",
		strings.Replace(valid, "10s", "0s", 1): "duration: it is 0s",
		strings.Replace(valid, "at: 1s", "at: 11s", 1):                                                        "method[0].at: it is 11s",
		strings.Replace(valid, "skew", "flip", 1):                                                             `method[0].rule: action: clock knows no action "flip"`,
		strings.Replace(valid, "rule: {point: clock, action: skew, delay: 1s}", "command: break, node: a", 1): "method[0].command: there is no \"break\"",
		strings.Replace(valid, "rule: {point: clock, action: skew, delay: 1s}", "command: kill", 1):           "method[0].node: name the node",
		strings.Replace(valid, ", rule: {point: clock, action: skew, delay: 1s}", "", 1):                      "method[0]: give either",
	} {
		_, err := Parse("a.yaml", []byte(text))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "a.yaml")
	}
}

// scripted is a lab that says what it is told to.
type scripted struct {
	calls []string
	at    func(since time.Duration) Observation
	began time.Time
	err   error
}

func (s *scripted) Inject(_ context.Context, r fault.Rule) error {
	s.calls = append(s.calls, "inject "+r.Name)
	return s.err
}
func (s *scripted) Clear(context.Context) error { s.calls = append(s.calls, "clear"); return nil }
func (s *scripted) Command(_ context.Context, verb, n string) (string, error) {
	s.calls = append(s.calls, verb+" "+n)
	return "by hand", nil
}
func (s *scripted) Observe(context.Context) (Observation, error) {
	return s.at(time.Since(s.began)), nil
}

const story = `
title: A story
hypothesis: {unowned: 0, pending: 10, missed: 5, doubled: 0, within: 20s}
duration: 10s
method:
  - {at: 5s, command: kill, node: b}
  - {at: 1s, rule: {name: one, point: clock, action: skew, delay: 1s}}
  - {at: 2s, command: pause, node: c}
`

func playStory(t *testing.T, s *scripted) (r Report, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.began = time.Now()
		e, parseErr := Parse("story.yaml", []byte(story))
		require.NoError(t, parseErr)
		r, err = Run(t.Context(), s, e, func(string) {})
	})
	return r, err
}

func TestStepsAreTakenInOrderAndUndone(t *testing.T) {
	s := &scripted{at: func(time.Duration) Observation { return Observation{} }}
	r, err := playStory(t, s)
	require.NoError(t, err)
	require.Equal(t, []string{"inject one", "pause c", "kill b", "start b", "resume c", "clear"}, s.calls)
	require.Equal(t, Done{At: 5 * time.Second, What: "kill b", How: "by hand"}, r.Done[2])
	require.Equal(t, "start b", r.Done[3].What, "what makes it good is in the report, too")
	require.True(t, r.Holds())
	require.Contains(t, r.Sentence(), "A story: the hypothesis holds")
}

func TestAHypothesisThatDoesNotHoldNamesWhatWasViolated(t *testing.T) {
	for want, at := range map[string]func(time.Duration) Observation{
		"1 ticks were taken twice, at most 0 may be": func(d time.Duration) Observation { return Observation{Doubled: int(d / (6 * time.Second) % 2)} },
		"6 ticks were missed, at most 5 may be":      func(d time.Duration) Observation { return Observation{Missed: min(6, int(d/time.Second))} },
		"2 units have no owner, at most 0 may, 21s after the faults": func(d time.Duration) Observation {
			return Observation{Unowned: min(2, int(d/time.Second))}
		},
		"20 samples wait, at most 10 may": func(d time.Duration) Observation { return Observation{Pending: 20 * min(1, int(d/time.Second))} },
	} {
		last := at
		if strings.Contains(want, "twice") {
			last = func(d time.Duration) Observation { return Observation{Doubled: min(1, int(d/(6*time.Second)))} }
		}
		r, err := playStory(t, &scripted{at: last})
		require.NoError(t, err)
		require.False(t, r.Holds())
		require.Contains(t, r.Sentence(), want)
		for _, format := range []string{"html", "junit", "json"} {
			text, err := r.Write(format)
			require.NoError(t, err)
			require.Contains(t, string(text), want, format)
		}
	}
}

func TestAFaultThatHitsNothingIsNoExperiment(t *testing.T) {
	r, err := playStory(t, &scripted{at: func(time.Duration) Observation { return Observation{Hits: map[string]int{"clock skew": 3}} }})
	require.NoError(t, err)
	require.Contains(t, r.Sentence(), `"one" has hit nothing`)
}

func TestACountThatNobodyMakesIsNotTakenForNone(t *testing.T) {
	r, err := playStory(t, &scripted{at: func(time.Duration) Observation { return Observation{Doubled: -1} }})
	require.NoError(t, err)
	require.False(t, r.Holds())
	require.Contains(t, r.Sentence(), "nobody counts the ticks that were taken twice")
}

func TestAnExperimentOnAClusterThatIsIllIsNotBegun(t *testing.T) {
	s := &scripted{at: func(time.Duration) Observation { return Observation{Unowned: 1} }}
	_, err := playStory(t, s)
	require.ErrorContains(t, err, "not well to begin with")
	require.Empty(t, s.calls)
}

func TestAFaultThatCanNotBePutInForceEndsTheExperimentAndAllFaults(t *testing.T) {
	s := &scripted{at: func(time.Duration) Observation { return Observation{} }, err: errors.New("no")}
	_, err := playStory(t, s)
	require.ErrorContains(t, err, `put "one" in force: no`)
	require.Equal(t, []string{"inject one", "clear"}, s.calls)
}

func TestAReportIsAPageWithADrawing(t *testing.T) {
	r, err := playStory(t, &scripted{at: func(d time.Duration) Observation { return Observation{Pending: int(d/time.Second) % 7} }})
	require.NoError(t, err)
	text, err := r.Write("html")
	require.NoError(t, err)
	for _, want := range []string{"<svg", "<polyline", "<rect", "kill b", "clock: skew", "samples that wait"} {
		require.Contains(t, string(text), want)
	}
	_, err = r.Write("pdf")
	require.ErrorContains(t, err, "html, json and junit")
}

// TestTheExperimentsHold plays examples/chaos, one after the other, on three real agents.
func TestTheExperimentsHold(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes, and builds an agent: run it without -short")
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "examples", "chaos", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 10)
	lab := startLab(t, *built, 12)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if *only != "" && *only != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			e, err := Parse(file, text)
			require.NoError(t, err)
			lab.awaitWell(t, e)
			report, err := Run(t.Context(), lab, e, func(what string) { t.Log(what) })
			if *keep != "" {
				html, _ := report.Write("html")
				require.NoError(t, os.WriteFile(filepath.Join(*keep, name+".html"), html, 0o600))
			}
			require.NoError(t, err)
			t.Log(report.Sentence())
			require.True(t, report.Holds(), report.Sentence())
			if name == "rolling-restart" {
				require.NotEmpty(t, report.Moves, "every node leaves its units to others")
			}
		})
	}
	if *only == "" || *only == "probe" {
		t.Run("a probe of agentctl decides", func(t *testing.T) { lab.probe(t) })
	}
}

// refusal has the agents reach no target of some configs for five seconds.
const refusal = `
title: No scrapes
hypothesis: {missed: 15, doubled: 0, balance: true, within: 30s}
duration: 7s
method: [{at: 1s, rule: {point: scrape.request, action: refuse, units: "%s", duration: 5s}}]
`

// probe plays an experiment twice by agentctl, whose probe counts: once the probe's own targets are
// not reached, and once others are not. A node takes neither for a missed tick.
func (l *lab) probe(t *testing.T) {
	directory := t.TempDir()
	program, file, report := filepath.Join(directory, "agentctl"), filepath.Join(directory, "e.yaml"), filepath.Join(directory, "r.html")
	build := exec.Command("go", "build", "-tags", "light", "-o", program, "./cmd/agentctl")
	build.Dir = filepath.Join("..", "..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for units, want := range map[string]struct {
		holds    bool
		sentence string
	}{
		"ringmaster-probe-*": {false, "No scrapes: the hypothesis does not hold: "},
		"toy-*":              {true, "No scrapes: the hypothesis holds; "},
	} {
		text := fmt.Sprintf(refusal, units)
		e, err := Parse(file, []byte(text))
		require.NoError(t, err)
		l.awaitWell(t, e)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		out, err := exec.CommandContext(t.Context(), program, "chaos", "run", file, "-a", l.Nodes[0].URL(),
			"--probe", "127.0.0.1:0", "--probe-configs", "6", "--report", report).CombinedOutput()
		require.Equal(t, want.holds, err == nil, string(out))
		require.Contains(t, string(out), want.sentence)
		page, err := os.ReadFile(report)
		require.NoError(t, err)
		require.Contains(t, string(page), want.sentence)
		if !want.holds {
			require.Regexp(t, `hold: \d+ ticks were missed, at most 15 may be\.`, string(out), "and nothing else is wrong")
		}
		configs, err := l.Nodes[0].Get(t.Context(), "/agent/api/v1/configs")
		require.NoError(t, err)
		require.Contains(t, configs, "toy-00")
		require.NotContains(t, configs, "ringmaster-probe-", "they are deleted in the end")
	}
}

// lab is three agents with their targets and their receiver.
type lab struct{ Processes }

func startLab(t *testing.T, program string, configs int) *lab {
	t.Helper()
	directory := t.TempDir()
	if program == "" {
		program = filepath.Join(directory, "agent")
		build := exec.Command("go", "build", "-tags", "light", "-o", program, "./cmd/agent")
		build.Dir = filepath.Join("..", "..", "..")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	probe := NewProbe(listener.Addr().String(), "toy", configs)
	server := &http.Server{Handler: probe.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() { _ = server.Close(); <-served })
	l := &lab{Processes: Processes{Ticks: probe.Ticks, Received: probe.Received}}
	var peers []node.Peer
	for _, name := range []string{"a", "b", "c"} {
		address, err := loopback.FreeAddress()
		require.NoError(t, err)
		peers = append(peers, node.Peer{Name: name, Address: address})
	}
	for _, p := range peers {
		address, err := loopback.FreeAddress()
		require.NoError(t, err)
		settings := node.Settings{Name: p.Name, Receiver: "http://" + listener.Addr().String() + "/api/v1/write", Peers: peers, Args: []string{"-chaos.enabled"}}
		n, err := node.New(settings, filepath.Join(directory, p.Name), address, program)
		require.NoError(t, err)
		writeTokens(t, n)
		require.NoError(t, n.Start())
		t.Cleanup(n.Kill)
		t.Cleanup(func() {
			if t.Failed() {
				log, _ := os.ReadFile(n.LogFile())
				t.Logf("%s:\n%s", n.Name, log[max(0, len(log)-6000):])
			}
		})
		l.Nodes = append(l.Nodes, n)
	}
	for _, n := range l.Nodes {
		require.Eventually(t, func() bool { return n.Ready(t.Context()) }, time.Minute, 100*time.Millisecond)
	}
	for i, name := range probe.Names() {
		require.NoError(t, l.Nodes[i%3].Put(t.Context(), name, probe.Config(name)))
	}
	require.Eventually(t, probe.Ready, time.Minute, 200*time.Millisecond, "the schedules can be seen")
	for _, n := range l.Nodes {
		metrics, err := n.Metrics(t.Context())
		require.NoError(t, err)
		running := metrics["agent_metrics_active_instances"].GetMetric()[0].GetGauge().GetValue()
		require.NotZero(t, running, "%s has no config, so its faults would hit nothing", n.Name)
	}
	return l
}

// writeTokens gives a node the same places on the ring in each run. With random ones, node a has none
// of twelve configs in one run of 130, and a fault of that node hits nothing.
func writeTokens(t *testing.T, n *node.Node) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, uint64(ring.Key(n.Name))))
	text, err := json.Marshal(map[string]any{"node": n.Name, "tokens": ring.NewTokens(128, nil, rnd.Uint32)})
	require.NoError(t, err)
	file := ringmaster.TokensPath(n.WALDirectory())
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, text, 0o600))
}

// awaitWell waits until the cluster is as an experiment needs it, and no tick was missed for a while.
func (l *lab) awaitWell(t *testing.T, e Experiment) {
	t.Helper()
	var missed int
	var since time.Time
	require.Eventually(t, func() bool {
		o, err := l.Observe(t.Context())
		ready := err == nil && len(e.Hypothesis.atRest(o)) == 0
		for _, n := range l.Nodes {
			ready = ready && n.Ready(t.Context())
		}
		if !ready || o.Missed != missed || since.IsZero() {
			missed, since = o.Missed, time.Now()
		}
		return time.Since(since) > 4*time.Second
	}, 2*time.Minute, 250*time.Millisecond)
}

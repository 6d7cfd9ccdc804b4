package cli_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/around"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/web"
)

func TestAnAgentIsBrokenListedAndHealed(t *testing.T) {
	faults := faulttest.New(t)
	server := httptest.NewServer(web.New(web.Options{Faults: faults, Node: "a"}))
	defer server.Close()
	code, out, errs := agentctl(t, "chaos", "points", "-a", server.URL)
	require.Zero(t, code, errs)
	for _, p := range fault.Points() {
		require.Contains(t, out, string(p.Point))
	}
	require.Contains(t, out, "StartInstance")
	code, out, errs = agentctl(t, "chaos", "inject", "actor.receive", "drop", "--messages", "StartInstance", "--probability", "0.5", "--duration", "1m", "-a", server.URL, "--all")
	require.Zero(t, code, errs)
	require.Contains(t, out, "is in force for 1m0s")
	require.Len(t, faults.Rules(), 1)
	require.Equal(t, 0.5, faults.Rules()[0].Probability)
	code, out, _ = agentctl(t, "chaos", "list", "-a", server.URL)
	require.Zero(t, code)
	require.Contains(t, out, "actor.receive drop")
	code, _, errs = agentctl(t, "chaos", "clear", "-a", server.URL)
	require.Zero(t, code, errs)
	require.Empty(t, faults.Rules())
	_, out, _ = agentctl(t, "chaos", "list", "-a", server.URL)
	require.Contains(t, out, "nothing is broken on purpose")
}

func TestAFaultThatMakesNoSenseIsAMistakeInTheCommandLine(t *testing.T) {
	code, _, errs := agentctl(t, "chaos", "inject", "disk", "error")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "there is no point")
}

func TestAnExperimentIsPlayedOverTheAPI(t *testing.T) {
	faults := faulttest.New(t)
	registry := prometheus.NewRegistry()
	registry.MustRegister(around.Metrics(faults))
	server := httptest.NewServer(web.New(web.Options{Faults: faults, Node: "a", Cluster: oneNode{faults: faults}, Gatherer: registry}))
	defer server.Close()
	directory := t.TempDir()
	file, report := filepath.Join(directory, "e.yaml"), filepath.Join(directory, "r.html")
	require.NoError(t, os.WriteFile(file, []byte("title: T\nhypothesis: {unowned: 0, missed: 0, within: 1s}\nduration: 1s\nmethod: [{rule: {point: clock, action: skew, delay: 1s}}]\n"), 0o600))
	code, out, errs := agentctl(t, "chaos", "run", file, "-a", server.URL, "--report", report)
	require.Zero(t, code, errs)
	require.Contains(t, out, "T: the hypothesis holds")
	require.NotEmpty(t, faults.Hits(), "the rule was in force")
	require.Empty(t, faults.Rules(), "and is not any more")
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	require.Contains(t, string(text), "<svg")
	require.NoError(t, os.WriteFile(file, []byte("title: T\nhypothesis: {doubled: 0}\nduration: 1s\nmethod: [{rule: {point: clock, action: skew, delay: 1s}}]\n"), 0o600))
	code, out, _ = agentctl(t, "chaos", "run", file, "-a", server.URL)
	require.Equal(t, 1, code)
	require.Contains(t, out, "nobody counts")
	code, _, errs = agentctl(t, "chaos", "run", file, "-a", server.URL, "--report", "r.pdf")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "html, json and junit")
	require.NoError(t, os.WriteFile(file, []byte("title: T\nhypothesis: {unowned: 0}\nduration: 1s\nmethod: [{command: kill, node: b}]\n"), 0o600))
	code, _, errs = agentctl(t, "chaos", "run", file, "-a", server.URL)
	require.Equal(t, 2, code)
	require.Contains(t, errs, "nothing says how to kill node b")
	require.Contains(t, errs, "--commands")
}

func TestEveryActionOfEveryPointIsPutInForceFromTheCommandLine(t *testing.T) {
	faults := faulttest.New(t)
	server := httptest.NewServer(web.New(web.Options{Faults: faults, Node: "a"}))
	defer server.Close()
	for _, p := range fault.Points() {
		for _, a := range p.Actions {
			code, _, errs := agentctl(t, "chaos", "inject", string(p.Point), string(a), "--delay", "1s", "--nodes", "elsewhere", "-a", server.URL)
			require.Zero(t, code, errs)
			require.Len(t, faults.Rules(), 1)
			require.Equal(t, []any{p.Point, a}, []any{faults.Rules()[0].Point, faults.Rules()[0].Action})
			require.Equal(t, 1, faults.Clear("test"))
		}
	}
}

func TestNodesAreKilledByProgramsThatTheUserNames(t *testing.T) {
	faults := faulttest.New(t)
	server := httptest.NewServer(web.New(web.Options{Faults: faults, Node: "a", Cluster: oneNode{}, Gatherer: prometheus.NewRegistry()}))
	defer server.Close()
	directory := t.TempDir()
	file, commands, report := filepath.Join(directory, "e.yaml"), filepath.Join(directory, "c.yaml"), filepath.Join(directory, "r.html")
	require.NoError(t, os.WriteFile(file, []byte("title: T\nhypothesis: {unowned: 0}\nduration: 1s\nmethod: [{command: kill, node: b}]\n"), 0o600))
	require.NoError(t, os.WriteFile(commands, []byte("kill: [touch, '"+directory+"/killed-{node}']\n"), 0o600))
	code, _, errs := agentctl(t, "chaos", "run", file, "-a", server.URL, "--commands", commands)
	require.Equal(t, 2, code)
	require.Contains(t, errs, "nothing says how to start node b after the kill")
	require.NoFileExists(t, filepath.Join(directory, "killed-b"), "nothing is begun that can't be undone")
	require.NoError(t, os.WriteFile(commands, []byte("kill: [touch, '"+directory+"/killed-{node}']\nstart: [touch, '"+directory+"/started-{node}']\n"), 0o600))
	code, out, errs := agentctl(t, "chaos", "run", file, "-a", server.URL, "--commands", commands, "--report", report)
	require.Zero(t, code, errs+out)
	require.FileExists(t, filepath.Join(directory, "killed-b"))
	require.FileExists(t, filepath.Join(directory, "started-b"))
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	require.Contains(t, string(text), "touch "+directory+"/started-b")
	for address, want := range map[string]string{"0.0.0.0:0": "that agents reach", "nowhere": "that agents reach"} {
		code, _, errs = agentctl(t, "chaos", "run", file, "-a", server.URL, "--commands", commands, "--probe", address)
		require.Equal(t, 2, code)
		require.Contains(t, errs, want)
	}
}

// oneNode is a cluster of one that is well.
type oneNode struct {
	web.Cluster
	faults *fault.Registry
}

// State looks at the clock, as an agent does.
func (n oneNode) State(context.Context, web.Scope) (web.ClusterState, error) {
	n.faults.Decide(fault.Event{Point: fault.Clock})
	return web.ClusterState{}, nil
}

func TestAnAgentThatMayNotBeBrokenSaysWhatToDo(t *testing.T) {
	server := httptest.NewServer(web.New(web.Options{}))
	defer server.Close()
	code, _, errs := agentctl(t, "chaos", "inject", "actor.receive", "drop", "-a", server.URL)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "-chaos.enabled")
}

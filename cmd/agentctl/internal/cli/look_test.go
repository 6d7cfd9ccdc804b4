package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web"
)

// world is a small cluster, all of it told by one node.
type world struct {
	forgotten []string
	ordered   []web.Order
}

func (w *world) Instances(_ context.Context, config string) ([]web.Instance, error) {
	all := []web.Instance{
		{Name: "team/api", Phase: "running", Revision: 7, Endpoints: []web.Endpoint{{
			Name: "main", URL: "http://receiver/", Sent: 1_000_000, Dropped: map[string]uint64{"rejected": 3}, LastError: "out of bounds", LastErrorAt: time.Now(), LastSuccess: time.Now(),
		}}},
		{Name: "sick", Phase: "quarantined", Quarantined: true, LastError: "open wal: no space"},
	}
	return slices.DeleteFunc(all, func(i web.Instance) bool { return config != "" && i.Name != config }), nil
}

func (w *world) Targets(_ context.Context, wanted func(web.UnitTargets) bool) ([]web.Target, error) {
	if wanted != nil && !wanted(web.UnitTargets{Config: "team/api", Up: 1, Down: 1}) {
		return nil, nil
	}
	return []web.Target{
		{Instance: "team/api", TargetGroup: "api", Endpoint: "http://10.0.0.7:9100/metrics", State: "up", Labels: labels.FromStrings("job", "api"), Samples: 5, LastScrape: time.Now()},
		{Instance: "team/api", TargetGroup: "api", Endpoint: "http://10.0.0.8:9100/metrics", State: "down", ScrapeError: "connection refused", Labels: labels.FromStrings("job", "b")},
	}, nil
}
func (w *world) Appendable(string) (storage.AppendableV2, bool) { return nil, false }
func (w *world) Scrape(_ context.Context, t web.Target) (web.Answer, error) {
	if t.State == "down" {
		return web.Answer{Error: "connection refused"}, nil
	}
	return web.Answer{Status: "200 OK", Parsed: true, Samples: 1, Bytes: 5, Body: "up 1\n"}, nil
}
func (w *world) Discovered(context.Context, string, bool) ([]web.DiscoveredJob, error) {
	return nil, nil
}
func (w *world) State(_ context.Context, of web.Scope) (web.ClusterState, error) {
	members, _ := w.Members(context.Background())
	state := web.ClusterState{
		Settled: true, Permitted: true, Members: members,
		Units: []web.Unit{{Config: "team/api", Owner: "node-1", ClaimedBy: "node-1", Epoch: 3}, {Config: "sick", Owner: "node-1"}},
		Held:  []web.Standing{{Kind: web.HoldConfig, Name: "sick", By: "ann", Reason: "too much"}},
		Moves: []web.Move{{Config: "team/api", To: "node-1", At: time.Now(), Reason: "first claimed"}},
	}
	state.Units = slices.DeleteFunc(state.Units, func(u web.Unit) bool { return of.Members || of.Config != "" && u.Config != of.Config })
	return state, nil
}
func (w *world) Plan(context.Context, web.Change) (web.Plan, error) {
	return web.Plan{Units: 2, Moved: 1, Nodes: []web.PlannedNode{{Node: "node-1", Before: 1, After: 2}}}, nil
}
func (w *world) Retry(_ context.Context, config string) (bool, error) {
	return config == "sick" || config == "team/api", nil
}
func (w *world) Order(_ context.Context, o web.Order) error {
	switch {
	case o.Name == "stranger":
		return cluster.ErrNotFound
	case o.Kind == web.DrainNode && !o.Force:
		return fmt.Errorf("%w: too few other nodes", web.ErrOrderRefused)
	}
	w.ordered = append(w.ordered, o)
	return nil
}
func (w *world) Members(context.Context) ([]web.Member, error) {
	return []web.Member{{ID: "node-1", State: web.StateActive, Share: 1, Cordon: &web.Standing{Kind: web.DrainNode}}}, nil
}
func (w *world) Forget(_ context.Context, id string) error {
	if id == "node-1" {
		return web.ErrForgetSelf
	}
	if id != "node-2" {
		return cluster.ErrNotFound
	}
	w.forgotten = append(w.forgotten, id)
	return nil
}

func startWorld(t *testing.T) (*agent, *world) {
	t.Helper()
	w := &world{}
	return startAgent(t, web.Options{
		Node: "node-1", Instances: w, Inspector: w, Cluster: w, Ring: w, ReadAPI: true, Faults: faulttest.New(t),
	}, map[string]string{"team/api": configText("api", "x")}), w
}

func TestWhatAnOnCallPersonAsks(t *testing.T) {
	a, _ := startWorld(t)
	for _, tc := range []struct {
		args []string
		want []string
		not  string
	}{
		{[]string{"status"}, []string{"Look at this: 1 config is quarantined", "open wal: no space", "out of bounds", "connection refused"}, ""},
		{[]string{"targets", "--down"}, []string{"TARGET", "http://10.0.0.8:9100/metrics", "down", "connection refused"}, "10.0.0.7"},
		{[]string{"targets", "--search", "0.0.7"}, []string{"10.0.0.7"}, "10.0.0.8"},
		{[]string{"targets", "--label", "job=zzz"}, []string{"There are no such targets."}, "TARGET"},
		{[]string{"endpoints"}, []string{"refused", "http://receiver/", "1000000", "out of bounds"}, "e+06"},
		{[]string{"configs", "list"}, []string{"sick", "quarantined", "team/api"}, ""},
		{[]string{"configs", "list", "--state", "quarantined"}, []string{"sick"}, "team/api"},
		{[]string{"configs", "get", "team/api"}, []string{"job_name: api", "<secret>"}, "password: x"},
		{[]string{"configs", "retry", "sick"}, []string{"tried again on node-1"}, ""},
		{[]string{"units"}, []string{"unclaimed", "claimed", "node-1"}, ""},
		{[]string{"cluster"}, []string{"2 configs", "node-1", "ACTIVE", "100.0%", "first claimed"}, ""},
		{[]string{"plan", "leave", "node-2"}, []string{"1 of 2 units would move", "node-1"}, ""},
		{[]string{"scrape", "team/api", "10.0.0.7"}, []string{"200 OK", "up 1"}, ""},
	} {
		code, out, errs := agentctl(t, append(tc.args, "-a", strings.TrimPrefix(a.URL, "http://"))...)
		require.Equal(t, 0, code, "%v: %s", tc.args, errs)
		for _, want := range tc.want {
			require.Contains(t, out, want, tc.args)
		}
		if tc.not != "" {
			require.NotContains(t, out, tc.not, tc.args)
		}
	}
}

func TestMistakesAndRefusalsHaveTheirExitCodes(t *testing.T) {
	a, w := startWorld(t)
	for _, tc := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"targets", "-o", "xml"}, 2, "want table, json or yaml"},
		{[]string{"targets", "--state", "sick"}, 1, "state: want one of"},
		{[]string{"configs", "get", "nobody"}, 1, "there is no config of this name"},
		{[]string{"configs", "delete", "nobody"}, 1, "there is no config of this name"},
		{[]string{"configs", "retry", "nobody"}, 1, `no node has an instance "nobody"`},
		{[]string{"configs", "put", "a"}, 2, "missing FILE: agentctl configs put NAME FILE"},
		{[]string{"forget", "node-2"}, 2, "say --yes"},
		{[]string{"forget", "node-1", "--yes"}, 1, "a node can't forget itself"},
		{[]string{"forget", "node-9", "--yes"}, 1, "no member of this name"},
		{[]string{"scrape", "team/api", "nothing"}, 1, `has no target "nothing"`},
		{[]string{"scrape", "team/api", "9100"}, 2, "2 targets of config"},
		{[]string{"scrape", "team/api", "10.0.0.8"}, 1, "a scrape would fail: connection refused"},
		{[]string{"plan", "join", "x"}, 1, "join: want a number"},
		{[]string{"relabel", "rules.yaml"}, 2, "give at least one --label"},
		{[]string{"targets", "--dwon"}, 2, "unknown flag: --dwon; did you mean --down?"},
		{[]string{"configs", "lits"}, 2, "did you mean list?"},
		{[]string{"chaos", "inejct"}, 2, "did you mean inject?"},
		{[]string{"forget", "a", "b"}, 2, `unexpected argument "b": agentctl forget takes NODE`},
		{[]string{"units", "a"}, 2, `unexpected argument "a": agentctl units takes no arguments`},
		{[]string{"tail"}, 2, "missing CONFIG"},
		{[]string{"tail", "nobody"}, 1, `there is no config "nobody"`},
		{[]string{"tail", "team/api", "--interval", "0s"}, 2, "--interval must be greater than 0"},
		{[]string{"targets", "--watch=-1s"}, 2, "want a duration greater than 0"},
		{[]string{"configs", "diff", "team/api", "nothing-there.yaml"}, 1, "no such file"},
		{[]string{"configs", "history", "nobody"}, 1, `there is no config "nobody"`},
		{[]string{"stauts"}, 2, "did you mean status?"},
		{[]string{"staus", "-a", "x"}, 2, `unknown command "staus" for "agentctl"; did you mean status? (`},
		{[]string{"-a", "x", "staus"}, 2, "did you mean status?"},
		{[]string{"--addr", "x", "--down", "tragets"}, 2, "did you mean targets?"},
		{[]string{"--no-such-flag", "staus"}, 2, "did you mean status?"},
		{[]string{"configs", "-a", "x", "lits"}, 2, `unknown command "lits" for "agentctl configs"; did you mean list?`},
		{[]string{"zzzzzz"}, 2, `unknown command "zzzzzz" for "agentctl" (`},
		{[]string{"--no-such-flag"}, 2, "unknown flag: --no-such-flag"},
	} {
		code, _, errs := agentctl(t, append(tc.args, "-a", a.URL, "--retries", "0")...)
		require.Equal(t, tc.code, code, "%v: %s", tc.args, errs)
		require.Contains(t, errs, tc.errs, tc.args)
	}
	require.Empty(t, w.forgotten)
}

func TestProgramsGetJSONAndYAML(t *testing.T) {
	a, _ := startWorld(t)
	for _, args := range [][]string{
		{"status"}, {"targets"}, {"endpoints"}, {"configs", "list"}, {"units"}, {"cluster"}, {"plan", "join", "1"}, {"scrape", "team/api", "10.0.0.7"}, {"configs", "retry", "sick"},
		{"targets", "--search", "nothing-has-this"},
	} {
		code, out, errs := agentctl(t, append(slices.Clone(args), "-a", a.URL, "-o", "json")...)
		require.Equal(t, 0, code, "%v: %s", args, errs)
		var value any
		require.NoError(t, json.Unmarshal([]byte(out), &value), out)
		require.NotNil(t, value)
		code, out, errs = agentctl(t, append(slices.Clone(args), "-a", a.URL, "-o", "yaml")...)
		require.Equal(t, 0, code, "%v: %s", args, errs)
		require.NoError(t, yaml.Unmarshal([]byte(out), &value), out)
	}
}

func TestAFileIsCheckedAsWhatItIs(t *testing.T) {
	dir := directory(t, map[string]string{
		"agent.yaml":      "server: {log_level: info}\n",
		"api.yaml":        configText("api", "x"),
		"broken.yaml":     "scrape_configs:\n  - job_name: a\n    bogus: 1\n",
		"prometheus.yaml": "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: a}]\n",
		"t1.yaml":         "name: bogus\nscrape_configs: []\nfoo: 1\n",
	})
	for file, want := range map[string]struct {
		code      int
		out, errs string
	}{
		"agent.yaml":      {0, "agent.yaml is valid\n", ""},
		"api.yaml":        {0, "is a valid instance config; upload it with: agentctl configs put api", ""},
		"broken.yaml":     {1, "", "broken.yaml:3: instance \"broken\": scrape_configs[0].bogus: unknown key"},
		"t1.yaml":         {1, "", `name: the text says "bogus", but the config is uploaded as "t1"`},
		"prometheus.yaml": {1, "", "is a config of Prometheus, not of an agent: agentctl import"},
	} {
		code, out, errs := agentctl(t, "config-check", filepath.Join(dir, file))
		require.Equal(t, want.code, code, "%s: %s", file, errs)
		require.Contains(t, out, want.out, file)
		require.Contains(t, errs, want.errs, file)
	}
}

// commandsBelow are all commands that have none below them, as the help tells them.
func commandsBelow(t *testing.T, path ...string) (leaves [][]string) {
	t.Helper()
	_, out, _ := agentctl(t, append(slices.Clone(path), "--help")...)
	_, list, found := strings.Cut(out, "Available Commands:\n")
	if !found {
		return [][]string{path}
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" {
			leaves = append(leaves, commandsBelow(t, append(slices.Clone(path), name)...)...)
		}
	}
	return leaves
}

func TestEveryCommandHasAnExampleThatWorks(t *testing.T) {
	t.Chdir(directory(t, map[string]string{
		"agent.yaml": "server: {log_level: info}\n", "api.yaml": configText("api", "x"), "rules.yaml": "- {action: labeldrop, regex: job}\n",
		"grafana-agent.yaml": "metrics: {configs: [{name: a, scrape_configs: [{job_name: a}]}]}\n",
		"skewed-clock.yaml":  "title: A skewed clock\nhypothesis: {unowned: 0, within: 1s}\nduration: 1s\nmethod: [{rule: {point: clock, action: skew, delay: 1s}}]\n",
		"prometheus.yml":     "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]\n",
	}))
	writeLog(t, filepath.Join("data-agent", "api"))
	require.NoError(t, os.Mkdir("configs", 0o700))
	require.NoError(t, os.WriteFile("configs/team.yaml", []byte(configText("team", "x")), 0o600))
	require.NoError(t, os.WriteFile(".agent-password", []byte("x"), 0o600))
	commands := commandsBelow(t)
	require.Greater(t, len(commands), 18)
	for _, command := range commands {
		_, help, _ := agentctl(t, append(slices.Clone(command), "--help")...)
		_, examples, found := strings.Cut(help, "Examples:\n")
		require.True(t, found, "%v has no example", command)
		examples, _, _ = strings.Cut(examples, "\n\nFlags:")
		ran := 0
		for line := range strings.Lines(examples) {
			_, line, isCommand := strings.Cut(strings.TrimSpace(line), "agentctl ")
			if !isCommand || strings.HasPrefix(line, "#") {
				continue
			}
			a, _ := startWorld(t)
			if command[0] == "config-sync" {
				a = startAgent(t, web.Options{}, nil)
			}
			args := arguments(strings.TrimSpace(line), a.URL)
			if !slices.Contains([]string{"config-check", "import", "completion", "wal-stats", "target-stats", "sample-stats"}, args[0]) && !slices.Contains(args, a.URL) {
				args = append(args, "-a", a.URL)
			}
			code, out, errs := agentctl(t, args...)
			require.Contains(t, []int{0, 3}, code, "agentctl %s\n%s%s", line, out, errs)
			ran++
		}
		require.Positive(t, ran, "%v", command)
	}
}

// arguments reads a command line as a shell does, as far as examples need it, with the agent's
// address in place of any.
func arguments(line, address string) (args []string) {
	var word strings.Builder
	quoted, has := false, false
	for _, c := range line + " " {
		switch {
		case c == '\'':
			quoted, has = !quoted, true
		case c == ' ' && !quoted:
			if has {
				args = append(args, strings.Replace(word.String(), "~/", "", 1))
			}
			word.Reset()
			has = false
		default:
			word.WriteRune(c)
			has = true
		}
	}
	for i := range args {
		if i > 0 && (args[i-1] == "-a" || args[i-1] == "--addr") {
			args[i] = address
		}
	}
	return args
}

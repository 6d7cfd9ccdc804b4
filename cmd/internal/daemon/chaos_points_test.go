package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster/memstore"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// shown is how a point is shown on whole agents. All its actions are in force at once, each for two
// events on each agent unless its rule says otherwise.
type shown struct {
	// every is more fields of all rules, rules are those of one action, as JSON.
	every string
	rules map[fault.Action]string
	// effects are what agents log of it beside their hits, as regular expressions.
	effects []string
}

// shownPoints has a row for each point. TestTidyEveryPointOfFaultsIsShownOnAWholeAgent looks for it
// here.
var shownPoints = map[fault.Point]shown{
	"actor.receive":        {every: `{"actors": "instance"}`, effects: []string{`fault hit.*actor.receive-stall`, `actor panicked.*actor.receive-panic`}},
	"actor.send":           {every: `{"actors": "instance"}`, effects: []string{`fault hit.*actor.send-drop`}},
	"actor.spawn":          {every: `{"actors": "instance"}`, effects: []string{`instance failed.*actor.spawn-error`}},
	"pipeline.open":        {effects: []string{`instance failed.*pipeline.open-error`, `data path panicked.*pipeline.open-panic`}},
	"store.read":           {rules: map[fault.Action]string{fault.Error: `{"count": 5}`}, effects: []string{`injected .fault ."store.read-`}},
	"store.write":          {rules: map[fault.Action]string{fault.Hang: `{"messages": "collectors/*"}`}, effects: []string{`injected .fault ."store.write-`}},
	"store.watch":          {effects: []string{`watch missed changes; listing again`}},
	"store.session":        {effects: []string{`session expired; rejoining`, `node can't join.*store.session-error`}},
	"gossip.send":          {every: `{"count": 1}`},
	"gossip.receive":       {every: `{"count": 1}`},
	"disk.open":            {every: `{"units": "fresh-*"}`, rules: map[fault.Action]string{fault.Error: `{"count": 50}`}, effects: []string{`instance failed.*input/output error`}},
	"disk.read":            {},
	"disk.write":           {rules: map[fault.Action]string{fault.Flip: `{"units": "fresh-*"}`}, effects: []string{`(WAL write failed|instance failed).*input/output error`}},
	"disk.sync":            {effects: []string{`disk.sync-error`}},
	"remote_write.request": {every: `{"count": 1}`, effects: []string{`remote write fails and is retried`}},
	"scrape.request":       {every: `{"units": "app-*"}`, effects: []string{`target changed its state.*"to": "down"`, `instance failed.*scrape.request-panic`}},
	"discovery.update":     {},
	"clock":                {rules: map[fault.Action]string{fault.Suspend: `{"delay": "1m", "count": 1}`}, effects: []string{`machine was suspended`}},
	"process":              {rules: map[fault.Action]string{fault.Memory: `{"bytes": 1048576}`}, effects: []string{`an injected fault ends the process`}},
}

// pointsLab is two agents that share configs, whose targets and receiver are in the test.
type pointsLab struct {
	agents  []*running
	targets toy.Targets
	ledger  toy.Ledger
	server  *httptest.Server
	exits   atomic.Int64
	configs []string
	// fresh is how many configs have come that go by a discovery.
	fresh int
}

func startPointsLab(t *testing.T) *pointsLab {
	t.Helper()
	l := &pointsLab{}
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, &l.targets)
	mux.Handle("/write", &l.ledger)
	mux.HandleFunc("/found", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"targets": [%q]}]`, l.server.Listener.Addr())
	})
	l.server = httptest.NewServer(mux)
	t.Cleanup(l.server.Close)
	address := l.server.Listener.Addr().String()
	store := memstore.NewServer(nil)
	for _, name := range []string{"a", "b"} {
		agent := load(t, fmt.Sprintf("metrics: {wal_directory: %s, instance_restart_backoff: 100ms, scraping_service: {enabled: true, reshard_interval: 1s, kvstore: {store: inmemory}, lifecycler: {id: %s}}}",
			filepath.Join(t.TempDir(), "wal"), name))
		l.agents = append(l.agents, startDaemon(t, Options{Agent: agent, sharedStore: store.Connect(), Chaos: true, Exit: func() { l.exits.Add(1) }}))
	}
	for i := range 4 {
		name := fmt.Sprintf("app-%d", i)
		l.put(t, name, fmt.Sprintf("static_configs: [{targets: [%q]}]", address))
		l.configs = append(l.configs, name)
	}
	return l
}

// put uploads a config of one target, which is found by a discovery.
func (l *pointsLab) put(t *testing.T, name, discovery string) {
	t.Helper()
	address := l.server.Listener.Addr().String()
	text := fmt.Sprintf("scrape_configs: [{job_name: %s, metrics_path: %s%s, scrape_interval: 200ms, scrape_timeout: 200ms, %s}]\n"+
		"remote_write: [{url: 'http://%s/write', queue_config: {batch_send_deadline: 50ms, min_backoff: 30ms, max_backoff: 100ms}}]\n",
		name, toy.TargetsPath, name, discovery, address)
	status, answer := l.agents[0].send(t, http.MethodPut, "/agent/api/v1/config/"+name, text)
	require.NotEqual(t, http.StatusBadRequest, status, answer) // a fault may have it fail
}

// freshKept is how many configs that have come remain.
const freshKept = 8

// stir has a config come, and an older one go, so that something happens at every point.
func (l *pointsLab) stir(t *testing.T) {
	t.Helper()
	if l.fresh++; l.fresh > freshKept {
		l.deleteFresh(t, l.fresh-freshKept)
	}
	l.putFresh(t, l.fresh)
}

func (l *pointsLab) putFresh(t *testing.T, n int) {
	t.Helper()
	l.put(t, fmt.Sprintf("fresh-%d", n), fmt.Sprintf("http_sd_configs: [{url: %q}]", l.server.URL+"/found"))
}

func (l *pointsLab) deleteFresh(t *testing.T, n int) {
	t.Helper()
	l.agents[1].request(t, http.MethodDelete, fmt.Sprintf("/agent/api/v1/config/fresh-%d", n))
}

// hits is how often each action of a point has hit on any agent.
func (l *pointsLab) hits(t *testing.T, p fault.Point) map[fault.Action]int {
	t.Helper()
	found := map[fault.Action]int{}
	line := regexp.MustCompile(`agent_chaos_hits_total\{action="([a-z_]+)",point="` + regexp.QuoteMeta(string(p)) + `"\} (\d+)`)
	for _, agent := range l.agents {
		_, text := agent.request(t, http.MethodGet, "/metrics")
		for _, match := range line.FindAllStringSubmatch(text, -1) {
			var n int
			_, _ = fmt.Sscan(match[2], &n)
			found[fault.Action(match[1])] += n
		}
	}
	return found
}

// logs is what the agents have logged since their logs were so long.
func (l *pointsLab) logs(since []int) string {
	var all strings.Builder
	for i, agent := range l.agents {
		all.WriteString(agent.every.String()[since[i]:])
	}
	return all.String()
}

// inject puts a rule in force on all agents.
func (l *pointsLab) inject(t *testing.T, p fault.Point, a fault.Action, more ...string) {
	t.Helper()
	rule := map[string]any{"point": p, "action": a, "count": 2, "duration": "5m"}
	if slices.Contains([]fault.Action{fault.Delay, fault.Reorder, fault.Skew}, a) {
		rule["delay"] = "100ms"
	}
	for _, fields := range more {
		if fields != "" {
			require.NoError(t, json.Unmarshal([]byte(fields), &rule))
		}
	}
	text, err := json.Marshal(rule)
	require.NoError(t, err)
	for _, agent := range l.agents { // see clear
		status, answer := agent.send(t, http.MethodPut, "/agent/api/v1/chaos/rules/"+string(p)+"-"+string(a), string(text))
		require.Equal(t, http.StatusOK, status, answer)
	}
}

// clear takes all rules back. Each agent is asked: one that is just joining again is no member that
// another could tell.
func (l *pointsLab) clear(t *testing.T) {
	t.Helper()
	for _, agent := range l.agents {
		status, answer := agent.send(t, http.MethodPost, "/agent/api/v1/chaos/clear", "")
		require.Equal(t, http.StatusOK, status, answer)
	}
}

// deleteAgain writes and deletes the configs that were deleted. After stale listings a node takes
// the store for another one. What is deleted at that time goes on there until somebody does this.
func (l *pointsLab) deleteAgain(t *testing.T) {
	t.Helper()
	for n := 1; n <= l.fresh-freshKept; n++ {
		l.putFresh(t, n)
		l.deleteFresh(t, n)
	}
}

// requireWell waits until no rule is in force and the agents scrape and send everything.
func (l *pointsLab) requireWell(t *testing.T) {
	t.Helper()
	before := map[string]int{}
	for _, name := range l.configs {
		before[name] = len(l.targets.Arrivals(name))
	}
	again := false
	l.await(t, func() (missing string) {
		for _, agent := range l.agents {
			if status, text := agent.request(t, http.MethodGet, "/-/ready"); status != http.StatusOK {
				return text
			}
			if _, text := agent.request(t, http.MethodGet, "/metrics"); !strings.Contains(text, "\nagent_chaos_active 0\n") {
				return "faults are in force"
			}
			if _, text := agent.request(t, http.MethodGet, "/agent/api/v1/cluster"); !strings.Contains(text, `"unowned":0`) {
				if !again && strings.Contains(text, "they go on until they are written or deleted there") {
					again = true
					l.deleteAgain(t)
				}
				return text
			}
		}
		for _, name := range l.configs {
			if last, ok := l.ledger.Last(name); !ok || last.Number <= uint64(before[name]) {
				return name + " is not scraped, or not sent"
			}
		}
		return ""
	})
}

// await asks until nothing is missing. It asks in the test's own goroutine, which may fail.
func (l *pointsLab) await(t *testing.T, ask func() (missing string)) {
	t.Helper()
	ticker, deadline := time.NewTicker(50*time.Millisecond), time.Now().Add(2*patience)
	defer ticker.Stop()
	for {
		missing := ask()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			for _, agent := range l.agents {
				log := agent.log.String()
				t.Log(log[max(0, len(log)-8000):])
			}
			require.FailNow(t, missing)
		}
		<-ticker.C
	}
}

// show breaks the agents at a point, and waits until every action has hit and its effects are seen.
func (l *pointsLab) show(t *testing.T, point fault.Info, row shown) {
	t.Helper()
	before, since := l.hits(t, point.Point), []int{}
	for _, agent := range l.agents {
		since = append(since, len(agent.every.String()))
	}
	for _, action := range point.Actions {
		l.inject(t, point.Point, action, row.every, row.rules[action])
	}
	l.await(t, func() (missing string) {
		l.stir(t)
		now, logged := l.hits(t, point.Point), l.logs(since)
		for _, action := range point.Actions {
			if now[action] == before[action] {
				return string(action) + " has not hit"
			}
		}
		for _, effect := range row.effects {
			if !regexp.MustCompile(effect).MatchString(logged) {
				return "the logs don't have " + effect
			}
		}
		return ""
	})
	l.clear(t)
}

func TestEveryPointBreaksWholeAgentsWhichAreWellAgainAfterwards(t *testing.T) {
	l := startPointsLab(t)
	l.requireWell(t)
	for _, point := range fault.Points() {
		row, known := shownPoints[point.Point]
		require.True(t, known, "%s: give it a row in shownPoints", point.Point)
		require.True(t, t.Run(string(point.Point), func(t *testing.T) {
			began := time.Now()
			l.show(t, point, row)
			l.requireWell(t)
			t.Log(time.Since(began))
		}))
	}
	require.Len(t, shownPoints, len(fault.Points()))
	require.NotZero(t, l.exits.Load(), "the process was to end")
	for _, agent := range l.agents {
		require.NoError(t, agent.end(t))
	}
}

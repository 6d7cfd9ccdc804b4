package processtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// played is a block of a page: how it begins, and how it is played or why it is not.
type played struct {
	first  string
	play   func(c *company, block string)
	reason string
}

// as plays a block as it is; exits are the codes of its steps.
func as(exits ...int) func(*company, string) {
	return func(c *company, block string) { c.play(block, exits...) }
}

// onANodeThatRunsSomething plays a question that a node answers for itself only.
func onANodeThatRunsSomething(c *company, block string) {
	eventually(c.t, func() bool {
		for _, a := range c.agents {
			s := steps(block)[0]
			s.command = strings.ReplaceAll(s.command, "localhost:12345", strings.TrimPrefix(a.base, "http://"))
			if c.differs(s, 0) == "" {
				return true
			}
		}
		return false
	}, "no node answers as the page shows")
}

const (
	bySmoke  = "packaging/smoke.sh installs the packages and starts the image"
	byCharts = "the tests of packaging/tools render the chart and decode the manifests; there is no cluster here"
)

var playbook = map[string][]played{
	"README.md": {
		{first: "go run ./cmd/demo ", reason: "the tests of cmd/demo play the demo, and this is go test"},
		{first: "prometheus --config.file", play: quickStart},
		{first: "go run ./cmd/demo -nodes 3", reason: "TestTheExperimentsHold plays the file, for minutes"},
	},
	"docs/agentctl.md": {
		{first: "agentctl status", play: func(c *company, block string) {
			answers := steps(block)
			code, _ := c.run(answers[0].command)
			require.Zero(c.t, code)
			eventually(c.t, func() bool {
				_, printed := c.run(answers[1].command)
				return printed == "http://127.0.0.1:1/metrics\n"
			}, "the target that is down is never listed")
		}},
		{first: "agentctl config-sync", play: as(3, 0)},
		{first: "agentctl config-sync", play: func(c *company, block string) {
			_, printed := c.run(strings.Replace(block, "agentctl config-sync", "set +e; agentctl config-sync", 1))
			require.Contains(c.t, printed, "differs")
			c.play("agentctl config-sync configs")
			_, printed = c.run(block)
			require.Equal(c.t, "in step", lastLine(printed))
		}},
		{first: "agentctl config-check", play: func(c *company, block string) {
			c.write("agent.yaml", "metrics:\n  bogus: 1\n")
			both := steps(block)
			c.play("$ "+both[0].command+"\n"+both[0].shown, 1)
			c.write("agent.yaml", "metrics: {wal_directory: '${HOME:-/tmp}'}\n")
			c.play("$ " + both[1].command + "\n" + both[1].shown)
		}},
		{first: "agentctl import", play: func(c *company, block string) {
			c.write("grafana-agent.yaml", "metrics: {global: {scrape_interval: 1m}}\nlogs: {}\n")
			c.write("prometheus.yml", fmt.Sprintf("scrape_configs: [{job_name: api, static_configs: [{targets: ['%s']}]}]\n", c.target))
			c.write("other/configs/node.yaml", "scrape_configs: []\n")
			c.play(block)
		}},
		{first: "agentctl wal-stats", play: func(c *company, block string) {
			logs := filepath.Join(c.directory, "data-agent")
			eventually(c.t, func() bool {
				found, err := filepath.Glob(filepath.Join(c.logs, "node-*", "wal", "api"))
				require.NoError(c.t, err)
				if len(found) == 0 {
					return false
				}
				_ = os.Remove(logs)
				return os.Symlink(filepath.Dir(found[0]), logs) == nil
			}, "no agent has a log of api")
			c.play(block)
		}},
	},
	"docs/api.md": {
		{first: "curl -s localhost:12345/agent/api/v1/configs", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/configs?digests=true'", play: as()},
		{first: "curl -s localhost:12345/agent/api/v1/configs/team%2Fapi", play: as()},
		{first: "curl -s -X PUT", play: as()},
		{first: "curl -s -X DELETE", play: as()},
		{first: "curl -s localhost:12345/agent/api/v1/metrics/instances/status", play: onANodeThatRunsSomething},
		{first: "curl -s -X POST localhost:12345/agent/api/v1/metrics/instance/team%2Fapi/retry", play: as()},
		{first: "curl -s -X POST -d", play: as()},
		{first: "after=", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/cluster?limit=1'", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/cluster/units?", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/cluster/instances?", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/cluster/targets?", play: as()},
		{first: "curl -s -X POST -d", play: as()},
		{first: "curl -s 'localhost:12345/agent/api/v1/cluster/plan?", play: as()},
		{first: "curl -s -X PUT 'localhost:12345/agent/api/v1/chaos/rules/full", play: func(c *company, block string) {
			c.play(block)
			c.play("agentctl chaos clear")
		}},
		{first: "curl -s -H 'Accept: application/json' localhost:12345/debug/ring", play: func(c *company, block string) {
			answers := steps(block)
			c.play("$ " + answers[0].command + "\n" + answers[0].shown)
			_, printed := c.run(answers[1].command)
			require.Equal(c.t, "HTTP/1.1 404 Not Found", strings.TrimSpace(printed), "there is no node-9; TestMembersCanBeForgotten forgets one")
		}},
		{first: "curl -sf localhost:12345/-/ready", play: as()},
	},
	"docs/chaos.md": {
		{first: "agentctl chaos points", play: as()},
		{first: "curl -X PUT localhost", play: func(c *company, block string) {
			c.play("$ " + strings.ReplaceAll(block, "\n", " ") + "\n" + `{"status": "success"}`)
			c.play("agentctl chaos clear")
		}},
	},
	"docs/install.md": {
		{first: "dpkg -i", reason: bySmoke},
		{first: "podman run", reason: bySmoke},
		{first: "helm install", reason: byCharts},
		{first: "go build", reason: "what builds this test builds them"},
	},
	"docs/migration.md": {
		{first: "agentctl config-check", play: func(c *company, block string) {
			c.write("agent.yaml", "metrics: {wal_directory: wal}\n")
			c.play(block)
		}},
		{first: "mkdir /tmp/try", play: func(c *company, block string) {
			port := freeAddress(c.t)
			c.play(strings.NewReplacer("/tmp/try", "try/it", "mkdir ", "mkdir -p ", "127.0.0.1:22345", port).Replace(block))
		}},
		{first: "agent -config.file=agent.yaml", play: func(c *company, block string) {
			address := freeAddress(c.t)
			c.write("agent.yaml", "metrics: {wal_directory: wal, scraping_service: {enabled: true, kvstore: {store: inmemory}}}\n")
			c.play(strings.Replace(block, "address=:12345", "address="+address, 1) + " &\n" +
				"curl -sf --retry 60 --retry-delay 1 --retry-all-errors " + address + "/-/ready")
		}},
	},
	"docs/operations.md": {
		{first: "agentctl config-sync", play: func(c *company, block string) {
			c.play("set +e\n" + block)
			c.play("agentctl config-sync --dry-run ./configs")
		}},
		{first: "agentctl drain", play: as()},
	},
	"examples/cluster/README.md": tour,
}

// quickStart has the agent of examples/agent.yaml at an address of its own.
func quickStart(c *company, block string) {
	r := newReader(c.t, freeAddress(c.t))
	r.play(block)
}

// tour is one script of all blocks of a page, which is played at its last.
var tour = []played{
	{first: "go build", reason: "the last block plays all"}, {first: "for port in", reason: "the last block plays all"},
	{first: "curl -s 127.0.0.1:12346", reason: "the last block plays all"}, {first: "curl -s '127.0.0.1:12345", reason: "the last block plays all"},
	{first: "kill -9", reason: "the last block plays all"},
	{first: "kill $a", play: func(c *company, _ string) { playTour(c.t) }},
}

func playTour(t *testing.T) {
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("this needs an etcd server: apt-get install etcd-server")
	}
	a, b, c, client, peer := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	port := func(address string) string { return strings.TrimPrefix(address, "127.0.0.1:") }
	units := "curl -s " + a + `/agent/api/v1/cluster/units | jq -r '.data.items[].claimed_by' | sort | uniq -c | xargs`
	r := newReader(t, a, "127.0.0.1:12346", b, "127.0.0.1:12347", c, "12345 12346 12347", port(a)+" "+port(b)+" "+port(c), "--retry 30", "--retry 90",
		"go build -tags light -o bin/ ./cmd/agent ./cmd/agentctl", ":",
		// Four seconds are the promise to a machine that has nothing else to do.
		"sleep 6", `until [ "$(`+units+`)" = "12 a" ]; do sleep 0.2; done`)

	require.NoError(t, os.Remove(filepath.Join(r.directory, "examples")))
	elsewhere := strings.NewReplacer("127.0.0.1:2379", client, "127.0.0.1:9090", serve(t, &toy.Receiver{}))
	for _, name := range []string{"cluster/node-a.yaml", "cluster/node-b.yaml", "cluster/node-c.yaml", "configs/agent.yaml"} {
		text, err := os.ReadFile(filepath.Join(repositoryRoot(), "examples", name))
		require.NoError(t, err)
		r.write("examples/"+name, elsewhere.Replace(string(text)))
	}
	blocks := shellBlocks(t, "examples/cluster/README.md")
	lines := strings.Split(blocks[0], "\n")
	again := strings.Join(lines[len(lines)-2:], "\n") + "\nuntil [ \"$(curl -s " + a + `/agent/api/v1/cluster | grep -o '"state":"ACTIVE"' | wc -l)" = 3 ]; do sleep 0.2; done`
	script := fmt.Sprintf("set +e\nexport ETCD_LISTEN_CLIENT_URLS=http://%[1]s ETCD_ADVERTISE_CLIENT_URLS=http://%[1]s ETCD_LISTEN_PEER_URLS=http://%[2]s "+
		"ETCD_INITIAL_ADVERTISE_PEER_URLS=http://%[2]s ETCD_INITIAL_CLUSTER=default=http://%[2]s\n", client, peer)
	for _, block := range append(blocks[:5:5], again, blocks[5]) {
		script += block + "\necho ===\n"
	}
	_, printed := r.run(script)
	parts := strings.Split(printed, "===\n")
	require.Equal(t, 12, strings.Count(parts[1], `"status":"success"`), printed)
	require.Equal(t, 3, strings.Count(parts[2], `"state":"ACTIVE"`), printed)
	require.Contains(t, parts[3], `"leave": "b"`, printed)
	require.Regexp(t, `(?s)^(agent-\d+ a \S+\n){12}`, parts[4], printed)
	require.Regexp(t, `"from":"[bc]","to":"a"`, parts[4], printed) // a node may have none of twelve configs
	require.NoDirExists(t, filepath.Join(r.directory, "data", "cluster"), printed)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

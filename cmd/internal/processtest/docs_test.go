package processtest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// shellBlocks are the blocks of shell in a page, in order.
func shellBlocks(t *testing.T, page string) (texts []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repositoryRoot(), page))
	require.NoError(t, err)
	for _, match := range regexp.MustCompile("(?s)```(?:sh|console)\n(.*?)\n *```").FindAllSubmatch(text, -1) {
		texts = append(texts, string(match[1]))
	}
	return texts
}

// step is a command of a block with what the page shows of its answer, or a whole script.
type step struct{ command, shown string }

// steps divides a block with prompts into its commands. One without them is a script.
func steps(block string) (all []step) {
	if !strings.HasPrefix(block, "$ ") {
		return []step{{command: block}}
	}
	for part := range strings.SplitSeq("\n"+block, "\n$ ") {
		if command, shown, _ := strings.Cut(part, "\n"); command != "" {
			all = append(all, step{command, strings.TrimSpace(shown)})
		}
	}
	return all
}

// shapeDiffers wants every key that a page shows in the answer, and values of the same kind. A list
// that is empty may have been shown with something in it. It returns what differs, or nothing.
func shapeDiffers(shown, answered any, where string) string {
	switch shown := shown.(type) {
	case map[string]any:
		got, ok := answered.(map[string]any)
		if !ok {
			return where + ": the page shows an object"
		}
		for key, value := range shown {
			if _, there := got[key]; !there && fieldsThatComeAndGo[key] {
				continue
			} else if !there {
				return fmt.Sprintf("%s: %v has no %q", where, got, key)
			}
			if d := shapeDiffers(value, got[key], where+"."+key); d != "" {
				return d
			}
		}
	case []any:
		got, ok := answered.([]any)
		if !ok {
			return where + ": the page shows a list"
		}
		if len(shown) > 0 && len(got) > 0 {
			return shapeDiffers(shown[0], got[0], where+"[0]")
		}
	default:
		if reflect.TypeOf(shown) != reflect.TypeOf(answered) {
			return fmt.Sprintf("%s: the page shows %v, and the answer has %v", where, shown, answered)
		}
	}
	return ""
}

// fieldsThatComeAndGo are left out of answers unless there is something to say.
var fieldsThatComeAndGo = map[string]bool{
	"next": true, "unreachable": true, "hold": true, "phase": true, "last_error": true, "quarantined": true, "scrape_error": true,
	"claimed_by": true, "owner": true, "from": true, "zone": true, "reason": true,
}

// answerDiffers compares what a page shows with an answer: JSON by its shape, one line as it is, up
// to an ellipsis. It returns what differs, or nothing.
func answerDiffers(shown, answered, command string) string {
	var want, got any
	if json.Unmarshal([]byte(shown), &want) == nil {
		if err := json.Unmarshal([]byte(answered), &got); err != nil {
			return fmt.Sprintf("%s answers %s: %v", command, answered, err)
		}
		if d := shapeDiffers(want, got, command); d != "" {
			return d
		}
		if whole, ok := want.(map[string]any); ok {
			if status, ok := whole["status"]; ok && got.(map[string]any)["status"] != status {
				return fmt.Sprintf("%s answers %s", command, answered)
			}
		}
		return ""
	}
	if shown != "" && !strings.Contains(shown, "\n") {
		begins, cut := strings.CutSuffix(shown, "…")
		if answered = strings.TrimSpace(answered); cut {
			answered = answered[:min(len(begins), len(answered))]
		}
		if begins != answered {
			return fmt.Sprintf("%s answers %q, and the page shows %q", command, answered, begins)
		}
	}
	return ""
}

// asks reports whether a command only asks. Its answer may differ for a moment, while a config starts.
func asks(command string) bool {
	return strings.HasPrefix(command, "curl -s ") && !regexp.MustCompile(` (-X|-d|-T|--data|--request)`).MatchString(command) ||
		regexp.MustCompile(`^agentctl (status|targets|units|endpoints|cluster|configs (list|get|names|history))\b`).MatchString(command)
}

// reader is somebody who follows the pages in a shell, in a directory of their own.
type reader struct {
	t         *testing.T
	directory string
	replace   *strings.Replacer // what the pages name and the reader has elsewhere
}

// newReader finds the programs in a directory "bin", as wrappers that know the address of the
// reader's agent.
func newReader(t *testing.T, address string, replacements ...string) *reader {
	t.Helper()
	for _, needed := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("the pages' commands need %s: apt-get install %s", needed, needed)
		}
	}
	r := &reader{t: t, directory: t.TempDir()}
	r.replace = strings.NewReplacer(append(replacements, "localhost:12345", address, "127.0.0.1:12345", address, "go run ./cmd/", "")...)
	examples, err := filepath.Abs(filepath.Join(repositoryRoot(), "examples"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(examples, filepath.Join(r.directory, "examples")))
	require.NoError(t, os.Mkdir(filepath.Join(r.directory, "bin"), 0o700))
	r.wrapper("agent", fmt.Sprintf("exec %s -server.http.address=%s \"$@\"\n", program(t, "agent"), address))
	r.wrapper("agentctl", fmt.Sprintf(`real=%s
case "$1" in
  config-check | import | wal-stats | target-stats | sample-stats) exec $real "$@" ;;
  chaos) exec $real "$1" "$2" -a %[2]s "${@:3}" ;;
  *) exec $real "$1" -a %[2]s "${@:2}" ;;
esac
`, program(t, "agentctl"), address))
	r.wrapper("prometheus", "exec sleep 600\n")    // whether it receives is TestAPrometheusReceivesWhatTheReadmePromises
	r.wrapper("promtool", "echo '{} => 2 @[1]'\n") // and so is what it answers
	return r
}

func (r *reader) wrapper(name, script string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.directory, "bin", name), []byte("#!/usr/bin/env bash\n"+script), 0o700))
}

// run returns how a script exits and what it prints: on standard output, or else on standard error.
// Programs that it started in the background end with it.
func (r *reader) run(script string) (code int, printed string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	script = "set -eu\ntrap 'code=$?; trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait || true; exit $code' EXIT\n" + r.replace.Replace(script)
	command := exec.CommandContext(ctx, "bash", "-c", script)
	command.Dir = r.directory
	command.Env = append(os.Environ(), "PATH="+filepath.Join(r.directory, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	_ = command.Run()
	require.NoError(r.t, ctx.Err(), "it does not end:\n%s\n%s%s", script, out.String(), errs.String())
	if code = command.ProcessState.ExitCode(); code != 0 {
		r.t.Logf("exit status %d:\n%s\n%s%s", code, script, out.String(), errs.String())
	}
	if out.Len() == 0 {
		return code, errs.String()
	}
	return code, out.String()
}

// differs runs a step, and returns how it differs from what the page says of it.
func (r *reader) differs(s step, want int) string {
	r.t.Helper()
	code, printed := r.run(s.command)
	if code != want {
		return fmt.Sprintf("%s exits with %d, not %d: %s", s.command, code, want, printed)
	}
	return answerDiffers(s.shown, printed, s.command)
}

// play runs a block. exits are the codes of its steps; those that are missing are 0.
func (r *reader) play(block string, exits ...int) {
	r.t.Helper()
	for n, s := range steps(block) {
		want := 0
		if n < len(exits) {
			want = exits[n]
		}
		differs := r.differs(s, want)
		if differs != "" && asks(s.command) {
			eventually(r.t, func() bool { return r.differs(s, want) == "" }, "the answer never becomes what the page shows: %s", differs)
			continue
		}
		require.Empty(r.t, differs)
	}
}

func (r *reader) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.directory, name)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o600))
}

var playDocs = flag.Bool("docs", false, "play the blocks of shell of the docs")

// Every block of shell in README, docs and examples is played here, or says why it isn't.
func TestDocsBlocksOfShellDoWhatTheySay(t *testing.T) {
	if !*playDocs {
		t.Skip("task docs plays the blocks of shell of the docs")
	}
	t.Cleanup(closeIdle)
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(repositoryRoot(), pattern))
		require.NoError(t, err)
		for _, file := range files {
			page, err := filepath.Rel(repositoryRoot(), file)
			require.NoError(t, err)
			pages = append(pages, filepath.ToSlash(page))
		}
	}
	c := newCompany(t)
	for _, page := range pages {
		blocks, known := shellBlocks(t, page), playbook[page]
		require.Len(t, known, len(blocks), "%s has another number of blocks of shell than this test knows", page)
		for n, block := range blocks {
			first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(block), "$ "), "\n")
			require.True(t, strings.HasPrefix(first, known[n].first), "%s: block %d begins with %q, and this test thinks of %q", page, n+1, first, known[n].first)
			t.Run(page+"/"+known[n].first, func(t *testing.T) {
				if known[n].play == nil {
					require.NotEmpty(t, known[n].reason)
					return
				}
				known[n].play(c.with(t), block)
			})
		}
	}
}

// company is three agents that keep their configs themselves, a target and a receiver, and a reader
// beside them.
type company struct {
	*reader
	agents           []*agent
	logs             string // directory of the agents' directories
	target, receiver string
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{target: serve(t, &toy.Target{}), receiver: serve(t, &toy.Receiver{})}
	directory := t.TempDir()
	c.logs = directory
	var addresses, peers []string
	for n := range 3 {
		addresses = append(addresses, freeAddress(t))
		peers = append(peers, fmt.Sprintf("{name: node-%d, url: 'http://%s'}", n+1, freeAddress(t)))
	}
	c.reader = newReader(t, addresses[0], "/path/to/configs", "../../configs", "/etc/grafana-agent.yaml", "grafana-agent.yaml")
	for n, address := range addresses {
		own := filepath.Join(directory, fmt.Sprintf("node-%d", n+1))
		file := writeFile(t, directory, fmt.Sprintf("node-%d.yaml", n+1), fmt.Sprintf(`metrics:
  wal_directory: %[1]s/wal
  global:
    scrape_interval: 1s
    remote_write: [{url: 'http://%[2]s/api/v1/write'}]
  scraping_service:
    enabled: true
    kvstore: {store: embedded, embedded: {data_directory: %[1]s/store, peers: [%[3]s]}}
    lifecycler: {id: node-%[4]d}
`, own, c.receiver, strings.Join(peers, ", "), n+1))
		p := start(t, program(t, "agent"), "-config.file="+file, "-server.http.address="+address, "-chaos.enabled", "-config.enable-read-api")
		c.agents = append(c.agents, &agent{process: p, base: "http://" + address})
	}
	for _, a := range c.agents {
		a.awaitReady()
	}
	return c
}

// with prepares what the pages take for granted: three configs, and files of the same names.
func (c *company) with(t *testing.T) *company {
	t.Helper()
	copied, r := *c, *c.reader
	r.t, copied.reader = t, &r
	for name, target := range map[string]string{"api": c.target, "node": c.target, "team%2Fapi": "127.0.0.1:1"} {
		text := fmt.Sprintf("scrape_configs:\n  - job_name: api\n    static_configs: [{targets: ['%s']}]\n", target)
		c.agents[0].put(name, text)
		if !strings.Contains(name, "%") {
			copied.write("configs/"+name+".yaml", strings.Replace(text, "job_name: api", "job_name: public-api", 1))
		}
		copied.write("api.yaml", text)
	}
	return &copied
}

package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/logging"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

const patience = 30 * time.Second

// output is a log that may be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is an agent in this process.
type running struct {
	base  string
	log   *output
	every output // what was logged, also the repetitions that the log leaves out
	stop  context.CancelFunc
	ended chan error
}

func startDaemon(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{log: &output{}, ended: make(chan error, 1)}
	logger, err := logging.New(r.log, o.Agent.Server.LogLevel, logging.FormatLogfmt)
	require.NoError(t, err)
	every := zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&r.every), zapcore.InfoLevel)
	logger.Logger = logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, every) }))
	serving := make(chan net.Addr, 1)
	o.Logger, o.ListenAddress, o.Hostname = logger, "127.0.0.1:0", "host"
	o.Serving = func(address net.Addr) { serving <- address }
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- Run(ctx, o) }()
	select {
	case address := <-serving:
		r.base = "http://" + address.String()
	case err := <-r.ended:
		stop()
		require.FailNow(t, "the agent did not start", "%v", err)
	case <-time.After(patience):
		stop()
		require.FailNow(t, "the agent does not start", r.log.String())
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) end(t *testing.T) error {
	t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		require.FailNow(t, "the agent does not end", "%s\n%s", r.log.String(), stacks)
		return nil
	}
}

func (r *running) request(t *testing.T, method, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.base+path, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func inMemory(t *testing.T) *config.Agent {
	t.Helper()
	return load(t, "metrics: {wal_directory: "+filepath.Join(t.TempDir(), "wal")+", scraping_service: {enabled: true, kvstore: {store: inmemory}}}")
}

func TestTwoAgentsRunInOneProcessAndLeaveNothingBehind(t *testing.T) {
	first := startDaemon(t, Options{Agent: inMemory(t)})
	second := startDaemon(t, Options{Agent: inMemory(t)})
	for _, agent := range []*running{first, second} {
		require.Eventually(t, func() bool {
			status, _ := agent.request(t, http.MethodGet, "/-/ready")
			return status == http.StatusOK
		}, patience, 10*time.Millisecond)
	}
	require.NoError(t, first.end(t))
	status, _ := second.request(t, http.MethodGet, "/-/healthy")
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, second.end(t))
}

func TestLogAndStatusSayWhoseSeriesConfigsWrite(t *testing.T) {
	const job = "scrape_configs: [{job_name: j, scrape_interval: 1h, static_configs: [{targets: ['127.0.0.1:1']}]}]"
	agent := startDaemon(t, Options{Agent: load(t, "metrics: {compatibility: agent, wal_directory: "+filepath.Join(t.TempDir(), "wal")+
		", configs: [{name: old, "+job+"}, {name: new, compatibility: prometheus, "+job+"}]}")})
	shown := map[string]string{}
	require.Eventually(t, func() bool {
		_, body := agent.request(t, http.MethodGet, "/agent/api/v1/metrics/instances/status")
		var status struct {
			Data struct {
				Instances []struct{ Name, Compatibility string }
			}
		}
		if json.Unmarshal([]byte(body), &status) != nil {
			return false
		}
		for _, i := range status.Data.Instances {
			shown[i.Name] = i.Compatibility
		}
		return shown["old"] != "" && shown["new"] != ""
	}, patience, 10*time.Millisecond)
	require.Equal(t, map[string]string{"old": "agent", "new": "prometheus"}, shown)
	require.Contains(t, agent.log.String(), "metrics.compatibility=agent")
	require.NoError(t, agent.end(t))
}

func TestAReloadThatIsRefusedChangesNothing(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "wal")
	next := make(chan *config.Agent, 1)
	agent := startDaemon(t, Options{
		Agent: load(t, "metrics: {wal_directory: "+directory+"}"),
		Reload: func() (*config.Agent, error) {
			if loaded := <-next; loaded != nil {
				return loaded, nil
			}
			return nil, errors.New("agent.yaml:1: what is this")
		},
	})
	next <- load(t, "metrics: {wal_directory: "+directory+", configs: [{name: a, scrape_configs: [{job_name: j}]}]}")
	status, _ := agent.request(t, http.MethodPost, "/-/reload")
	require.Equal(t, http.StatusOK, status)
	instances := func() string {
		_, body := agent.request(t, http.MethodGet, "/agent/api/v1/metrics/instances")
		return body
	}
	require.Eventually(t, func() bool { return strings.Contains(instances(), `"a"`) }, patience, 10*time.Millisecond)

	next <- load(t, "server: {log_format: json}\nmetrics: {wal_directory: "+directory+"}")
	status, body := agent.request(t, http.MethodPost, "/-/reload")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "reload config: server.log_format can't be changed while the agent runs: restart it, or take the change back\n", body)

	next <- nil
	status, body = agent.request(t, http.MethodPost, "/-/reload")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "what is this")
	_, metrics := agent.request(t, http.MethodGet, "/metrics")
	require.Contains(t, metrics, "agent_config_last_load_successful 0")
	require.Contains(t, instances(), `"a"`)
	require.NoError(t, agent.end(t))
}

func TestASignalReloads(t *testing.T) {
	signals := make(chan os.Signal, 1)
	loaded := inMemory(t)
	agent := startDaemon(t, Options{Agent: loaded, Reload: func() (*config.Agent, error) { return loaded, nil }, ReloadRequests: signals})
	signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { return strings.Contains(agent.log.String(), "config reloaded") }, patience, 10*time.Millisecond)
	require.NoError(t, agent.end(t))
}

func TestAStartThatIsCalledOffIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	logger, err := logging.New(io.Discard, "error", logging.FormatLogfmt)
	require.NoError(t, err)
	require.NoError(t, Run(ctx, Options{Agent: config.Default(filepath.Join(t.TempDir(), "wal")), ListenAddress: "127.0.0.1:0", Logger: logger}))
}

func TestWhoAsksBeforeTheAgentIsPutTogetherGetsAnAnswer(t *testing.T) {
	logger, err := logging.New(io.Discard, "error", logging.FormatLogfmt)
	require.NoError(t, err)
	d := &daemon{Options: Options{Agent: config.Default(t.TempDir()), ListenAddress: "127.0.0.1:0", Logger: logger}, registry: prometheus.NewRegistry()}
	d.settings = newSettings(d.Agent)
	closeListener, err := d.listen(t.Context())
	require.NoError(t, err)
	defer closeListener()
	shut, err := d.openFront(t.Context())
	require.NoError(t, err)
	agent := &running{base: "http://" + d.listener.Addr().String()}
	for path, want := range map[string]int{"/-/healthy": http.StatusOK, "/-/ready": http.StatusServiceUnavailable, "/": http.StatusServiceUnavailable} {
		status, body := agent.request(t, http.MethodGet, path)
		require.Equal(t, want, status, path)
		require.Contains(t, body, "Agent is")
	}
	d.front.answerWith(http.NotFoundHandler())
	status, _ := agent.request(t, http.MethodGet, "/-/ready")
	require.Equal(t, http.StatusNotFound, status)
	shut()
	require.NoError(t, d.front.wait())
}

func TestWhoHasNoPasswordIsRefusedAndCounted(t *testing.T) {
	logger, err := logging.New(io.Discard, "error", logging.FormatLogfmt)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "web.yaml")
	require.NoError(t, os.WriteFile(file, []byte("basic_auth_users: {user: $2a$04$ZlhSuv0.8l.bcUYzlxWQ.Ol.PSFFemMrjh9obKHuyoA7ridkBD3lm}\n"), 0o600))
	d := &daemon{Options: Options{Agent: config.Default(t.TempDir()), ListenAddress: "127.0.0.1:0", Logger: logger, WebConfigFile: file},
		registry: prometheus.NewRegistry()}
	d.settings = newSettings(d.Agent)
	closeListener, err := d.listen(t.Context())
	require.NoError(t, err)
	defer closeListener()
	shut, err := d.openFront(t.Context())
	require.NoError(t, err)
	agent := &running{base: "http://" + d.listener.Addr().String()}
	for range 2 {
		status, _ := agent.request(t, http.MethodGet, "/-/healthy")
		require.Equal(t, http.StatusUnauthorized, status)
	}
	shut()
	require.NoError(t, d.front.wait())
	families, err := d.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "web_requests_refused_total" && m.GetLabel()[0].GetValue() == "auth" {
				require.Equal(t, 2.0, m.GetCounter().GetValue())
				return
			}
		}
	}
	t.Fatal("there is no such metric")
}

func TestATreeThatHangsDoesNotKeepTheProcess(t *testing.T) {
	system := actors.NewSystem(nil)
	stuck := &tree{
		system: system, logger: zap.NewNop(), timeout: time.Second, grace: time.Millisecond,
		pid: system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, asked := c.Message().(messages.StopTree); asked {
				c.Stop(c.Self())
			}
		})),
		ended: make(chan struct{}), stopping: make(chan struct{}), hangs: make(chan struct{}),
	}
	stuck.stop()
	require.ErrorIs(t, stuck.wait(), ErrTreeHangs)
}

func TestTwoAgentsOnOneWALDirectoryAreAnErrorWhateverTheirStores(t *testing.T) {
	dir := t.TempDir()
	first := startDaemon(t, Options{Agent: load(t, fmt.Sprintf("metrics: {wal_directory: %s, scraping_service: {enabled: true, kvstore: {store: inmemory}}}", dir))})
	for name, text := range map[string]string{
		"no store":      "metrics: {wal_directory: %s}",
		"one in memory": "metrics: {wal_directory: %s, scraping_service: {enabled: true, kvstore: {store: inmemory}}}",
		"one elsewhere": "metrics: {wal_directory: %s, scraping_service: {enabled: true, kvstore: {store: etcd, etcd: {endpoints: ['127.0.0.1:1']}}, lifecycler: {ring: {kvstore: {store: etcd, etcd: {endpoints: ['127.0.0.1:1']}}}}}}",
		"another path":  "metrics: {wal_directory: %s/../" + filepath.Base(dir) + "}",
	} {
		logger, err := logging.New(io.Discard, "info", logging.FormatLogfmt)
		require.NoError(t, err)
		ctx, stop := context.WithTimeout(t.Context(), patience)
		err = Run(ctx, Options{Agent: load(t, fmt.Sprintf(text, dir)), Logger: logger, ListenAddress: "127.0.0.1:0", Hostname: "other"})
		stop()
		require.ErrorContains(t, err, "each agent needs a directory of its own", name)
	}
	require.NoError(t, first.end(t))
}

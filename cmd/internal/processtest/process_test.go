package processtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

const (
	// patience bounds every wait; it is a guard against hanging, not a measure.
	patience = 60 * time.Second
	// pollEvery is how often a condition is looked at.
	pollEvery = 50 * time.Millisecond
)

// programs are built once for all tests, with the light discoveries.
var programs = struct {
	once      sync.Once
	directory string
	err       error
}{}

func program(t testing.TB, name string) string {
	t.Helper()
	programs.once.Do(func() {
		programs.directory, programs.err = os.MkdirTemp("", "ringmaster-programs-")
		if programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-tags", "light", "-o", programs.directory+string(filepath.Separator), "./cmd/agent", "./cmd/agentctl")
		build.Dir = repositoryRoot()
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	require.NoError(t, programs.err)
	return filepath.Join(programs.directory, name)
}

func repositoryRoot() string { return filepath.Join("..", "..", "..") }

// process is one program that was started by a test, and is gone when the test is.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	output *lockedBuffer
	exited chan struct{}
	err    error
}

func start(t testing.TB, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), output: &lockedBuffer{}, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.output.String())
		}
	})
	return p
}

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop is an orderly end, as an operator asks for it.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.awaitExit()
}

func (p *process) awaitExit() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		require.FailNow(p.t, "the process does not end", "%s\n%s", p.name, p.output.String())
	}
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) awaitOutput(pattern string) []string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, func() bool {
		found = expression.FindStringSubmatch(p.output.String())
		return found != nil
	}, "%s never says %q", p.name, pattern)
	return found
}

// lockedBuffer may be written by a process while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// agent is a running agent with its own directory.
type agent struct {
	*process
	base string
}

// startAgent starts an agent on a free port and returns once it is ready.
func startAgent(t *testing.T, directory string, args ...string) *agent {
	t.Helper()
	a := launchAgent(t, directory, args...)
	a.awaitReady()
	return a
}

func launchAgent(t *testing.T, directory string, args ...string) *agent {
	t.Helper()
	address := freeAddress(t)
	args = append([]string{"-server.http.address=" + address, "-metrics.wal-directory=" + filepath.Join(directory, "wal")}, args...)
	return &agent{process: start(t, program(t, "agent"), args...), base: "http://" + address}
}

func (a *agent) awaitReady() {
	a.t.Helper()
	eventually(a.t, func() bool {
		require.True(a.t, a.running(), "the agent ended: %s", a.output.String())
		status, _ := a.get("/-/ready")
		return status == http.StatusOK
	}, "the agent never gets ready")
}

// get returns status 0 when there is no answer.
func (a *agent) get(path string) (status int, body string) {
	return a.do(http.MethodGet, path, "")
}

func (a *agent) do(method, path, body string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, strings.NewReader(body))
	require.NoError(a.t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (a *agent) put(name, text string) {
	a.t.Helper()
	status, body := a.do(http.MethodPut, "/agent/api/v1/config/"+name, text)
	require.Contains(a.t, []int{http.StatusCreated, http.StatusOK}, status, body)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	require.NoError(t, err)
	return address
}

// serveOn serves a handler on an address until the test or the returned function ends it.
func serveOn(t testing.TB, address string, handler http.Handler) (shut func()) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	shut = sync.OnceFunc(func() {
		_ = server.Close()
		<-done
	})
	t.Cleanup(shut)
	return shut
}

func serve(t testing.TB, handler http.Handler) (address string) {
	t.Helper()
	address = freeAddress(t)
	serveOn(t, address, handler)
	return address
}

func eventually(t testing.TB, condition func() bool, message string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf(message, args...))
		}
		<-tick.C
	}
}

package clustertest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/internal/loopback"
)

// etcdServer is an external store, as a process of its own.
type etcdServer struct {
	t         *testing.T
	program   []string // how to run it
	client    *http.Client
	directory string
	address   string // of clients
	peer      string
	command   *exec.Cmd
}

func startEtcd(t *testing.T, directory string) *etcdServer {
	t.Helper()
	e := &etcdServer{t: t, program: []string{etcdProgram(t)}, client: &http.Client{}, directory: directory, address: freeAddress(t), peer: freeAddress(t)}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func etcdProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(*etcdPath)
	if err != nil {
		t.Skipf("this test needs an etcd server (%v): apt-get install etcd-server, or -args -etcd=PATH", err)
	}
	return path
}

func (e *etcdServer) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.directory, "etcd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(e.t, err)
	defer log.Close()
	e.command = exec.Command(e.program[0], append(e.program[1:len(e.program):len(e.program)], "--name=etcd", "--data-dir="+filepath.Join(e.directory, "etcd"), "--log-level=warn",
		"--listen-client-urls=http://"+e.address, "--advertise-client-urls=http://"+e.address,
		"--listen-peer-urls=http://"+e.peer, "--initial-advertise-peer-urls=http://"+e.peer, "--initial-cluster=etcd=http://"+e.peer)...)
	e.command.Stdout, e.command.Stderr = log, log
	require.NoError(e.t, e.command.Start())
	eventually(e.t, func() bool {
		response, err := e.client.Get("http://" + e.address + "/health")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, "etcd never gets healthy")
}

// kill is kill -9. The data stays.
func (e *etcdServer) kill() {
	_ = e.command.Process.Kill()
	_ = e.command.Wait()
	e.client.CloseIdleConnections()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	require.NoError(t, err)
	return address
}

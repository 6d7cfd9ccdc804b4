package clustertest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

// etcdServer is an external store, as a process of its own.
type etcdServer struct {
	t         *testing.T
	path      string
	directory string
	address   string // of clients
	peer      string
	command   *exec.Cmd
}

func startEtcd(t *testing.T, directory string) *etcdServer {
	t.Helper()
	path, err := exec.LookPath(*etcdPath)
	if err != nil {
		t.Skipf("this test needs an etcd server (%v): apt-get install etcd-server, or -args -etcd=PATH", err)
	}
	e := &etcdServer{t: t, path: path, directory: directory, address: freeAddress(t), peer: freeAddress(t)}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func (e *etcdServer) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.directory, "etcd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(e.t, err)
	defer log.Close()
	e.command = exec.Command(e.path, "--name=etcd", "--data-dir="+filepath.Join(e.directory, "etcd"), "--log-level=warn",
		"--listen-client-urls=http://"+e.address, "--advertise-client-urls=http://"+e.address,
		"--listen-peer-urls=http://"+e.peer, "--initial-advertise-peer-urls=http://"+e.peer, "--initial-cluster=etcd=http://"+e.peer)
	e.command.Stdout, e.command.Stderr = log, log
	require.NoError(e.t, e.command.Start())
	eventually(e.t, func() bool {
		response, err := http.Get("http://" + e.address + "/health")
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
	http.DefaultClient.CloseIdleConnections()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := node.FreeAddress()
	require.NoError(t, err)
	return address
}

package processtest

import (
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The unit of the packages is of type notify: without these two messages systemd would end the agent
// after its timeout, and would not know that a stop is under way.
func TestSystemdIsToldOfStartAndStop(t *testing.T) {
	t.Cleanup(closeIdle)
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	told := func() string {
		message := make([]byte, 100)
		require.NoError(t, socket.SetReadDeadline(time.Now().Add(patience)))
		n, err := socket.Read(message)
		require.NoError(t, err)
		return string(message[:n])
	}

	address := freeAddress(t)
	p := start(t, "env", "NOTIFY_SOCKET="+path, program(t, "agent"), "-config.file="+inMemory(t),
		"-server.http.address="+address, "-metrics.wal-directory="+filepath.Join(t.TempDir(), "wal"))
	a := &agent{process: p, base: "http://" + address}
	require.Equal(t, "READY=1", told())
	status, body := a.get("/-/healthy")
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "STOPPING=1", told())
	p.awaitExit()
	require.NoError(t, p.err)
}

package daemon

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
)

func TestConnectionsLeaveDescriptorsForTheLogs(t *testing.T) {
	require.Equal(t, 16, maxConnections(0))
	require.Equal(t, 64, maxConnections(256))
	require.Equal(t, 10_000, maxConnections(1<<40))
}

func TestMoreConnectionsThanThereMayBeWait(t *testing.T) {
	const most = 64
	listener, err := listen("127.0.0.1:0", config.Server{}, HTTPLimits{Connections: most})
	require.NoError(t, err)
	accepted := make(chan net.Conn, 2000)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	for range most + 10 {
		conn, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	require.Eventually(t, func() bool { return len(accepted) == most }, patience, time.Millisecond)
	first := <-accepted
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return len(accepted) == most }, patience, time.Millisecond, "the place of one that has ended is taken")
	require.NoError(t, listener.Close())
	for conn := range accepted {
		_ = conn.Close()
	}
}

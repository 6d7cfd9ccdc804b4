package scrape

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// inheritedSocket is the file descriptor of a target process' listener.
const inheritedSocket = 3

// exposition is what a target with so many series writes, gzipped.
func exposition(tb testing.TB, series int) []byte {
	var body strings.Builder
	for i := range series {
		if i%3 == 0 {
			fmt.Fprintf(&body, "# HELP some_metric_with_a_usual_name_%d_total Number of things that happened on this path.\n", i/3)
			fmt.Fprintf(&body, "# TYPE some_metric_with_a_usual_name_%d_total counter\n", i/3)
		}
		fmt.Fprintf(&body, "some_metric_with_a_usual_name_%d_total{path=\"/api/v1/thing/%d\",method=\"GET\"} %d\n", i/3, i, i)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := io.WriteString(w, body.String())
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return zipped.Bytes()
}

// targetProcess starts a process with so many targets, so that their cost is not measured. It ends
// with the benchmark.
func targetProcess(b *testing.B, targets, series int) (addresses []string) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	require.NoError(b, err)
	defer file.Close()
	zipped := exposition(b, series)
	process := exec.Command(os.Args[0], "-test.run=^TestTargetProcess$")
	process.ExtraFiles = []*os.File{file}
	in, err := process.StdinPipe()
	require.NoError(b, err)
	out, err := process.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, process.Start())
	b.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	_, err = fmt.Fprintf(in, "%d\nHTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
		targets, textFormat, len(zipped), zipped)
	require.NoError(b, err)
	require.NoError(b, in.Close())
	for lines := bufio.NewScanner(out); len(addresses) < targets && lines.Scan(); {
		addresses = append(addresses, lines.Text())
	}
	require.Len(b, addresses, targets)
	return addresses
}

// TestTargetProcess is the main function of a target process, and nothing in any other.
func TestTargetProcess(t *testing.T) {
	if listening, err := syscall.GetsockoptInt(inheritedSocket, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || listening != 1 {
		t.Skip("started by a benchmark")
	}
	in := bufio.NewReader(os.Stdin)
	var targets int
	_, err := fmt.Fscanln(in, &targets)
	require.NoError(t, err)
	response, err := io.ReadAll(in)
	require.NoError(t, err)
	for range targets {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		fmt.Println(listener.Addr())
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go answer(conn, response)
			}
		}()
	}
	select {}
}

// answer writes the response for whatever looks like the end of a request.
func answer(conn net.Conn, response []byte) {
	defer conn.Close()
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if bytes.HasSuffix(buffer[:n], []byte("\r\n\r\n")) {
			if _, err := conn.Write(response); err != nil {
				return
			}
		}
	}
}

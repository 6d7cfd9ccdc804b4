package processtest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// What a stranger needs for this is nothing but the port: he connects four hundred times, and says
// nothing.
func TestConnectionsThatSayNothingKeepNobodyFromScrapingAndWriting(t *testing.T) {
	const descriptors, strangers = 256, 400
	var targets toy.Targets
	var ledger toy.Ledger
	mux := http.NewServeMux()
	mux.Handle(toy.TargetsPath, &targets)
	mux.Handle("/write", &ledger)
	address, directory := serve(t, mux), t.TempDir()
	instance := func(name string) string {
		return fmt.Sprintf("  - name: %s\n"+
			"    scrape_configs: [{job_name: %s, metrics_path: %s%s, static_configs: [{targets: [%q]}]}]\n"+
			"    remote_write: [{url: 'http://%s/write', queue_config: {batch_send_deadline: 500ms}}]\n",
			name, name, toy.TargetsPath, name, address, address)
	}
	const head = "metrics:\n  global: {scrape_interval: 1s, scrape_timeout: 1s}\n  configs:\n"
	file := writeFile(t, directory, "agent.yaml", head+instance("before"))
	own := freeAddress(t)
	a := &agent{base: "http://" + own, process: start(t,
		"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors), program(t, "agent"),
		"-server.http.address="+own, "-metrics.wal-directory="+filepath.Join(directory, "wal"), "-config.file="+file)}
	a.awaitReady()
	closeIdle()
	for range strangers {
		conn, err := net.Dial("tcp", own)
		require.NoError(t, err)
		defer conn.Close()
	}

	// One instance has its log open, the other needs files for a new one.
	require.NoError(t, os.WriteFile(file, []byte(head+instance("before")+instance("after")), 0o600))
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	for _, name := range []string{"before", "after"} {
		had := len(ledger.Scrapes(name))
		eventually(t, func() bool { return len(ledger.Scrapes(name)) >= had+3 }, "%s is not scraped and sent", name)
	}
	require.False(t, strings.Contains(a.output.String(), "too many open files"), a.output.String())
}

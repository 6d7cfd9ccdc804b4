package cli_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	commonconfig "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/remotewrite"
	"github.com/ringmaster-agent/ringmaster/wal"
)

// writeLog writes three samples of up for each of two targets, and one of another metric, and
// leaves the log open.
func writeLog(t *testing.T, dir string) *wal.Log {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o700))
	l, err := wal.Open(dir, wal.Options{SegmentBytes: 1}) // a segment for each commit
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	require.NoError(t, l.SaveCursor("main", l.Begin()))
	for i := range 3 {
		app := l.AppenderV2(t.Context())
		for port := range 2 {
			ls := labels.FromStrings("__name__", "up", "job", "node", "instance", "10.0.0.7:910"+strconv.Itoa(port))
			_, err := app.Append(0, ls, 0, int64(1_700_000_000_000+60_000*i), 1, nil, nil, storage.AOptions{})
			require.NoError(t, err)
		}
		if i == 0 {
			_, err := app.Append(0, labels.FromStrings("__name__", "load", "job", "node", "instance", "10.0.0.7:9100"), 0, 1_700_000_000_000, 1, nil, nil, storage.AOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
	}
	return l
}

func TestALogOfARunningAgentIsCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data-agent", "api")
	l := writeLog(t, dir)

	code, out, errs := agentctl(t, "wal-stats", dir)
	require.Equal(t, 0, code, errs)
	require.Equal(t, `Oldest Sample:      2023-11-14 22:13:20 +0000 UTC
Newest Sample:      2023-11-14 22:15:20 +0000 UTC
Total Series:       3
Total Samples:      7
Hash Collisions:    0
Invalid Refs:       0
Checkpoint Segment: none
First Segment:      1
Latest Segment:     3
Bytes:              `+strconv.FormatInt(l.Stats().Bytes, 10)+`

Per-target stats:
JOB   INSTANCE       SERIES  SAMPLES
node  10.0.0.7:9100  2       4
node  10.0.0.7:9101  1       3

Per-endpoint stats:
ENDPOINT  SEGMENT  PENDING
main      0        7
`, out)

	code, out, errs = agentctl(t, "target-stats", "-j", "node", "-i", "10.0.0.7:9100", dir)
	require.Equal(t, 0, code, errs)
	require.Equal(t, "METRIC  SERIES\nload    1\nup      1\n", out)

	code, out, errs = agentctl(t, "sample-stats", "-s", `{instance=~".*:9101"}`, dir)
	require.Equal(t, 0, code, errs)
	require.Equal(t, `{__name__="up", instance="10.0.0.7:9101", job="node"}
  Oldest Sample:      2023-11-14 22:13:20 +0000 UTC
  Newest Sample:      2023-11-14 22:15:20 +0000 UTC
  Total Samples:      3
`, out)
	code, out, _ = agentctl(t, "sample-stats", dir, "-o", "json")
	require.Equal(t, 0, code)
	var series []struct {
		Labels  map[string]string
		Samples int
	}
	require.NoError(t, json.Unmarshal([]byte(out), &series))
	require.Len(t, series, 3)
	require.Equal(t, "load", series[0].Labels["__name__"])
}

func TestWhatIsNoLogIsSaid(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, filepath.Join(dir, "data-agent", "api"))
	foreign := filepath.Join(dir, "prometheus")
	require.NoError(t, os.Mkdir(foreign, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "00000000"), nil, 0o600))
	for _, tc := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"wal-stats", filepath.Join(dir, "nowhere")}, 1, "no such file or directory"},
		{[]string{"wal-stats", filepath.Join(dir, "data-agent")}, 1, "holds the logs of several configs; name one of them, as " + filepath.Join(dir, "data-agent", "api")},
		{[]string{"wal-stats", foreign}, 1, "a log of Prometheus or Grafana Agent, which only their own tools read"},
		{[]string{"wal-stats"}, 2, "missing DIR: agentctl wal-stats DIR"},
		{[]string{"target-stats", dir}, 2, "--job and --instance are needed"},
		{[]string{"sample-stats", "-s", "{a=", dir}, 2, "--selector {a=: want a quoted value"},
	} {
		code, _, errs := agentctl(t, tc.args...)
		require.Equal(t, tc.code, code, "%v: %s", tc.args, errs)
		require.Contains(t, errs, tc.errs, tc.args)
	}
}

func TestTheManualSaysHowAnEndpointIsFoundInALog(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "agentctl.md"))
	require.NoError(t, err)
	address, err := url.Parse("https://mimir.example.com/api/v1/push")
	require.NoError(t, err)
	id := remotewrite.CursorIDs("api", []*promconfig.RemoteWriteConfig{{Name: "main", URL: &commonconfig.URL{URL: address}}})[0]
	require.Contains(t, string(text), "\n"+id+"  1        0\n")
	require.Contains(t, string(text), "`printf %s main | sha256sum | cut -c1-16`")
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte("main")))[:16], strings.Split(id, ".")[1])
}

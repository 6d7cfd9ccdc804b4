package clustertest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var (
	full     = flag.Bool("full", false, "measure the whole table, with 300 and 10,000 configs: about a quarter of an hour")
	embedded = flag.Bool("embedded", false, "let the agents form an embedded quorum of three, in place of an external etcd")
	etcdPath = flag.String("etcd", "etcd", "the etcd server to run: a path, or a name in $PATH")
	consul   = flag.String("consul", "", "a Consul program for the row about it; see task consul")
	built    = flag.String("agent", "", "an agent program to measure; without it one is built of this module")
	before   = flag.String("before", "", "an agent program of the version before, for the rows about two versions; see task versions")
	keep     = flag.String("keep", "", "keep what the processes log and write in this directory")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		results.print()
		_ = os.RemoveAll(programs.directory)
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

// programs are built once for all tests, with the light discoveries.
var programs = struct {
	once      sync.Once
	directory string
	err       error
}{}

func agentProgram(t *testing.T) string {
	t.Helper()
	if *built != "" {
		return *built
	}
	programs.once.Do(func() {
		programs.directory, programs.err = os.MkdirTemp("", "ringmaster-programs-")
		if programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-tags", "light", "-o", programs.directory+string(filepath.Separator), "./cmd/agent")
		build.Dir = filepath.Join("..", "..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build the agent: %w\n%s", err, out)
		}
	})
	require.NoError(t, programs.err)
	return filepath.Join(programs.directory, "agent")
}

package clustertest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var (
	full     = flag.Bool("full", false, "measure the whole table, with 300 and 10,000 configs: about a quarter of an hour")
	embedded = flag.Bool("embedded", false, "let the agents form an embedded quorum of three, in place of an external etcd")
	etcdPath = flag.String("etcd", "etcd", "the etcd server to run: a path, or a name in $PATH")
	built    = flag.String("agent", "", "an agent program to measure; without it one is built of this module")
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

// row is one of the table.
type row struct {
	name, reach, measured string
	missed                []string // what was not reached
	unknown               bool     // the measurement did not come to its end
}

// table is what was measured, in the order of the tests.
type table struct {
	mu   sync.Mutex
	rows []row
}

var results table

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *table) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return
	}
	fmt.Printf("\n| Case | Reach | Measured | Reached |\n|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Printf("| %s | %s | %s | %s |\n", r.name, r.reach, r.measured, r.verdict())
	}
	fmt.Println()
}

func (r row) verdict() string {
	switch {
	case r.unknown:
		return "**unknown**: the measurement failed"
	case len(r.missed) > 0:
		verdict := "**no**:"
		for i, m := range r.missed {
			if i > 0 {
				verdict += ";"
			}
			verdict += " " + m
		}
		return verdict
	default:
		return "yes"
	}
}

// wants notes what is not reached.
func (r *row) wants(reached bool, otherwise string, args ...any) {
	if !reached {
		r.missed = append(r.missed, fmt.Sprintf(otherwise, args...))
	}
}

// milliseconds, for people.
func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }

// seconds, for people.
func sec(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

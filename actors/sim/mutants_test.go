package sim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	plant  = flag.String("mutants", "", "plant bugs and see whether seeds find them: all, part 2/7, or a name") //nolint:forbidigo // a flag of the test binary only
	budget = flag.Duration("budget", 24*time.Hour, "end after that; what was not played by then is no failure") //nolint:forbidigo // a flag of the test binary only
)

// mutant is a bug that is planted in a copy of the production code: there are no hooks for it in
// the code itself.
type mutant struct {
	// name says what the bug is.
	name string
	// file is where, from the root of the repository. Old stands in it exactly once, and becomes new.
	file, old, new string
	// by are the kinds of faults that show it soon, separated by commas, if seeds with all kinds may
	// miss it by chance.
	by string
	// equivalent says why no seed can find it; empty: one does.
	equivalent string
	// survives says what is known of one that no seed finds, though nobody has shown that none can.
	survives string
}

// mutantSeeds is within how many seeds each is found, whatever else has changed. Whoever adds a fault
// gives all seeds another meaning. The rarest bug shows once in some hundreds of them, so that this
// many don't miss it by chance.
const mutantSeeds = 2000

// root is the repository's, as tests of this package see it.
const root = "../.."

// source is the file with the bug in it.
func (m mutant) source() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("the code that it changes stands %d times in %s, and has to once:\n%s", n, m.file, m.old)
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1)), nil
}

func TestEachPlantedBugFitsTheCodeAsItIs(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants() {
		require.False(t, names[m.name], "two are called %q", m.name)
		names[m.name] = true
		_, err := m.source()
		assert.NoError(t, err, "The planted bug %q is stale: the code it is planted in has changed. "+
			"Write its entry in mutants_table_test.go anew against the code as it is, and see that seeds still find it: "+
			"task sim MUTANTS=%q", m.name, m.name)
	}
	require.GreaterOrEqual(t, len(names), 40)
}

// TestEachPlantedBugIsFoundBySeedsAlone builds this package's tests once for each planted bug, and
// plays seeds until one fails. It prints the table of docs/simulation.md.
func TestEachPlantedBugIsFoundBySeedsAlone(t *testing.T) {
	if *plant == "" {
		t.Skip("takes many minutes; task sim MUTANTS=1")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *budget)
	defer cancel()
	for i, m := range mutants() {
		var part, parts int
		if n, _ := fmt.Sscanf(*plant, "%d/%d", &part, &parts); n == 2 && i%parts != part%parts || n != 2 && *plant != "all" && *plant != m.name {
			continue
		}
		known := m.equivalent != "" || m.survives != ""
		if known && parts > 0 {
			t.Logf("| %s | not played: its entry says why no seed finds it |", m.name)
			continue
		}
		found, err := m.play(ctx, t.TempDir(), parts > 0)
		if ctx.Err() != nil {
			t.Logf("| %s | not played to the end: no time left |", m.name)
			continue
		}
		require.NoError(t, err, m.name)
		t.Logf("| %s | %s |", m.name, found)
		if found == survived && !known {
			t.Errorf("%s: %d seeds have not found it", m.name, mutantSeeds)
		}
	}
}

const survived = "survived"

var (
	failed = regexp.MustCompile(`seed (\d+): (.*)`)
	panics = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*)`)
)

// play builds the tests with the bug in them, and says which seed has found it, and how. It plays
// seeds with all kinds of faults, and then, if none has found the bug, seeds with the kinds that show
// it. Briefly, it plays the latter only, if there are such kinds.
func (m mutant) play(ctx context.Context, dir string, briefly bool) (found string, err error) {
	mutated, err := m.source()
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	copied, overlay, binary := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: copied}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(copied, mutated, 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "test", "-tags", "light", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	if briefly {
		return playOf(ctx, binary, m.by)
	}
	found, err = playOf(ctx, binary, "")
	if err != nil || found != survived || m.by == "" {
		return found, err
	}
	found, err = playOf(ctx, binary, m.by)
	if found != survived {
		found += " (only with " + m.by + ")"
	}
	return found, err
}

// playOf plays seeds with a test binary until one fails that the code without the bug passes; fault
// is the kinds that come, empty: all.
func playOf(ctx context.Context, binary, fault string) (found string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	for first := 0; first < mutantSeeds; {
		seed, how, err := firstFailure(ctx, binary, fault, first)
		if err != nil || seed < 0 {
			return how, err
		}
		if playsWell(ctx, seed, fault) {
			return fmt.Sprintf("seed %d | %s", seed, how), nil
		}
		first = seed + 1 // it has found something else
	}
	return survived, nil
}

// firstFailure plays seeds from the first on until one fails, and says how. seed is -1 if none does,
// or if it ends in another way.
func firstFailure(ctx context.Context, binary, fault string, first int) (seed int, how string, err error) {
	play := exec.CommandContext(ctx, binary, "-test.run=^TestWhateverHappens", "-test.timeout=0",
		fmt.Sprint("-first=", first), fmt.Sprint("-seeds=", mutantSeeds-first), "-fault="+fault)
	play.Env = append(play.Environ(), fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)))
	out, err := play.CombinedOutput()
	switch failure := failed.FindSubmatch(out); {
	case err == nil:
		return -1, survived, nil
	case failure != nil:
		n, _ := strconv.Atoi(string(failure[1])) // these are digits
		return n, string(failure[2]), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return -1, "hangs | it goes on for ever", nil
	case panics.Match(out):
		return -1, fmt.Sprintf("panics | %s", panics.Find(out)), nil
	default:
		return -1, "", fmt.Errorf("play: %w\n%s", err, out)
	}
}

// playsWell says whether the code without a bug passes a seed.
func playsWell(ctx context.Context, seed int, fault string) bool {
	return exec.CommandContext(ctx, os.Args[0], "-test.run=^TestWhateverHappens", "-test.timeout=0",
		fmt.Sprint("-first=", seed), "-seeds=1", "-fault="+fault).Run() == nil
}

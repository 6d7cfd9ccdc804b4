package browsertest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	// patience bounds every wait; it is a guard against hanging, not a measure.
	patience = 60 * time.Second
	// pollEvery is how often a condition is looked at.
	pollEvery = 200 * time.Millisecond
	// leftoverPatience is how long the children of a browser may outlive it.
	leftoverPatience = 10 * time.Second
)

var screenshots = flag.String("screenshots", "", "a directory to which screenshots of all pages are written")

var axePath = flag.String("axe", "", "axe-core's axe.min.js, which all pages are held against; task axe fetches it")

var chromiumPath = flag.String("chromium", "", "the browser to run: a path, or a name in $PATH; without it chromium, chromium-browser or google-chrome")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit), goleak.IgnoreCurrent())
}

// findChromium skips the test if there is no browser. One that was asked for by name has to be there.
func findChromium(t *testing.T) (path string) {
	t.Helper()
	if *chromiumPath != "" {
		path, err := exec.LookPath(*chromiumPath)
		require.NoError(t, err)
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("this test needs a Chromium: apt-get install chromium, or -args -chromium=PATH")
	return ""
}

// eventually looks from the test's own goroutine, so that a condition may require things.
func eventually(t *testing.T, condition func() bool, deadline time.Time, message string, args ...any) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf(message, args...))
		}
		<-tick.C
	}
}

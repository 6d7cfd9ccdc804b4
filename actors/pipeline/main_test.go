package pipeline

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("ENDURANCE_DIRECTORY") != "" { //nolint:forbidigo // this is a test's process, whose receiver outlives it
		os.Exit(m.Run()) //nolint:forbidigo // as goleak does
	}
	goleak.VerifyTestMain(m)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// protoactor counts letters to actors that have ended in a goroutine that lives for a second, and
// can't be told to end sooner.
const deadLetterThrottle = "github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(deadLetterThrottle))
}

// watched is an output that can be read while it is written, and ends the demo at a word.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	end  context.CancelFunc
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if strings.Contains(w.text.String(), w.word) {
		w.end()
	}
	return n, err
}

func TestTheDemoOfOneAgentEndsWithAnAccountThatBalances(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{word: "pending", end: cancel}
	err := showSingle(ctx, out)
	require.True(t, err == nil || errors.Is(err, context.Canceled), "it runs until it is ended: %v", err)
	text := out.text.String()
	require.Contains(t, text, "An agent runs 3 configs here:  http://127.0.0.1:")
	require.NotContains(t, text, "\x1b", "no terminal, no control sequences")
	require.Regexp(t, `The account: [0-9]+ scrapes gave [0-9]+ samples, with the 5 that the agent adds to each\. The receiver has [0-9]+\.`, text)
	require.NotContains(t, text, "gave 0 samples")
}

func TestATableIsBroughtUpToDateInPlace(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: true}
	rows := [][]string{{"CONFIG", "SENT"}, {"a", "1"}}
	s.show(rows, "below", "line")
	require.True(t, strings.HasPrefix(out.String(), "\r\x1b[J"), "there is nothing to go up to yet")
	out.Reset()
	s.show(rows, "below", "line")
	require.True(t, strings.HasPrefix(out.String(), "\x1b[3A\r\x1b[J"), "three lines up, and they are replaced")
	require.Equal(t, 3, strings.Count(out.String(), "\n"))

	out.Reset()
	(&screen{out: &out}).show(rows, "below", "line")
	require.Equal(t, "line\n", out.String())
}

func TestTheAccountSaysWhatIsMissing(t *testing.T) {
	w, err := newWorld(1)
	require.NoError(t, err)
	defer func() {
		for _, s := range w.servers {
			require.NoError(t, s.listener.Close())
		}
	}()
	require.Contains(t, w.closing(), "0 scrapes gave 0 samples")
	require.Contains(t, w.closing(), "Nothing is missing.")
	require.Contains(t, (&ticks{judge: toy.Judge{Due: 10, Missed: 2, Doubled: 1}}).closing(), "10 ticks were due; 8 were taken, 2 missed. 1 were taken twice.")
}

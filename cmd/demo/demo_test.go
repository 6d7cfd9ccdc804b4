package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/toy"
)

// protoactor counts letters to actors that have ended in a goroutine that lives for a second, and
// can't be told to end sooner.
const deadLetterThrottle = "github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentCommand { // this is one agent of a cluster
		os.Exit(runAgent(os.Args[2:]))
	}
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

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
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
	require.Regexp(t, `ticks missed [0-9]+, doubled 0`, text)
}

func TestATableIsBroughtUpToDateInPlace(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.terminal = true
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

func TestTheBoardOfAClusterStandsInPlaceWithWhatHappenedLastBelowIt(t *testing.T) {
	var out bytes.Buffer
	b := newBoard(&out)
	b.screen.terminal, b.screen.size = true, func() (int, int) { return 40, 14 }
	b.screen.out = returning{&out}
	b.say("first\n")
	require.Equal(t, "first\r\n", out.String(), "before there is a table")
	rows := [][]string{{"", "AGENT", "STATE"}, {"1 ▸", "a", "runs"}}
	out.Reset()
	b.draw(rows, "ticks", "keys", "line")
	require.Equal(t, "\r\x1b[J      AGENT   STATE\r\n1 ▸   a       runs\r\n\r\nticks\r\n\r\n\r\nkeys\r\n", out.String())
	for i := range 20 {
		b.say("%d is a line that is longer than the screen is wide\n", i)
	}
	out.Reset()
	b.draw(rows, "ticks", "keys", "line")
	require.True(t, strings.HasPrefix(out.String(), "\x1b[7A\r\x1b[J"), out.String())
	require.LessOrEqual(t, strings.Count(out.String(), "\n"), 14, "more could not be replaced")
	require.Contains(t, out.String(), "19 is a line that is longer than the\r\n  screen is wide\r\n")
	require.NotContains(t, out.String(), "15 is")
	b.end()
	out.Reset()
	b.say("the end\n")
	require.Equal(t, "the end\r\n", out.String())

	out.Reset()
	b = newBoard(&out)
	b.draw(rows, "ticks", "keys", "line")
	b.say("a word\n")
	require.Equal(t, "line\na word\n", out.String(), "where there is no terminal")
}

func TestSingleKeysChooseAnAgentAndBreakIt(t *testing.T) {
	c := &cluster{
		board: newBoard(&bytes.Buffer{}), commands: make(chan command), redraw: make(chan struct{}, 1),
	}
	for _, name := range []string{"a", "b", "c"} {
		c.nodes = append(c.nodes, &node.Node{Settings: node.Settings{Name: name}})
	}
	var ordered []string
	carriedOut := make(chan struct{})
	go func() {
		defer close(carriedOut)
		for o := range c.commands {
			ordered = append(ordered, o.verb+" "+o.node)
			o.answer <- nil
		}
	}()
	ended := false
	c.readSingleKeys(t.Context(), strings.NewReader("k2pK22r94x3c\x03k"), func() { ended = true })
	close(c.commands)
	<-carriedOut
	require.True(t, ended, "Ctrl-C ends it, and what comes later is nothing")
	require.Equal(t, []string{"kill ", "pause b", "kill b", "start b", "cut c"}, ordered)
	require.Len(t, c.redraw, 1)
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

func TestEachDeedIsAccountedFor(t *testing.T) {
	names := []string{"a", "b"}
	k := newTicks(names)
	begin := time.Now().Add(-time.Minute)
	scrape := func(name string, from, to time.Duration) { // each second
		for at := from; at < to; at += interval {
			_ = k.targets.Arrive(name, begin.Add(at))
		}
	}
	scrape("a", 0, 40*time.Second)
	scrape("b", 0, 20*time.Second)
	k.count(begin.Add(15 * time.Second))
	k.did(begin.Add(20*time.Second), "agent c was killed (kill -9)")
	require.Empty(t, k.effect(begin.Add(25*time.Second)), "it is too early to tell")
	require.Empty(t, k.effect(begin.Add(40*time.Second)), "b is not scraped yet")
	scrape("b", 25*time.Second, 40*time.Second)
	require.Equal(t, "          since agent c was killed (kill -9): 5 ticks missed, 0 doubled; no target was without a scrape for longer than 6.0 s\n",
		k.effect(begin.Add(40*time.Second)))
	require.Empty(t, k.effect(begin.Add(50*time.Second)), "it is told once")
	require.Empty(t, k.interrupted(begin.Add(50*time.Second)))
}

// clusterPatience bounds each step of a cluster on a slow machine.
const clusterPatience = 3 * time.Minute

// The demo pauses an agent, wakes it, cuts another one off from the store and mends it, and tells
// each time what that did to the ticks. Its agents are this test's program.
func TestTheDemoOfAClusterBreaksAgentsAndTellsWhatThatDid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &watched{word: "no such word", end: cancel}
	ended := make(chan error, 1)
	go func() { ended <- clusterOf{nodes: 3}.show(ctx, out) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
		require.Regexp(t, `The account: [0-9]+ ticks were due; [0-9]+ were taken, [0-9]+ missed\. 0 were taken twice\.`, out.String())
	}()
	says := func(what string) string {
		t.Helper()
		require.Eventually(t, func() bool { return regexp.MustCompile(what).MatchString(out.String()) }, clusterPatience, 100*time.Millisecond, "it never says %q:\n%s", what, out)
		return regexp.MustCompile(what).FindStringSubmatch(out.String())[1]
	}
	base := says(`curl -X POST '(http://[^/]+)/kill`)
	order := func(verb, name string, want int) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/"+verb+"?node="+name, http.NoBody)
		require.NoError(t, err)
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, want, response.StatusCode, "%s %s\n%s", verb, name, out)
	}
	says(`(all scraped)`)
	order("pause", "b", http.StatusOK)
	order("pause", "b", http.StatusConflict) // it is paused already
	says(`(b 0 \(paused\))`)
	says(`since agent b is paused \(SIGSTOP\); r wakes it: ([0-9]+) ticks missed, 0 doubled`)
	order("start", "b", http.StatusOK)
	says(`(agent b is well again)`)
	order("cut", "c", http.StatusOK)
	says(`(c 0 \(cut off\))`) // its session is not renewed, so the others take over
	says(`since agent c is cut off from the store; r mends it: ([0-9]+) ticks missed, 0 doubled`)
	order("start", "", http.StatusOK)
	says(`(agent c is well again)`)
}

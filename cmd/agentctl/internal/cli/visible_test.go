package cli_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// answersWith replaces something in every answer of an agent that has answered nothing yet.
func (a *agent) answersWith(what *regexp.Regexp, by string) {
	inner := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(what.ReplaceAll(answer.Body.Bytes(), []byte(by)))
	})
}

func requireHarmless(t *testing.T, text string, args []string) {
	t.Helper()
	for _, r := range text {
		require.False(t, unicode.IsControl(r) && r != '\n' && r != '\t', "%v prints %q in %q", args, r, text)
	}
	require.Contains(t, text, "\uFFFD", "%v does not even show the text", args)
}

func TestNoTextFromElsewherePlaysWithTheTerminal(t *testing.T) {
	a, _ := startWorld(t)
	a.answersWith(regexp.MustCompile("out of bounds|connection refused|first claimed|no space|too much|200 OK"), `\u001b]0;title\u0007\u009b2J\rforged`)
	for _, args := range [][]string{
		{"status"}, {"targets"}, {"endpoints"}, {"configs", "list"}, {"configs", "history", "team/api"}, {"tail", "team/api", "--for", "1ms"}, {"cluster"},
		{"scrape", "team/api", "10.0.0.7"}, {"scrape", "team/api", "10.0.0.8"},
	} {
		_, out, errs := agentctl(t, append(args, "-a", a.URL)...)
		requireHarmless(t, out+errs, args)
		_, out, _ = agentctl(t, append(args, "-a", a.URL, "-o", "json")...)
		require.Contains(t, out, `\u001b]0;title\u0007`, "%v: programs get what there is", args)
		require.NotContains(t, out, "\uFFFD", args)
	}
}

func TestAConfigIsPrintedAsItIs(t *testing.T) {
	a, _ := startWorld(t)
	a.answersWith(regexp.MustCompile("job_name: api"), `job_name: a\u0085pi`)
	code, out, errs := agentctl(t, "configs", "get", "team/api", "-a", a.URL)
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "job_name: a\u0085pi", "a text that may go into a file is not changed")
}

func TestNoLabelInALogPlaysWithTheTerminal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "api")
	l, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	app := l.AppenderV2(t.Context())
	ls := labels.FromStrings("__name__", "up\x1b[2J", "job", "node\x1b[31m", "instance", "a\r\nforged")
	_, err = app.Append(0, ls, 0, 1_700_000_000_000, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	for _, args := range [][]string{{"wal-stats", dir}, {"target-stats", "-j", "node\x1b[31m", "-i", "a\r\nforged", dir}} {
		code, out, errs := agentctl(t, args...)
		require.Equal(t, 0, code, errs)
		requireHarmless(t, out, args)
		require.NotContains(t, strings.Split(out, "\n"), "forged")
	}
}

func TestTheHistoryOfAConfigSaysWhichNodesAreMissing(t *testing.T) {
	a, _ := startWorld(t)
	a.answersWith(regexp.MustCompile(`"unreachable":(null|\[\])`), `"unreachable":[{"node":"node-2","error":"it is silent"}]`)
	for _, output := range []string{"table", "json"} {
		code, out, errs := agentctl(t, "configs", "history", "team/api", "-a", a.URL, "-o", output)
		require.Equal(t, 1, code)
		require.Contains(t, out, "run by node-1, first claimed")
		require.Equal(t, "error: node node-2 did not answer, so what it has is missing: it is silent\n", errs)
	}
}

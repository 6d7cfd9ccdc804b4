package difftest

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// FuzzResponses changes what comes over the connection, headers included, after a good scrape and
// before another one.
func FuzzResponses(f *testing.F) {
	config := parse(f, job("extra_scrape_metrics: true", "body_size_limit: 2KB"))
	for _, a := range misbehaviours() {
		if content := a.bytes(); len(content) <= 4096 && a.drip == 0 {
			f.Add(content, a.hangUp)
			f.Add(content, !a.hangUp)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, hangUp bool) {
		if len(raw) > 8192 || goesOnAfterRedirect(raw) {
			return
		}
		if bytes.Contains(raw, []byte(" 101")) {
			hangUp = true // or Prometheus' loop hangs for ever, see TestDeliberateDifferences
		}
		good := plain("a 1\nb 2\n")
		scenario{steps: []step{
			{parsed: config, answers: all(good)},
			{answers: all(answer{raw: append([]byte{}, raw...), hangUp: hangUp})},
			{answers: all(good)},
		}}.check(t)
	})
}

// goesOnAfterRedirect reports whether bytes follow a redirect. net/http, which Prometheus uses,
// takes them for the answer to the next request or closes the connection, whichever of its
// goroutines is first.
func goesOnAfterRedirect(raw []byte) bool {
	reader := bufio.NewReader(bytes.NewReader(raw))
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, response.Body)
		if response.StatusCode >= 300 {
			_, err := reader.Peek(1)
			return err == nil && response.StatusCode < 400
		}
		if response.StatusCode >= 200 {
			return false
		}
	}
}

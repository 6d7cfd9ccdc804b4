package difftest

import (
	"bytes"
	"testing"
)

// FuzzResponses changes what comes over the connection, headers included, after a good scrape and before another one.
func FuzzResponses(f *testing.F) {
	config := parse(f, job("extra_scrape_metrics: true", "body_size_limit: 2KB"))
	for _, a := range misbehaviours() {
		if content := a.bytes(); len(content) <= 4096 && a.drip == 0 {
			f.Add(content, a.hangUp)
			f.Add(content, !a.hangUp)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, hangUp bool) {
		if len(raw) > 8192 {
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

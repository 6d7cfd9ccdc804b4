package difftest

import (
	"errors"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http complains there about targets that send too much
	goleak.VerifyTestMain(m)
}

const oneTarget = `
- job_name: j
  static_configs: [{targets: ["one:80"]}]
`

func plain(body string) answer {
	return answer{header: []string{"Content-Type: text/plain; version=0.0.4; charset=utf-8"}, body: []byte(body)}
}

func openMetrics(body string) answer {
	return answer{header: []string{"Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"}, body: []byte(body)}
}

func all(a answer) map[string]answer { return map[string]answer{"": a} }

// planted is a scenario that has one of everything a plant can change.
func planted() scenario {
	return scenario{steps: []step{
		{config: oneTarget, answers: all(openMetrics("# TYPE a counter\n# HELP a Help.\na_total 1 # {id=\"x\"} 1 946684800.5\n# EOF\n"))},
		{answers: all(openMetrics("# TYPE b gauge\nb 2 946684900\n# EOF\n"))},
		{answers: all(answer{status: 500})},
	}}
}

// A comparison that finds nothing is worth nothing unless it would have found something.
func TestPlantedDifferencesAreFound(t *testing.T) {
	name := func(r *record, name string) bool { return strings.HasPrefix(r.labels, `{__name__="`+name+`"`) }
	for what, plant := range map[string]func(*record){
		"a label":          func(r *record) { r.labels = strings.Replace(r.labels, `job="j"`, `job="k"`, 1) },
		"a value":          func(r *record) { r.value = strings.Replace(r.value, "3ff0", "3ff1", 1) },
		"a timestamp":      func(r *record) { r.rest = strings.Replace(r.rest, "t=946684900000", "t=946684900001", 1) },
		"a scrape's time":  func(r *record) { r.rest = strings.Replace(r.rest, " @1", " @2", 1) },
		"an exemplar":      func(r *record) { r.rest = strings.Replace(r.rest, `id="x"`, `id="y"`, 1) },
		"an exemplar time": func(r *record) { r.rest = strings.Replace(r.rest, "t=946684800500", "t=946684800501", 1) },
		"a type":           func(r *record) { r.rest = strings.Replace(r.rest, "type=counter", "type=gauge", 1) },
		"a help text":      func(r *record) { r.rest = strings.Replace(r.rest, `"Help."`, `"Help"`, 1) },
		"a family":         func(r *record) { r.rest = strings.Replace(r.rest, `family="a"`, `family="a_total"`, 1) },
		"an option":        func(r *record) { r.rest = strings.Replace(r.rest, " reject-out-of-order", "", 1) },
		"an outcome": func(r *record) {
			if name(r, "b") {
				r.outcome = errors.New("no")
			}
		},
		"a missing marker": func(r *record) {
			if r.marker && name(r, "a_total") {
				r.labels = ""
			}
		},
		"a report": func(r *record) {
			if name(r, "scrape_series_added") {
				r.value = "7"
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := planted()
			require.Empty(t, s.compare(t))
			s.plant = plant
			require.NotEmpty(t, s.compare(t))
		})
	}
}

func TestDifferencesBesideTheAppendsAreFound(t *testing.T) {
	s := planted()
	s.parse(t)
	for what, spoil := range map[string]func(*trace){
		"a missing transaction": func(g *trace) {
			for target, txs := range g.committed {
				g.committed[target] = txs[1:]
			}
		},
		"two appends in another order": func(g *trace) {
			for _, txs := range g.committed {
				txs[0][0], txs[0][1] = txs[0][1], txs[0][0]
			}
		},
		"one more target":      func(g *trace) { g.committed["{}"] = [][]string{{"a"}} },
		"a header":             func(g *trace) { g.requests["one:80"][1] += "x" },
		"a state of a target":  func(g *trace) { g.shown[0] += "x" },
		"an ended series":      func(g *trace) { g.ended = append(g.ended, "a") },
		"a contract violation": func(g *trace) { g.broken = append(g.broken, "a") },
	} {
		t.Run(what, func(t *testing.T) {
			stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
			require.Empty(t, s.diff(stock, own))
			spoil(own)
			require.NotEmpty(t, s.diff(stock, own))
		})
	}
}

// Two runs of one loop must give the same trace, or differences would be noise.
func TestRunsAreDeterministic(t *testing.T) {
	s := planted()
	s.parse(t)
	first := s.run(t, makeStock, nil)
	for range 20 {
		require.Empty(t, s.diff(first, s.run(t, makeStock, nil)))
	}
}

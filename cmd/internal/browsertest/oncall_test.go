package browsertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quarantinePatience bounds how long a config takes to fail too often on every node.
const quarantinePatience = 6 * time.Minute

// maxClicks is how far from the overview an answer may be.
const maxClicks = 3

// onCall does what a person does who was woken up: from the overview of any node to the answer, in
// a few clicks.
func (s *site) onCall(t *testing.T) {
	for _, step := range []struct {
		name string
		run  func(t *testing.T, b *tab)
	}{
		{"finds the target that is down, and why", s.findsTheTargetThatIsDown},
		{"finds the receiver that refuses, and its words", s.findsTheReceiver},
		{"finds the dropped target, and the rule", s.findsTheDroppedTarget},
		{"sees what a target answers, and its relabelling", s.seesWhatATargetAnswers},
		{"finds what moved", s.findsWhatMoved},
		{"finds why a config waits", s.findsWhyAConfigWaits},
		{"finds where samples are stuck", s.findsWhereSamplesAreStuck},
		{"finds why a config is quarantined, and retries it", s.retriesTheConfig},
	} {
		t.Run(step.name, func(t *testing.T) {
			b := openTab(t, s.browser)
			b.visit(s.nodes[2].URL() + "/")
			require.Contains(t, textOf(b, ".health"), "Look at this")
			step.run(t, b)
			require.LessOrEqual(t, b.clicks, maxClicks)
			t.Logf("%d clicks", b.clicks)
		})
	}
}

func (s *site) findsTheTargetThatIsDown(t *testing.T, b *tab) {
	require.Contains(t, textOf(b, ".health"), "2 targets are down")
	b.click("2 targets down")
	rows := rowsOf(b, 0)
	require.Len(t, rows, 2)
	for _, row := range rows {
		require.Equal(t, "down", row[1])
		require.Contains(t, strings.Join(row, " "), "connection refused")
	}
}

func (s *site) findsTheReceiver(t *testing.T, b *tab) {
	require.Contains(t, textOf(b, ".health"), "1 endpoint is refused by its receiver")
	b.click("Receivers")
	first := strings.Join(rowsOf(b, 0)[0], " ")
	require.Contains(t, first, "/refuse")
	require.Contains(t, first, refusal)
}

func (s *site) findsTheDroppedTarget(t *testing.T, b *tab) {
	b.click("Discovery")
	rows := rowsOf(b, 0)
	require.Equal(t, "dropping", rows[0][1], "who drops most is first")
	b.clicks++
	b.arrive("", clickOn("main tbody tr:first-child th a"))
	require.Contains(t, textOf(b, "h1"), "Discovery of dropping")
	first := strings.Join(rowsOf(b, 0)[0], " ")
	require.Contains(t, first, "dropped")
	require.Contains(t, first, "by rule 1:")
	require.Contains(t, first, "action: drop")
	require.Contains(t, first, `regex: db\..*`)
	require.Contains(t, first, "db.invalid:9104")
	b.click("Steps")
	require.Contains(t, textOf(b, "main"), "Dropped by rule 1.")
}

func (s *site) seesWhatATargetAnswers(t *testing.T, b *tab) {
	b.click("Targets")
	require.Equal(t, "Targets", textOf(b, "h1"))
	up := ask[string](b, `[...document.querySelectorAll("main tbody tr")].find(r => r.cells[1].textContent.trim() === "up").cells[0].textContent.trim()`)
	b.click(up)
	b.click("Scrape now")
	require.Contains(t, textOf(b, "main"), "200 OK")
	require.Contains(t, textOf(b, "pre"), "# TYPE")
}

func (s *site) findsWhatMoved(t *testing.T, b *tab) {
	b.click("Cluster")
	require.Contains(t, textOf(b, "main"), "first claimed")
	require.Positive(t, ask[int](b, `document.querySelectorAll("svg.timeline circle").length`))
}

func (s *site) findsWhyAConfigWaits(t *testing.T, b *tab) {
	require.Contains(t, textOf(b, ".health"), "1 config is held")
	b.click(held)
	require.Contains(t, textOf(b, ".health"), "held by anna")
	require.Contains(t, textOf(b, ".health"), "its receiver is moved")
	require.Contains(t, textOf(b, "main"), "No node runs it until it is released.")
	other := openTab(t, s.browser)
	other.visit(s.nodes[0].URL() + "/configs?name=" + held)
	require.Equal(t, "held", rowsOf(other, 0)[0][1])
	b.click("Release")
	require.Contains(t, textOf(b, "main"), "It is released; it runs again soon.")
	s.configs[held] = shown{"running", "1", "0"}
	eventually(t, func() bool { return rowsOf(other, 0)[0][1] == "running" }, time.Now().Add(patience), "the page of another person never follows")
}

func (s *site) findsWhereSamplesAreStuck(t *testing.T, b *tab) {
	b.click("Flow")
	require.Contains(t, textOf(b, ".health"), "Targets")
	require.Positive(t, ask[int](b, `document.querySelectorAll("svg.wide .stage.wrong").length`), "it is red")
	require.Contains(t, textOf(b, ".problems"), refusal)
	require.Contains(t, textOf(b, ".problems"), "connection refused")
}

// quarantinedOn are the nodes that the history of a config says had it in quarantine.
func quarantinedOn(t *testing.T, body string) map[string]bool {
	var config struct {
		Data struct {
			History []struct{ Node, Text string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &config))
	nodes := map[string]bool{}
	for _, h := range config.Data.History {
		if strings.HasPrefix(h.Text, "quarantined: ") {
			nodes[h.Node] = true
		}
	}
	return nodes
}

func (s *site) retriesTheConfig(t *testing.T, b *tab) {
	eventually(t, func() bool {
		body, err := s.nodes[2].Get(t.Context(), "/configs/"+stuck+"?format=json")
		return err == nil && len(quarantinedOn(t, body)) == len(s.nodes)
	}, time.Now().Add(quarantinePatience), "not all nodes have it in quarantine")
	eventually(t, func() bool {
		b.visit(s.nodes[2].URL() + "/")
		return strings.Contains(textOf(b, ".health"), "1 config is quarantined")
	}, time.Now().Add(patience), "the overview never says that it is quarantined")
	b.click(stuck)
	require.Contains(t, textOf(b, ".health"), "It waits: quarantined after too many failures; tried again at ")
	require.Contains(t, textOf(b, ".health"), "it is no directory: remove it")
	for _, n := range s.nodes {
		require.NoError(t, os.Remove(filepath.Join(n.WALDirectory(), stuck)))
	}
	b.click("Retry now")
	s.configs[stuck] = shown{"running", "1", "0"}
	found := b.clicks
	eventually(t, func() bool {
		b.visit(s.nodes[2].URL() + "/configs?state=running&q=" + stuck)
		return len(rowsOf(b, 0)) == 1
	}, time.Now().Add(patience), "it never runs")
	b.clicks = found // whoever looks again does so as often as he likes
}

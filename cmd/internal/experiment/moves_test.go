package experiment

import (
	"context"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// barsOf are the bars of the drawing by their titles: X and height.
func barsOf(t *testing.T, page []byte) map[string][2]float64 {
	t.Helper()
	drawing := regexp.MustCompile(`(?s)<svg.*</svg>`).Find(page)
	require.NotEmpty(t, drawing)
	var svg struct {
		Rects []struct {
			X      float64 `xml:"x,attr"`
			Y      float64 `xml:"y,attr"`
			Height float64 `xml:"height,attr"`
			Title  string  `xml:"title"`
		} `xml:"rect"`
	}
	require.NoError(t, xml.Unmarshal(drawing, &svg), "the drawing is well-formed")
	found := map[string][2]float64{}
	bottom := 0.0
	for _, r := range svg.Rects {
		if r.Title == "" {
			continue
		}
		if bottom == 0 {
			bottom = r.Y + r.Height
		}
		require.Equal(t, bottom, r.Y+r.Height, "all bars stand on one line")
		found[r.Title] = [2]float64{r.X, r.Height}
	}
	return found
}

func TestAReportDrawsAndListsWhatMoved(t *testing.T) {
	old := Move{Config: "old", From: "a", To: "b", Epoch: 5, Reason: "handed over"}
	app := Move{Config: "app", From: "a", To: "b", Epoch: 7, Reason: "taken over after its session ended"}
	slice := Move{Config: "big", Unit: "slice 2", From: "b", To: "c", Epoch: 8, Reason: "handed over"}
	back := Move{Config: "app", From: "b", To: "a", Epoch: 9, Reason: "handed over"}
	r, err := playStory(t, &scripted{at: func(d time.Duration) Observation {
		switch {
		case d < 3*time.Second:
			return Observation{moves: []Move{old}}
		case d < 6*time.Second:
			return Observation{moves: []Move{slice, app, old, app}} // two nodes remember one
		default: // a node that has started again takes old claims for first ones
			first := []Move{{Config: "old", To: "b", Epoch: 5, Reason: "first"}, {Config: "app", To: "b", Epoch: 7, Reason: "first"}}
			return Observation{moves: append(first, back, app)}
		}
	}})
	require.NoError(t, err)
	app.At, slice.At, back.At = 3*time.Second, 3*time.Second, 6*time.Second
	require.Equal(t, []Move{app, slice, back}, r.Moves)

	page, err := r.Write("html")
	require.NoError(t, err)
	bars := barsOf(t, page)
	require.Len(t, bars, 2)
	both := bars["app: from a to b, taken over after its session ended\nbig slice 2: from b to c, handed over"]
	one := bars["app: from b to a, handed over"]
	require.Equal(t, 2*one[1], both[1], "the more at a time, the higher")
	whole := r.Observations[len(r.Observations)-1].At
	apart := float64(drawWidth-drawLeft-10) * 3 / whole.Seconds()
	require.InDelta(t, apart, one[0]-both[0], 0.001, "three seconds apart")
	for _, want := range []string{
		"units that move", "What moved", "after 3s: big slice 2: from b to c, handed over",
		"after 6s: app: from b to a, handed over",
	} {
		require.Contains(t, string(page), want)
	}
	text, err := r.Write("json")
	require.NoError(t, err)
	require.Contains(t, string(text), `"reason": "taken over after its session ended"`)
}

func TestAPageListsNoMoreMovesThanAPersonReads(t *testing.T) {
	r := Report{Observations: make([]Observation, 1)}
	for i := range maxMoved + 3 {
		at := time.Duration(i) * time.Second
		r.Moves = append(r.Moves, Move{Config: fmt.Sprintf("c%03d", i), From: "a", To: "b", At: at})
	}
	page, err := r.Write("html")
	require.NoError(t, err)
	require.Equal(t, maxMoved, strings.Count(string(page), "<li>after "))
	require.Contains(t, string(page), "and 3 more")
}

func TestAllNodesAreAskedWhatMoved(t *testing.T) {
	a := API{
		Bases: func(context.Context) []string { return []string{"a", "b"} },
		Do: func(_ context.Context, base, _, path, _ string) ([]byte, error) {
			if path == "/metrics" {
				return nil, nil
			}
			require.Equal(t, "/agent/api/v1/cluster?limit=1000", path)
			if base == "a" { // it has just started
				return []byte(`{"data": {"moves": []}}`), nil
			}
			return []byte(`{"data": {"moves": [{"config": "x", "unit": "slice 1", "from": "c", "to": "b",
				"at": "2026-11-22T12:00:00Z", "epoch": 3, "reason": "handed over"}]}}`), nil
		},
	}
	o, err := a.Observe(t.Context())
	require.NoError(t, err)
	want := Move{Config: "x", Unit: "slice 1", From: "c", To: "b", Epoch: 3, Reason: "handed over"}
	require.Equal(t, []Move{want}, o.moves)
}

package pages

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFormatsOfPages(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", -time.Second: "0 s", 12 * time.Second: "12 s", 3 * time.Minute: "3 min", 125 * time.Minute: "2 h 5 min", 99 * time.Hour: "4 d 3 h", 48 * time.Hour: "2 d"} {
		require.Equal(t, want, Duration(d))
	}
	for n, want := range map[any]string{0: "0", 999: "999", 1000: "1,000", uint64(1234567): "1,234,567", -1234: "-1,234"} {
		require.Equal(t, want, Count(n))
	}
	pending := uint64(1234)
	require.Equal(t, "1,234", Count(&pending), "a number that may be unknown")
	require.Equal(t, "0", Count((*uint64)(nil)))
	require.Equal(t, "1.5 KiB", Bytes(1536))
	require.Equal(t, "é…", Cut(3, "éé"))
	require.Equal(t, "340 ms", Seconds(0.34))
}

func TestANameIsBrokenWherePeopleWouldBreakIt(t *testing.T) {
	for text, want := range map[string]string{
		"http://10.0.0.1:80/metrics": "http://<wbr>10.<wbr>0.<wbr>0.<wbr>1:80/<wbr>metrics",
		"a<b>/c":                     "a&lt;b&gt;/<wbr>c",
		"ip-10-20":                   "ip-10-20",
		"é/ü":                        "é/<wbr>ü",
		strings.Repeat("x", 30):      strings.Repeat("x", 28) + "<wbr>xx",
	} {
		require.Equal(t, want, string(Name(text)))
	}
}

func TestTheRingNamesEachShareAndEscapesNames(t *testing.T) {
	drawn := string(Ring([]Share{{"a<b>", 0.25}, {"c", 0.75}}))
	require.Contains(t, drawn, "a&lt;b&gt;: 25.0 %")
	require.Contains(t, drawn, "c: 75.0 %")
	require.Equal(t, 2, strings.Count(drawn, "<circle"))
	require.NotContains(t, drawn, "<b>")
	require.Contains(t, string(Ring(nil)), "0 nodes")
}

func TestTheTimelineHasARowForEachNode(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	require.Empty(t, Timeline(nil, now))
	drawn := string(Timeline([]Mark{
		{now.Add(-time.Hour), "b", "first <one>", false}, {now, "a", "second", true}, {now.Add(time.Hour), "a", "of a clock that is ahead", false},
	}, now))
	require.Equal(t, 3, strings.Count(drawn, "<circle"))
	require.Equal(t, 2, strings.Count(drawn, "<line"))
	require.Contains(t, drawn, "first &lt;one&gt;")
	require.Contains(t, drawn, "11:00:00")
	require.NotContains(t, drawn, "NaN")
}

func TestAPlotLeavesGapsAndStandsNothing(t *testing.T) {
	require.Equal(t, 2, strings.Count(string(Plot("x", "1", []float64{0, 1, math.NaN(), 2})), "M"))
	require.NotContains(t, string(Plot("x", "0", []float64{0})), "NaN")
	require.NotContains(t, string(Plot("x", "0", nil)), "NaN")
}

func TestEachStateHasATone(t *testing.T) {
	for state, tone := range map[string]string{"down": "wrong", "UNHEALTHY": "wrong", "waiting": "late", "ACTIVE": "well", "running": "well", "idle": "plain"} {
		require.Equal(t, tone, Tone(state), state)
	}
}

func TestTheFlowIsDrawnForWideAndForNarrowScreens(t *testing.T) {
	drawn := string(Flow([]Stage{
		{Name: "Targets", Lines: []string{"1 up"}, Link: "/targets?a=1&b=2"}, {Name: "Log <b>", Tone: "late", Reason: "it waits"},
		{Name: "http://" + strings.Repeat("long-", 20) + "end", End: true, Tone: "wrong", Reason: "says <no>"}, {Name: "other", End: true},
	}))
	wide, narrow, found := strings.Cut(drawn, "</svg>")
	require.True(t, found)
	require.Equal(t, 3, strings.Count(wide, `<path class="arrow`), "the log has two ways out")
	require.Equal(t, 2, strings.Count(narrow, `<path class="arrow`), "and there is none between the ends")
	for _, one := range []string{wide, narrow} {
		require.Contains(t, one, `href="/targets?a=1&amp;b=2"`)
		require.Contains(t, one, "Log &lt;b&gt;: it waits")
		require.Contains(t, one, `<rect class="stage wrong"`)
		require.Contains(t, one, "…")
		require.NotContains(t, one, "<no>")
	}
	require.NotPanics(t, func() { Flow(nil) })
}

package scrape

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatWasDiscoveredIsExplained(t *testing.T) {
	target := serve(t, textFormat, "metric 1\n")
	s := newScraper(t, newMemory())
	config := configure(t, `
- job_name: a
  static_configs: [{targets: [ADDR0, "dropped:1", "broken:1"], labels: {team: x}}]
  relabel_configs:
  - {source_labels: [team], target_label: owner}
  - {source_labels: [__address__], regex: 'dropped.*', action: drop}
  - {source_labels: [__address__], regex: 'broken.*', target_label: __scrape_interval__, replacement: never}
`, target)
	require.NoError(t, s.Apply(t.Context(), config))
	for _, started := range []bool{false, true} {
		if started {
			require.NoError(t, s.Start())
		}
		require.Equal(t, []FoundJob{{Job: "a", Kept: 1, Dropped: 1, Invalid: 1}}, s.Discovered(false))
		found := s.Discovered(true)[0].Targets
		require.Len(t, found, 3)
		require.Equal(t, Invalid, found[0].Outcome)
		require.ErrorContains(t, found[0].Err, "error parsing scrape interval")
		require.Equal(t, Dropped, found[1].Outcome)
		require.Equal(t, "dropped:1", found[1].Before.Get("__address__"))
		require.Equal(t, 2, found[1].Number)
		require.Equal(t, "drop", string(found[1].Rule.Action))
		require.True(t, found[1].After.IsEmpty())
		require.Equal(t, Kept, found[2].Outcome)
		require.Equal(t, "x", found[2].After.Get("owner"))
		require.Empty(t, found[2].After.Get("__address__"), "reserved labels are not the target's")
	}
}

func TestAGlanceShowsWhatATargetAnswersAndStoresNothing(t *testing.T) {
	good := serve(t, textFormat, "one 1\ntwo 2\n"+strings.Repeat("# a comment\n", 100))
	page := serve(t, "text/html", "<html>secret</html>")
	sad := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusTeapot) })
	m := newMemory()
	s := newScraper(t, m)
	run(t, s, configure(t, `
- {job_name: good, scrape_interval: 1h, sample_limit: 1, static_configs: [{targets: [ADDR0]}]}
- {job_name: page, scrape_interval: 1h, static_configs: [{targets: [ADDR1]}]}
- {job_name: sad, scrape_interval: 1h, static_configs: [{targets: [ADDR2]}]}
- {job_name: small, scrape_interval: 1h, body_size_limit: 10B, static_configs: [{targets: [ADDR0]}]}
`, good, page, sad))
	eventually(t, func() bool { return len(s.Targets()) == 4 }, "targets")
	glance := func(job string) Glance {
		for _, target := range s.Targets() {
			if target.Job == job {
				g, err := s.Glance(t.Context(), job, target.ID, 12)
				require.NoError(t, err)
				return g
			}
		}
		t.Fatal("no such job")
		return Glance{}
	}
	g := glance("good")
	require.NoError(t, g.Err)
	require.True(t, g.Parsed)
	require.Equal(t, "200 OK", g.Status)
	require.Equal(t, 2, g.Samples)
	require.Equal(t, "one 1\ntwo 2\n", string(g.Body), "no more than was asked for")
	require.Equal(t, []string{"sample_limit 1: there are 2 samples before metric_relabel_configs."}, g.Exceeded)
	g = glance("page")
	require.Error(t, g.Err)
	require.False(t, g.Parsed)
	require.Empty(t, g.Body, "what is no metrics is not handed out")
	require.ErrorContains(t, glance("sad").Err, "418")
	g = glance("small")
	require.ErrorContains(t, g.Err, "body size limit exceeded")
	require.Len(t, g.Exceeded, 1)
	_, err := s.Glance(t.Context(), "good", 1, 10)
	require.ErrorIs(t, err, ErrNoTarget)
	require.Empty(t, m.find("one"))
}

package difftest

import (
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

// What this project does otherwise than Prometheus because Prometheus is not right, or not good enough.
func TestDeliberateDifferences(t *testing.T) {
	t.Run("a change of static targets restarts no other target", func(t *testing.T) {
		s := scenario{steps: []step{
			{config: targets("one:80"), answers: all(plain("a 1\n"))}, {config: targets("one:80, two:80")},
		}}
		s.parse(t)
		stock, own := s.run(t, makeStaticStock, nil), s.run(t, makeOwn, nil)
		target := `{instance="one:80", job="j"}`
		require.Contains(t, line(stock.committed[target][1], "scrape_series_added"), " (1) ", "Prometheus has forgotten the series")
		require.Contains(t, line(own.committed[target][1], "scrape_series_added"), " (0) ")
	})
	t.Run("a reload lets synthesized start timestamps go on", func(t *testing.T) {
		counter := func(v string) map[string]answer { return all(plain("# TYPE a counter\na " + v + "\n")) }
		s := scenario{features: features{synthesis: true}, steps: []step{
			{config: targets("one:80"), answers: counter("5")}, {config: targets("one:80", "scrape_timeout: 2s"), answers: counter("7")}, {answers: counter("8")},
		}}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		target := `{instance="one:80", job="j"}`
		require.Empty(t, line(stock.committed[target][1], "a"), "Prometheus has forgotten the series, and has another first sample")
		require.Contains(t, line(stock.committed[target][2], "a"), " (1) ")
		require.Contains(t, line(own.committed[target][1], "a"), " (2) ")
		require.Contains(t, line(own.committed[target][2], "a"), " (3) ")
		require.Contains(t, line(own.committed[target][2], "a"), " st=@0 ")
	})
	t.Run("a longer interval that discovery gives a target interrupts no series", func(t *testing.T) {
		longer := "- job_name: j\n  static_configs: [{targets: [\"one:80\"], labels: {__scrape_interval__: 1h}}]\n"
		s := scenario{steps: []step{
			{config: targets("one:80"), answers: all(plain("a 1\n"))}, {config: longer, unit: time.Hour}, {},
		}}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		series, target := `{__name__="a", instance="one:80", job="j"}`, `{instance="one:80", job="j"}`
		require.Contains(t, stock.ended, series, "Prometheus writes a marker before the series goes on")
		require.Contains(t, stock.open, series)
		require.Empty(t, own.ended)
		require.Len(t, own.committed[target], 3)
		require.Contains(t, line(own.committed[target][1], "scrape_series_added"), " (0) ")
	})
	t.Run("the metric family of report series is their name", func(t *testing.T) {
		s := scenario{steps: []step{{config: targets("one:80"), answers: all(plain("a 1\n"))}}}
		s.parse(t)
		require.True(t, s.run(t, makeStock, nil).cacheKeys, "Prometheus passes its cache's key, which is no valid name")
		require.False(t, s.run(t, makeOwn, nil).cacheKeys)
	})
	t.Run("protobuf metrics with labels in upper case have metadata", func(t *testing.T) {
		content := delimited(family("a", dto.MetricType_GAUGE, &dto.Metric{Label: pairs("Upper", "x"), Gauge: &dto.Gauge{Value: new(1.0)}}))
		s := scenario{steps: []step{{config: targets("one:80"), answers: all(body{kind: typeProto, content: content}.answer())}}}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		target := `{instance="one:80", job="j"}`
		require.NotContains(t, line(stock.committed[target][0], "a"), "Help of a.", "Prometheus looks for the family's name in an overwritten buffer")
		require.Contains(t, line(own.committed[target][0], "a"), "Help of a.")
	})
	t.Run("a target that switches protocols and falls silent fails one scrape", func(t *testing.T) {
		silent := answer{raw: []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), hang: true}
		s := scenario{steps: []step{{config: targets("one:80"), answers: all(silent)}, {answers: all(plain("a 1\n"))}}}
		s.parse(t)
		own := s.run(t, makeOwn, nil) // Prometheus' loop reads the body for ever, with no deadline
		target := `{instance="one:80", job="j"}`
		require.Len(t, own.committed[target], 2)
		require.Contains(t, line(own.committed[target][0], "up"), " (0) ")
		require.Contains(t, line(own.committed[target][1], "up"), " (1) ")
	})
	t.Run("a storage without a book that forgets a series gets the labels that the line has now", func(t *testing.T) {
		s := scenario{features: features{typeAndUnitLabels: true}, steps: []step{
			{config: targets("one:80"), answers: all(plain("a 1\n"))}, {answers: all(plain("# TYPE a counter\na 1\n")), forget: true},
		}}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		target := `{instance="one:80", job="j"}`
		require.NotContains(t, line(stock.committed[target][1], "a"), "__type__", "Prometheus keeps the labels of each series a second time")
		require.Contains(t, line(own.committed[target][1], "a"), `__type__="counter"`, "scrape.Options.Book says that this may not happen")
	})
	t.Run("the series of a removed job end", func(t *testing.T) {
		s := scenario{steps: still(
			step{config: targets("one:80"), answers: all(plain("a 1\n"))},
			step{config: "- {job_name: k, static_configs: [{targets: [\"one:80\"]}]}\n"})}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		series := `{__name__="a", instance="one:80", job="j"}`
		require.NotContains(t, stock.ended, series, "Prometheus leaves them open")
		require.Contains(t, own.ended, series)
	})
}

// What this project does otherwise when something goes wrong, or somewhere else.
func TestDeliberateDifferencesInTrouble(t *testing.T) {
	a, b, target := `{__name__="a", instance="one:80", job="j"}`, `{__name__="b", instance="one:80", job="j"}`, `{instance="one:80", job="j"}`
	t.Run("a series that ends in a scrape which is not committed has its marker", func(t *testing.T) {
		for _, bad := range []step{{fails: true}, {veto: longVeto}} {
			s := scenario{steps: unlucky([3]string{"a 1\nb 1\n", "a 1\n", "a 1\n"}, bad)}
			s.parse(t)
			stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
			require.Contains(t, stock.open, b, "Prometheus takes the marker for written")
			require.NotContains(t, own.open, b)
			require.Equal(t, 1, own.markersOf[b])
		}
	})
	t.Run("a series of which nothing was committed has no marker", func(t *testing.T) {
		s := scenario{steps: unlucky([3]string{"a 1\n", "a 1\nb 1\n", "a 1\n"}, step{fails: true})}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		require.Equal(t, 1, stock.markersOf[b], "Prometheus takes its sample for written")
		require.Zero(t, own.markersOf[b])
	})
	t.Run("the markers of a removed target are written when commits succeed again", func(t *testing.T) {
		s := scenario{steps: still(
			step{config: targets("one:80, two:80"), answers: all(plain("a 1\n"))}, step{config: targets("two:80")},
			step{fails: true}, step{fails: true}, step{fails: true}, step{})}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		require.Contains(t, stock.open, a, "Prometheus tries once")
		require.NotContains(t, own.open, a)
		require.Equal(t, 1, own.markersOf[a])
	})
	t.Run("a target keeps its place while a changed discovery has not reported", func(t *testing.T) {
		slow := finder{Reports: []finding{{After: inQuiet, Targets: "one:80"}}}
		s := scenario{steps: still(answering(blocks(finds("one:80")), "a 1\n"), step{}, blocks(slow), step{}, step{})}
		s.parse(t)
		stock, own := s.run(t, makeDiscoveringStock, nil), s.run(t, makeOwn, nil)
		require.Len(t, own.committed[target], len(s.steps))
		require.Less(t, len(stock.committed[target]), len(s.steps), "Prometheus drops the targets until it has")
		require.Empty(t, own.markersOf)
	})
	t.Run("a successor counts all series as added, and ends none", func(t *testing.T) {
		s := scenario{steps: moving(step{config: targets("one:80"), answers: all(plain("a 1\n"))}, step{config: targets("one:80"), move: true})}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		require.Contains(t, line(stock.committed[target][1], "scrape_series_added"), " (0) ")
		require.Contains(t, line(own.committed[target][1], "scrape_series_added"), " (1) ", "a restarted Prometheus does the same")
		require.Empty(t, own.markersOf)
	})
	t.Run("a target that is gone during a handover ends with it", func(t *testing.T) {
		both, two := targets("one:80, two:80"), strings.ReplaceAll(a, "one", "two")
		s := scenario{steps: moving(step{config: both, answers: all(plain("a 1\n"))}, step{config: targets("one:80")}, step{config: both, move: true})}
		s.parse(t)
		stock, own := s.run(t, makeStock, nil), s.run(t, makeOwn, nil)
		require.Zero(t, stock.markersOf[two], "Prometheus waits two intervals whether it comes back")
		require.Equal(t, 1, own.markersOf[two], "the first scraper can't wait")
		require.Contains(t, own.open, two)
	})
}

// line is that of the metric.
func line(transaction []string, metric string) string {
	for _, l := range transaction {
		if strings.Contains(l, `__name__="`+metric+`"`) {
			return l
		}
	}
	return ""
}

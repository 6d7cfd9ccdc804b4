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

// line is that of the metric.
func line(transaction []string, metric string) string {
	for _, l := range transaction {
		if strings.Contains(l, `__name__="`+metric+`"`) {
			return l
		}
	}
	return ""
}

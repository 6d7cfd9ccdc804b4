package cli

import (
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// TestSelectorsAreThoseOfPromQL compares with PromQL's own parser.
func TestSelectorsAreThoseOfPromQL(t *testing.T) {
	for _, text := range []string{
		`up`, `up{}`, `up{job="a"}`, `{job="a"}`, ` up { job = "a" , instance =~ "x.*" } `, `{a="x",b!="y",c!~"z",}`, `{a="\"}{,"}`, "{a=`\\d`}", `node:cpu:rate{a="é"}`,
	} {
		want, err := parser.NewParser(parser.Options{}).ParseMetricSelector(text)
		require.NoError(t, err, text)
		got, err := parseSelector(text)
		require.NoError(t, err, text)
		require.Len(t, got, len(want), text)
		for _, m := range want {
			found := false
			for _, g := range got {
				found = found || g.String() == m.String()
			}
			require.True(t, found, "%s: %s in %v", text, m, got)
		}
	}
	for _, text := range []string{`{`, `{a}`, `{a=}`, `{a=b}`, `{a="b"`, `{a="b" c="d"}`, `{="b"}`, `{a=~"("}`, `up}`, `{a="b"}x`, `{a!"b"}`} {
		_, promErr := parser.NewParser(parser.Options{}).ParseMetricSelector(text)
		require.Error(t, promErr, text)
		_, err := parseSelector(text)
		require.Error(t, err, text)
	}
	all, err := parseSelector("{}")
	require.NoError(t, err)
	require.Empty(t, all)
}

package scrape

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLabelsAreFoundInASeriesAsItIsWritten(t *testing.T) {
	for series, want := range map[string]string{
		`a_bucket{le="1"}`:                           "1",
		`a_bucket{ x = "le=\"2\"" , le = "+Inf" , }`: "+Inf",
		`{"a.bucket","le"="1e3",x="\\"}`:             "1e3",
		`a_bucket{x="}",le="a\\b\n\""}`:              "a\\b\n\"",
		`a_bucket{le2="1"}`:                          "",
		`a_bucket`:                                   "",
		`a_bucket{le="1`:                             "",
		`a_bucket{le`:                                "",
		`a_bucket{`:                                  "",
	} {
		got, ok := labelIn([]byte(series), "le")
		require.Equal(t, want, got, series)
		require.Equal(t, want != "", ok, series)
	}
}

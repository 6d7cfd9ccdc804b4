package toy

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func TestReceiverAccountsForOrderAndRepetition(t *testing.T) {
	r := &Receiver{}
	require.Equal(t, http.StatusNoContent, post(t, r, 1000, 1, 2000, 2))
	require.Equal(t, http.StatusNoContent, post(t, r, 2000, 2, 4000, 4), "sent again after a crash")
	require.Equal(t, http.StatusNoContent, post(t, r, 3000, 3), "overtaken")

	require.Equal(t, Totals{Requests: 3, Samples: 5, Repeated: 1, OutOfOrder: 1, Series: 1}, r.Totals())
	series := r.Select(labels.FromStrings("__name__", ScrapesMetric))
	require.Len(t, series, 1)
	missing, doubled := Gaps(series[0])
	require.Equal(t, []uint64{3}, missing)
	require.Empty(t, doubled)
	require.Empty(t, r.Select(labels.FromStrings("job", "other")))
}

func TestReceiverFailsWhenTold(t *testing.T) {
	r := &Receiver{}
	r.Fail(http.StatusServiceUnavailable)
	require.Equal(t, http.StatusServiceUnavailable, post(t, r, 1000, 1))
	r.Fail(0)
	require.Equal(t, http.StatusNoContent, post(t, r, 1000, 1))
	require.EqualValues(t, 1, r.Totals().Samples)
}

func TestReceiverRefusesGarbage(t *testing.T) {
	answer := httptest.NewRecorder()
	(&Receiver{}).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte("garbage"))))
	require.Equal(t, http.StatusBadRequest, answer.Code)
}

func TestGapsSeesDoubledScrapes(t *testing.T) {
	missing, doubled := Gaps(Series{Samples: []Sample{{1, 1}, {2, 2}, {3, 2}, {4, 3}}})
	require.Empty(t, missing)
	require.Equal(t, []uint64{2}, doubled)
}

func TestTargetNumbersItsScrapes(t *testing.T) {
	target := &Target{Series: 3}
	for range 2 {
		answer := httptest.NewRecorder()
		target.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		require.Contains(t, answer.Body.String(), `toy_shelf_items{shelf="0002"}`)
	}
	require.EqualValues(t, 2, target.Scrapes())
}

// post sends samples of one series, given as time, value, time, value, …
func post(t *testing.T, r *Receiver, timesAndValues ...int64) int {
	t.Helper()
	series := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: ScrapesMetric}}}
	for i := 0; i < len(timesAndValues); i += 2 {
		series.Samples = append(series.Samples, prompb.Sample{Timestamp: timesAndValues[i], Value: float64(timesAndValues[i+1])})
	}
	return write(t, r, series)
}

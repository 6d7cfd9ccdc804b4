package toy

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

func TestALedgerKeepsEachScrapeOnceWhoeverSendsIt(t *testing.T) {
	l := &Ledger{}
	send(t, l, "web", "a", Scrape{Number: 1, At: time.UnixMilli(1000)}, Scrape{Number: 2, At: time.UnixMilli(2000)})
	send(t, l, "web", "b", Scrape{Number: 4, At: time.UnixMilli(4000)})
	send(t, l, "web", "a", Scrape{Number: 2, At: time.UnixMilli(2000)}, Scrape{Number: 3, At: time.UnixMilli(3000)})
	send(t, l, "db", "", Scrape{Number: 1, At: time.UnixMilli(1000)})

	require.Equal(t, []Scrape{
		{1, time.UnixMilli(1000), "a"}, {2, time.UnixMilli(2000), "a"}, {3, time.UnixMilli(3000), "a"}, {4, time.UnixMilli(4000), "b"},
	}, l.Scrapes("web"))
	require.Equal(t, 1, l.Repeated())
	last, ok := l.Last("db")
	require.True(t, ok)
	require.Equal(t, Scrape{Number: 1, At: time.UnixMilli(1000)}, last)
	_, ok = l.Last("other")
	require.False(t, ok)
}

func TestALedgerKeepsOneNumberAtTwoTimes(t *testing.T) {
	l := &Ledger{}
	send(t, l, "web", "a", Scrape{Number: 7, At: time.UnixMilli(1000)})
	send(t, l, "web", "a", Scrape{Number: 7, At: time.UnixMilli(1001)})
	require.Len(t, l.Scrapes("web"), 2)
	require.Zero(t, l.Repeated())
}

func TestALedgerPassesOverWhatIsNoScrape(t *testing.T) {
	l := &Ledger{}
	post := func(name string, v float64) int {
		return write(t, l, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "web"}},
			Samples: []prompb.Sample{{Timestamp: 1000, Value: v}},
		})
	}
	require.Equal(t, http.StatusNoContent, post("up", 1))
	require.Equal(t, http.StatusNoContent, post(ScrapesMetric, math.Float64frombits(value.StaleNaN)))
	require.Empty(t, l.Scrapes("web"))

	answer := httptest.NewRecorder()
	l.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte("garbage"))))
	require.Equal(t, http.StatusBadRequest, answer.Code)
}

func TestTargetsRememberWhenTheyWereScraped(t *testing.T) {
	targets := &Targets{}
	scrape := func(path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		targets.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer
	}
	began := time.Now()
	for number := 1; number <= 3; number++ {
		require.Contains(t, scrape("/t/001").Body.String(), fmt.Sprintf("\n%s %d\n", ScrapesMetric, number))
	}
	require.Contains(t, scrape("/t/002").Body.String(), ScrapesMetric+" 1\n")
	arrivals := targets.Arrivals("001")
	require.Len(t, arrivals, 3)
	require.False(t, arrivals[0].Before(began))
	require.Empty(t, targets.Arrivals("003"))
	require.Equal(t, http.StatusNotFound, scrape("/metrics").Code)
}

// send posts scrapes of a job as a node would.
func send(t *testing.T, l *Ledger, job, node string, scrapes ...Scrape) {
	t.Helper()
	series := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: ScrapesMetric}, {Name: "job", Value: job}}}
	if node != "" {
		series.Labels = append(series.Labels, prompb.Label{Name: NodeLabel, Value: node})
	}
	for _, s := range scrapes {
		series.Samples = append(series.Samples, prompb.Sample{Timestamp: s.At.UnixMilli(), Value: float64(s.Number)})
	}
	require.Equal(t, http.StatusNoContent, write(t, l, series))
}

func write(t *testing.T, handler http.Handler, series prompb.TimeSeries) int {
	t.Helper()
	raw, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series}}).Marshal()
	require.NoError(t, err)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(snappy.Encode(nil, raw))))
	return answer.Code
}

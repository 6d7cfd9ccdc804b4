package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringmaster-agent/ringmaster/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestABodyHasTheSeriesOfItsShape(t *testing.T) {
	s := shape{Series: 60}
	require.Len(t, seriesOf(t, s.appendBody(nil, 7, time.Unix(1_000_000, 0))), 60)
}

func TestATenthOfTheSeriesChangesEachMinuteUnderChurn(t *testing.T) {
	s := shape{Series: 100, Churn: true}
	at := time.Unix(1_000_000, 0)
	before := seriesOf(t, s.appendBody(nil, 0, at))
	for range 10 {
		at = at.Add(time.Minute)
		after := seriesOf(t, s.appendBody(nil, 0, at))
		changed := 0
		for name := range after {
			if !before[name] {
				changed++
			}
		}
		require.Equal(t, 10, changed)
		before = after
	}
}

func seriesOf(t *testing.T, body []byte) map[string]bool {
	t.Helper()
	parser, err := textparse.New(body, "text/plain", labels.NewSymbolTable(), textparse.ParserOptions{})
	require.NoError(t, err)
	found := map[string]bool{}
	for {
		entry, err := parser.Next()
		if err != nil {
			return found
		}
		if entry == textparse.EntrySeries {
			raw, _, _ := parser.Series()
			found[string(raw)] = true
		}
	}
}

func TestTheSinkCountsSamplesTargetsAndLag(t *testing.T) {
	now := time.Now()
	up := func(instance string) prompb.TimeSeries {
		return prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "instance", Value: instance}},
			Samples: []prompb.Sample{{Timestamp: now.Add(-2 * time.Second).UnixMilli(), Value: 1}},
		}
	}
	request := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{up("a"), up("b"), up("a"), {
		Labels:  []prompb.Label{{Name: "__name__", Value: "other"}},
		Samples: []prompb.Sample{{Timestamp: now.UnixMilli()}, {Timestamp: now.UnixMilli()}},
	}}}
	raw, err := request.Marshal()
	require.NoError(t, err)
	s := newSink()
	post := func(body []byte) int {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/write", bytes.NewReader(body)))
		return answer.Code
	}
	body := snappy.Encode(nil, raw)
	require.Equal(t, http.StatusNoContent, post(body))
	require.Equal(t, http.StatusBadRequest, post([]byte("garbage")))
	require.Equal(t, http.StatusBadRequest, post(snappy.Encode(nil, raw[:len(raw)-1])))

	c := s.reset()
	require.Equal(t, 2, c.Ups)
	require.Equal(t, uint64(2), c.Broken)
	require.Equal(t, uint64(1), c.Requests)
	require.Equal(t, uint64(len(body)), c.Wire)
	require.GreaterOrEqual(t, c.LagP99, 2*time.Second)
	require.Zero(t, s.reset().Samples)
}

func TestALogIsLengthenedWithSamplesOfItsSeries(t *testing.T) {
	directory := t.TempDir()
	l, err := wal.Open(filepath.Join(directory, "config"), wal.Options{})
	require.NoError(t, err)
	require.NoError(t, l.SaveCursor("e", l.Begin()))
	a := l.AppenderV2(t.Context())
	for _, name := range []string{"a", "b"} {
		_, err := a.Append(0, labels.FromStrings("__name__", name), 0, 1, 1, nil, nil, storage.AOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, a.Commit())
	sent := l.End()
	require.NoError(t, l.SaveCursor("e", sent))
	require.NoError(t, l.Close())

	unsent, err := lengthen(directory, 10_000)
	require.NoError(t, err)
	l, err = wal.Open(filepath.Join(directory, "config"), wal.Options{})
	require.NoError(t, err)
	require.Equal(t, l.End().Seq-sent.Seq, unsent)
	require.GreaterOrEqual(t, l.Stats().Bytes, int64(10_000))
	known := collector{book: l.Book()}
	reader := l.NewReader(sent)
	first, err := reader.Next(&known)
	require.NoError(t, err)
	require.Equal(t, 2, first.Samples)
	require.Len(t, known.series, 2, "no other series")
	reader.Close()
	require.NoError(t, l.Close())

	_, err = lengthen(t.TempDir(), 1)
	require.ErrorContains(t, err, "no log")
}

func TestASinkThatRefusesCountsNothing(t *testing.T) {
	s := newSink()
	s.refuses.Store(true)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/write", strings.NewReader("")))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.True(t, s.reset().Scraped.IsZero())
	s.scraped()
	require.False(t, s.reset().Scraped.IsZero())
	require.True(t, s.reset().Scraped.IsZero(), "since the last count")
}

func TestTheTableGivesMediansAndRatiosToPrometheus(t *testing.T) {
	r := report{rounds: 3}
	for _, cpu := range []float64{1, 5, 2} {
		r.add(shape{Name: "fat"}, ringmaster, figures{CPU: cpu, RSS: 50})
		r.add(shape{Name: "fat"}, prometheus, figures{CPU: 2 * cpu, RSS: 200})
	}
	var out strings.Builder
	require.NoError(t, r.print(&out))
	require.Contains(t, out.String(), "| ringmaster | 2.00 | 0.50 | 50 (0) | 0.25 |")
	require.Contains(t, out.String(), "| prometheus | 4.00 | 1.00 | 200 (0) | 1.00 |")
}

func TestAPeerThatIsThereIsNotBuiltAgainButRingmasterIs(t *testing.T) {
	directory, builds := t.TempDir(), map[string]int{}
	for range 2 {
		for _, name := range []string{ringmaster, vmagent} {
			p := peer{Name: name, build: func(_ context.Context, directory string) (string, error) {
				builds[name]++
				return filepath.Join(directory, name), os.WriteFile(filepath.Join(directory, name), nil, 0o600)
			}}
			program, err := p.built(t.Context(), directory)
			require.NoError(t, err)
			require.Equal(t, filepath.Join(directory, name), program)
		}
	}
	require.Equal(t, map[string]int{ringmaster: 2, vmagent: 1}, builds)
}

func TestEveryTargetHasAnAddressOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for i := range 10_000 {
		address := shape{}.address(i, fieldPort)
		require.False(t, seen[address], address)
		require.True(t, strings.HasPrefix(address, "127."), address)
		seen[address] = true
	}
}

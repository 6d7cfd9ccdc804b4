package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/actors/fault/faulttest"
)

const rule = `{"point": "actor.receive", "action": "drop", "messages": "StartInstance", "duration": "1m"}`

// send makes a request of a server.
func send(s http.Handler, method, path, body string, header ...string) (int, string) {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestFaultsThatAreOffSayHowTheyAreTurnedOn(t *testing.T) {
	s := New(Options{})
	for _, r := range s.chaosRoutes() {
		for method := range r.methods {
			status, text := send(s, method, strings.ReplaceAll(r.pattern, "{name}", "a"), rule)
			require.Equal(t, http.StatusForbidden, status, r.pattern)
			require.Contains(t, text, "-chaos.enabled")
		}
	}
}

func TestRulesArePutListedDeletedAndCleared(t *testing.T) {
	faults := faulttest.New(t)
	s := New(Options{Faults: faults, Node: "a"})
	status, text := send(s, http.MethodPut, "/agent/api/v1/chaos/rules/one", rule)
	require.Equal(t, http.StatusOK, status, text)
	require.True(t, faults.Decide(fault.Event{Point: fault.ActorReceive, Message: "StartInstance"}).Hits())

	status, text = send(s, http.MethodGet, "/agent/api/v1/chaos/rules", "")
	require.Equal(t, http.StatusOK, status)
	var listed struct{ Data chaosRules }
	require.NoError(t, json.Unmarshal([]byte(text), &listed))
	require.Len(t, listed.Data.Rules, 1)
	require.Equal(t, int64(1), listed.Data.Rules[0].Hits)
	require.Equal(t, "a", listed.Data.Node)

	status, _ = send(s, http.MethodDelete, "/agent/api/v1/chaos/rules/one", "")
	require.Equal(t, http.StatusOK, status)
	status, text = send(s, http.MethodDelete, "/agent/api/v1/chaos/rules/one", "")
	require.Equal(t, http.StatusNotFound, status, text)
	for _, name := range []string{"b", "c"} {
		send(s, http.MethodPut, "/agent/api/v1/chaos/rules/"+name, rule)
	}
	status, _ = send(s, http.MethodPost, "/agent/api/v1/chaos/clear", "")
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, faults.Rules())

	status, text = send(s, http.MethodGet, "/agent/api/v1/chaos/points", "")
	require.Equal(t, http.StatusOK, status)
	for _, p := range fault.Points() {
		require.Contains(t, text, `"`+string(p.Point)+`"`)
	}
	require.Contains(t, text, "InstanceRunning")
}

func TestARuleThatMakesNoSenseIsRefusedWithItsReason(t *testing.T) {
	s := New(Options{Faults: faulttest.New(t)})
	for body, want := range map[string]string{
		`{`: "read rule", `{"pont": "x"}`: `unknown field .+pont`, `{"name": "b"}`: "the path says",
		`{"point": "disk", "action": "error", "duration": "1s"}`:           "there is no point",
		`{"point": "disk.write", "action": "error"}`:                       "duration: it is 0s",
		`{"point": "disk.write", "action": "error", "duration": "25h"}`:    "up to 1h0m0s|from 1ms to 1h0m0s",
		`{"point": "disk.write", "action": "error", "duration": "soon"}`:   "is no duration",
		`{"point": "disk.write", "action": "panic", "duration": "10s"}`:    "knows no action",
		`{"point":"disk.write","x":"` + strings.Repeat("x", 70_000) + `"}`: "too large",
	} {
		status, text := send(s, http.MethodPut, "/agent/api/v1/chaos/rules/a", body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Regexp(t, want, text)
	}
}

func TestAPageFromElsewhereBreaksNothing(t *testing.T) {
	faults := faulttest.New(t)
	s := New(Options{Faults: faults})
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.org"}} {
		status, _ := send(s, http.MethodPut, "/agent/api/v1/chaos/rules/a", rule, header...)
		require.Equal(t, http.StatusForbidden, status)
		status, _ = send(s, http.MethodPost, "/agent/api/v1/chaos/clear", "", header...)
		require.Equal(t, http.StatusForbidden, status)
	}
	require.Empty(t, faults.Rules())
}

func TestEveryPageSaysThatSomethingIsBroken(t *testing.T) {
	faults := faulttest.New(t)
	s := New(Options{Faults: faults})
	_, text := send(s, http.MethodGet, "/", "")
	require.Contains(t, text, "Faults on purpose are allowed here")
	send(s, http.MethodPut, "/agent/api/v1/chaos/rules/%3Cb%3E", rule)
	require.Len(t, faults.Rules(), 1)
	_, text = send(s, http.MethodGet, "/", "")
	require.Contains(t, text, "Broken on purpose: &lt;b&gt; (drop at actor.receive")
	_, text = send(New(Options{}), http.MethodGet, "/", "")
	require.NotContains(t, text, "on purpose")
	for _, page := range []string{"/configs", "/targets", "/receivers", "/discovery", "/relabel", "/status"} {
		_, text = send(s, http.MethodGet, page, "")
		require.Contains(t, text, "Broken on purpose", page)
	}
}

func TestTheGuardEndsAllFaultsWhenABoundIsExceeded(t *testing.T) {
	pending := prometheus.NewGauge(prometheus.GaugeOpts{Name: pendingSamples})
	skipped := prometheus.NewCounter(prometheus.CounterOpts{Name: ticksSkipped})
	registry := prometheus.NewRegistry()
	registry.MustRegister(pending, skipped)
	for name, exceed := range map[string]func(){"pending": func() { pending.Set(11) }, "missed": func() { skipped.Add(11) }} {
		pending.Set(0)
		faults := faulttest.New(t)
		s := New(Options{Faults: faults, Gatherer: registry})
		for _, n := range []string{"a", "b"} {
			status, text := send(s, http.MethodPut, "/agent/api/v1/chaos/rules/"+n, strings.Replace(rule, "{", `{"guard": {"pending": 10, "missed": 10}, `, 1))
			require.Equal(t, http.StatusOK, status, text)
		}
		require.Len(t, faults.Rules(), 2)
		exceed()
		require.Eventually(t, func() bool { return len(faults.Rules()) == 0 }, 30*time.Second, 10*time.Millisecond, name)
	}
}

func TestABoundMayBeExceededForAWhile(t *testing.T) {
	pending := prometheus.NewGauge(prometheus.GaugeOpts{Name: pendingSamples})
	registry := prometheus.NewRegistry()
	registry.MustRegister(pending)
	most, now := 10, time.Now()
	g := guard{server: New(Options{Gatherer: registry}), bounds: fault.Guard{Pending: &most, For: fault.Duration(5 * time.Second)}}
	pending.Set(11)
	require.Empty(t, g.look(now))
	require.Empty(t, g.look(now.Add(4*time.Second)))
	require.Contains(t, g.look(now.Add(5*time.Second)), "11 samples are pending, at most 10 may be")
	pending.Set(10)
	require.Empty(t, g.look(now.Add(6*time.Second)))
	pending.Set(11)
	require.Empty(t, g.look(now.Add(7*time.Second)), "it counts from anew")
}

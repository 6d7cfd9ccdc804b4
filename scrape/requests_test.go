package scrape

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// asked runs a scraper until the target was asked, and returns its request.
func asked(t *testing.T, job string, change func(*Options)) *http.Request {
	t.Helper()
	requests := make(chan *http.Request, 100)
	server := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case requests <- r:
		default:
		}
		oneMetric(w, r)
	})
	s := newScraper(t, newMemory(), change)
	run(t, s, configure(t, `[{job_name: a, `+job+`static_configs: [{targets: [ADDR0]}]}]`, server))
	return <-requests
}

func TestTheUserAgentSaysWhoAsks(t *testing.T) {
	r := asked(t, "", func(o *Options) { o.UserAgent = "Ringmaster/1.2.3" })
	require.Equal(t, "Ringmaster/1.2.3", r.Header.Get("User-Agent"))
}

func TestProtobufIsAskedForFirstWhereNobodyChoseTheProtocols(t *testing.T) {
	protobuf := func(o *Options) { o.ProtobufFirst = true }
	require.Regexp(t, `^application/vnd.google.protobuf`, asked(t, "", protobuf).Header.Get("Accept"))
	require.Regexp(t, `^text/plain`, asked(t, "scrape_protocols: [PrometheusText0.0.4], ", protobuf).Header.Get("Accept"))
	require.Regexp(t, `^application/openmetrics-text`, asked(t, "", func(*Options) {}).Header.Get("Accept"))
	chosen := "scrape_protocols: [OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4], "
	require.Regexp(t, `^application/openmetrics-text`, asked(t, chosen, protobuf).Header.Get("Accept"), "that these are the default makes no difference")
}

func TestTheFeatureOfExtraMetricsIsForJobsThatDoNotSayOtherwise(t *testing.T) {
	server := serve(t, textFormat, "metric 1\n")
	for _, feature := range []bool{false, true} {
		m := newMemory()
		s := newScraper(t, m, func(o *Options) { o.ExtraScrapeMetrics = feature })
		const target = `static_configs: [{targets: [ADDR0]}]`
		run(t, s, configure(t, `[{job_name: unsaid, `+target+`}, {job_name: "no", extra_scrape_metrics: false, `+target+`}, {job_name: "yes", extra_scrape_metrics: true, `+target+`}]`, server))
		for job, wanted := range map[string]bool{"unsaid": feature, "no": false, "yes": true} {
			eventually(t, func() bool { return len(m.find("scrape_series_added", "job", job)) > 0 }, "a scrape")
			require.Equal(t, wanted, len(m.find("scrape_timeout_seconds", "job", job)) > 0, "the feature is %t: %s", feature, job)
		}
	}
}

func TestNoConnectionIsIdleForLongerThanItMay(t *testing.T) {
	for name, plain := range map[string]string{"direct": "", "client": "http_headers: {X-A: {values: [a]}}, "} {
		t.Run(name, func(t *testing.T) {
			var open atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(oneMetric))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed, http.StateHijacked:
					open.Add(-1)
				}
			}
			server.Start()
			t.Cleanup(server.Close)
			s := newScraper(t, newMemory(), func(o *Options) { o.HTTPIdleConnTimeout = 300 * time.Millisecond })
			run(t, s, configure(t, `[{job_name: a, scrape_interval: 3s, scrape_timeout: 3s, `+plain+`static_configs: [{targets: [ADDR0]}]}]`, server))
			eventually(t, func() bool { return inState(s, 0, StateUp) }, "scraped")
			eventually(t, func() bool { return open.Load() == 0 }, "closed")
		})
	}
}

func TestDurationsAreOfTheMonotonicClock(t *testing.T) {
	_, l := oneLoop(t, Options{}, &nothing{})
	r := l.beginLast(time.Now())
	defer l.endLast(r)
	require.Contains(t, r.began.String(), "m=")
	require.NotContains(t, r.timestamp.String(), "m=")
}

func TestATargetsChangeOfStateIsOneLine(t *testing.T) {
	var down atomic.Bool
	target := func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		oneMetric(w, r)
	}
	inBubble(t, target, func(t *testing.T, dial func(*Options)) {
		core, logs := observer.New(zap.InfoLevel)
		s := newScraper(t, newMemory(), dial, func(o *Options) { o.Logger = zap.New(core) })
		text := `[{job_name: a, scrape_interval: 10s, static_configs: [{targets: [`
		for _, a := range numbered(2 * statesPerPeriod) {
			text += `"` + a + `",`
		}
		run(t, s, configure(t, text+`]}]}]`))
		<-time.After(25 * time.Second)
		changes := func() int { return logs.FilterMessage("target changed its state").Len() }
		require.Zero(t, changes(), "what is up from the start is not worth a line")
		down.Store(true)
		<-time.After(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, statesPerPeriod, changes(), "a target that stays down is said once, and only so many together")
		down.Store(false)
		<-time.After(time.Minute)
		synctest.Wait()
		require.Equal(t, 2*statesPerPeriod, changes())
		first := logs.FilterMessage("target changed its state").All()[statesPerPeriod].ContextMap()
		require.Equal(t, int64(statesPerPeriod), first["changes_not_logged"])
		require.Equal(t, "down", first["from"])
	})
}

func TestTheFirstRefusedSeriesIsNamed(t *testing.T) {
	server := serve(t, textFormat, "a 1\nb{x=\"1\"} 1 5\n")
	m := newMemory()
	core, logs := observer.New(zap.DebugLevel)
	s := newScraper(t, m, func(o *Options) { o.Logger = zap.New(core) })
	run(t, s, configure(t, `[{job_name: a, static_configs: [{targets: [ADDR0]}]}]`, server))
	eventually(t, func() bool { return len(m.find("a")) > 2 }, "some scrapes")
	const refused = `b{x="1"}: out of order sample`
	require.Equal(t, refused, s.Targets()[0].Refused)
	named := logs.FilterMessage("first series of a target that was refused").All()
	require.NotEmpty(t, named)
	require.Equal(t, zap.DebugLevel, named[0].Level)
	require.Equal(t, refused, named[0].ContextMap()["series"])
}

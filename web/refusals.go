package web

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Why requests are refused at the door, as the metric has it.
const (
	refusedAuth   = "auth"         // no or wrong credentials
	refusedHost   = "host"         // for a name that is not this node's
	refusedOrigin = "cross_site"   // sent by a page from elsewhere
	refusedChaos  = "chaos_off"    // faults on purpose are off
	refusedSize   = "size"         // longer than the agent takes
	refusedPool   = "body_memory"  // requests that are being received take all the memory they may
	refusedSlow   = "slow_body"    // the sender was too slow
	refusedRate   = "upload_rate"  // the client uploads too much
	refusedConfig = "config_limit" // the config's samples are at one of its limits
	refusedBusy   = "busy"         // others are doing the same
	refusedFull   = "store_full"   // the store takes no more
	refusedOther  = "other"
)

var refusalReasons = []string{refusedAuth, refusedHost, refusedOrigin, refusedChaos, refusedSize, refusedPool, refusedSlow,
	refusedRate, refusedConfig, refusedBusy, refusedFull, refusedOther}

// refusalStatuses are the statuses that no request gets but one that was refused, with the reason
// where none is given.
var refusalStatuses = map[int]string{
	http.StatusUnauthorized:          refusedAuth,
	http.StatusForbidden:             refusedOther,
	http.StatusRequestEntityTooLarge: refusedSize,
	http.StatusMisdirectedRequest:    refusedHost,
	http.StatusTooManyRequests:       refusedConfig, // of a library's handler, which takes no reasons
	http.StatusInsufficientStorage:   refusedFull,
}

// Refusals counts the requests that were refused at the door, by reason. Any goroutine may use it.
type Refusals struct{ counter *prometheus.CounterVec }

// NewRefusals makes the counter and registers it. nil: it is counted and not shown.
func NewRefusals(reg prometheus.Registerer) *Refusals {
	r := &Refusals{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "web_requests_refused_total",
		Help: "Requests that were refused at the door, by reason; the table is in docs/security.md.",
	}, []string{"reason"})}
	for _, reason := range refusalReasons {
		r.counter.WithLabelValues(reason)
	}
	if reg != nil {
		reg.MustRegister(r.counter)
	}
	return r
}

// Unauthorized counts the requests that next, which asks for credentials, answers with 401.
func (f *Refusals) Unauthorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if rec.status == http.StatusUnauthorized {
				f.count(rec)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (f *Refusals) count(rec *recorder) {
	reason := rec.refused
	if reason == "" {
		reason = refusalStatuses[rec.status]
	}
	if reason != "" {
		f.counter.WithLabelValues(reason).Inc()
	}
}

// because says why the request that w answers is refused.
func because(w http.ResponseWriter, reason string) {
	for w != nil {
		if rec, ok := w.(*recorder); ok {
			rec.refused = reason
			return
		}
		wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = wrapped.Unwrap()
	}
}

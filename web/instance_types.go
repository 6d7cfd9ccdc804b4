package web

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// PhaseRunning is the phase of an Instance that scrapes; other phases are shown as they are.
const PhaseRunning = "running"

// Instance is how one instance is doing. Its JSON is data of GET
// /agent/api/v1/metrics/instances/status.
type Instance struct {
	// Name is the config's name.
	Name string `json:"name"`
	// Unit names what is run, if that is less than the whole config (a slice or a replica); empty
	// otherwise.
	Unit string `json:"unit,omitempty"`
	// Phase is preparing, running, draining, failed, quarantined …
	Phase string `json:"phase"`
	// Since is when the phase began; zero if not known.
	Since time.Time `json:"since,omitzero"`
	// Revision is the store revision of the config that runs; 0 for configs of the agent's own file.
	Revision int64 `json:"revision"`
	// Generation counts the starts of the instance in this process.
	Generation uint64 `json:"generation"`
	// Quarantined: it failed too often, and waits for a change or a retry. An older revision may be
	// running meanwhile.
	Quarantined bool `json:"quarantined,omitempty"`
	// Invalid: its newest config is refused, LastError says why. What runs is an older revision, or
	// nothing.
	Invalid bool `json:"invalid,omitempty"`
	// LastError is why it failed last, or why its newest config is refused. Empty: nothing is wrong.
	LastError string `json:"last_error,omitempty"`
	// Hold is why a start that is wanted has to wait. Empty: it doesn't.
	Hold string `json:"hold,omitempty"`
	// RetryAt is when a failed instance is started again; zero if it runs or is quarantined.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Pending is how many samples are in the log and not yet sent to the endpoint that lags most.
	// Nil: not known.
	Pending *uint64 `json:"samples_pending,omitempty"`
	// Compatibility is whose series its series are: prometheus or agent. Empty: it does not run here.
	Compatibility string `json:"compatibility,omitempty"`
	// Endpoints are the receivers that it sends to. Empty: it does not run here, or sends to none.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Limits are those of scraping_service.limits that it has met since it was started here. Empty:
	// none.
	Limits []Limit `json:"limits_exceeded,omitempty"`
}

// Limit is a limit that an instance has met.
type Limit struct {
	Name    string    `json:"limit"`
	Count   uint64    `json:"count"`
	Last    time.Time `json:"last"`
	Message string    `json:"message"` // of the last time
}

// Endpoint is one remote_write block of an instance.
type Endpoint struct {
	Name string `json:"name"`
	URL  string `json:"url"` // without what may be secret
	// Pending is how many samples are in the log and not yet sent, Sent how many were acknowledged
	// since the instance started, Dropped how many were given up, by reason.
	Pending uint64            `json:"samples_pending"`
	Sent    uint64            `json:"samples_sent"`
	Dropped map[string]uint64 `json:"samples_dropped,omitempty"`
	// Lag is how old the newest sample is that was sent, in seconds; 0 if nothing waits.
	Lag float64 `json:"lag_seconds,omitempty"`
	// Failing is true from a failed request to the next acknowledged one. LastError, in the
	// receiver's words, is kept after that.
	Failing     bool      `json:"failing,omitempty"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	// Gaps are the newest losses, oldest first.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Gap is a loss: samples that were given up for one reason, one after the other.
type Gap struct {
	// From and To are the times of the oldest and the newest sample; zero if not known.
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	Reason  string    `json:"reason"`
	Samples uint64    `json:"samples"`
	// At is when the latest of them were given up.
	At time.Time `json:"at"`
}

// UnitTargets is how many active targets of a unit are in each state.
type UnitTargets struct {
	Config string
	// Unit is as in Instance.
	Unit              string
	Up, Down, Unknown int
}

// Target is one active target. The order and the names of the JSON fields are Grafana Agent's.
type Target struct {
	Instance         string        `json:"instance"`
	TargetGroup      string        `json:"target_group"` // the job
	Endpoint         string        `json:"endpoint"`     // the URL that is scraped
	State            string        `json:"state"`        // up, down or unknown
	Labels           labels.Labels `json:"labels"`
	DiscoveredLabels labels.Labels `json:"discovered_labels"`
	LastScrape       time.Time     `json:"last_scrape"`
	ScrapeDurationMS int64         `json:"scrape_duration_ms"`
	ScrapeError      string        `json:"scrape_error"`
	// Refused names the first series of the last scrape that the log did not take, and why. Empty:
	// it took all.
	Refused string `json:"refused,omitempty"`
	// Samples is how many the last scrape gave.
	Samples int `json:"samples,omitempty"`
	// Unit is as in Instance.
	Unit string `json:"unit,omitempty"`
	// Handle is by what Instances knows the target.
	Handle uint64 `json:"-"`
}

package web

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// PhaseRunning is the phase of an Instance that scrapes; other phases are shown as they are.
const PhaseRunning = "running"

// Instance is how one instance is doing. Its JSON is data of GET /agent/api/v1/metrics/instances/status.
type Instance struct {
	// Name is the config's name.
	Name string `json:"name"`
	// Unit names what is run, if that is less than the whole config (a slice or a replica); empty otherwise.
	Unit string `json:"unit,omitempty"`
	// Phase is preparing, running, draining, failed, quarantined …
	Phase string `json:"phase"`
	// Since is when the phase began; zero if not known.
	Since time.Time `json:"since,omitzero"`
	// Revision is the store revision of the config that runs; 0 for configs of the agent's own file.
	Revision int64 `json:"revision"`
	// Generation counts the starts of the instance in this process.
	Generation uint64 `json:"generation"`
	// Quarantined: it failed too often, and waits for a change or a retry. An older revision may be running meanwhile.
	Quarantined bool `json:"quarantined,omitempty"`
	// LastError is why it failed last, or why its newest config is refused. Empty: nothing is wrong.
	LastError string `json:"last_error,omitempty"`
	// Hold is why a start that is wanted has to wait. Empty: it doesn't.
	Hold string `json:"hold,omitempty"`
	// RetryAt is when a failed instance is started again; zero if it runs or is quarantined.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Pending is how many samples are in the log and not yet sent to the endpoint that lags most. Nil: not known.
	Pending *uint64 `json:"samples_pending,omitempty"`
}

// Target is one active target. The order and the names of the JSON fields are the retired service's.
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
}

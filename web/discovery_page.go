package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// DiscoveredJob is what the discoveries of one job of a unit have found on this node.
type DiscoveredJob struct {
	Config string `json:"config"`
	Unit   string `json:"unit,omitempty"`
	Job    string `json:"job"`
	// Kept, Dropped, Failed and Elsewhere are how many targets are scraped here, were dropped by
	// relabelling, came out as what can't be scraped, and are another slice's.
	Kept      int `json:"kept"`
	Dropped   int `json:"dropped"`
	Failed    int `json:"invalid"`
	Elsewhere int `json:"elsewhere"`
	// Targets are there if one config was asked for.
	Targets []DiscoveredTarget `json:"-"`
}

// DiscoveredTarget is a discovered target and what became of it.
type DiscoveredTarget struct {
	State string // kept, dropped, invalid or elsewhere
	// Before are the labels as discovered, After those that the target has.
	Before, After labels.Labels
	// Rule is the one that dropped it, the RuleNumber-th from 1 on; nil if none did.
	Rule       *relabel.Config
	RuleNumber int
	Problem    string
}

// discoveredStates are what may become of a target, what surprises first.
var discoveredStates = []string{"invalid", "dropped", "elsewhere", "kept"}

// jobRow is an item of GET /discovery.
type jobRow struct {
	Node string `json:"node"`
	DiscoveredJob
}

// Discovered is how many targets were found, Link leads to them, ConfigLink to the config.
func (j jobRow) Discovered() int    { return j.Kept + j.Dropped + j.Failed + j.Elsewhere }
func (j jobRow) ConfigLink() string { return pages.ConfigPath(j.Config) }
func (j jobRow) Link() string {
	return pages.Link("/discovery", "config", j.Config, "job", j.Job)
}

func (s *Server) jobsOfAll() gathering[jobRow] {
	return gathering[jobRow]{
		what: "jobs", path: "/discovery", keyLength: 4, usual: "dropped",
		key: func(j jobRow) []string { return []string{j.Config, j.Job, j.Unit, j.Node} },
		sorts: map[string]func(jobRow) string{
			"config":     func(j jobRow) string { return j.Config },
			"job":        func(j jobRow) string { return j.Job },
			"node":       func(j jobRow) string { return j.Node },
			"discovered": func(j jobRow) string { return quantity(^uint64(j.Discovered())) },       //nolint:gosec // a count
			"kept":       func(j jobRow) string { return quantity(^uint64(j.Kept)) },               //nolint:gosec // a count
			"dropped":    func(j jobRow) string { return quantity(^uint64(j.Failed + j.Dropped)) }, //nolint:gosec // a count
		},
		filter: func(query url.Values) (func(jobRow) bool, error) {
			node, words := query.Get("node"), wordsOf(query.Get("q"))
			return func(j jobRow) bool {
				return (node == "" || j.Node == node) && (len(words) == 0 || words.amid(j.Config, j.Unit, j.Job, j.Node))
			}, nil
		},
		local: func(r *http.Request) ([]jobRow, error) {
			jobs, err := s.opts.Inspector.Discovered(r.Context(), "", false)
			rows := make([]jobRow, 0, len(jobs))
			for _, j := range jobs {
				rows = append(rows, jobRow{s.opts.Node, j})
			}
			return rows, err
		},
	}
}

// discoveredRow is an item of GET /discovery?config=NAME.
type discoveredRow struct {
	Node       string        `json:"node"`
	Config     string        `json:"config"`
	Unit       string        `json:"unit,omitempty"`
	Job        string        `json:"job"`
	State      string        `json:"state"`
	Discovered labels.Labels `json:"discovered_labels"`
	Labels     labels.Labels `json:"labels"`
	RuleNumber int           `json:"rule_number,omitempty"`
	Rule       string        `json:"rule,omitempty"`
	Problem    string        `json:"problem,omitempty"`
	ID         string        `json:"id"`
}

// Before and After are the labels as templates show them.
func (d discoveredRow) Before() []shownLabel { return shownLabels(d.Discovered) }
func (d discoveredRow) After() []shownLabel  { return shownLabels(d.Labels) }

// DebugLink leads to the steps of the relabelling.
func (d discoveredRow) DebugLink() string {
	return pages.Link("/relabel", "config", d.Config, "unit", d.Unit, "job", d.Job, "node", d.Node, "discovered", d.ID)
}

func (s *Server) discoveredOfAll(config string) gathering[discoveredRow] {
	return gathering[discoveredRow]{
		what: "discovered targets", path: "/discovery", keyLength: 4, usual: "state",
		key: func(d discoveredRow) []string {
			return []string{d.Job, d.Discovered.Get("__address__"), d.ID, d.Unit + "@" + d.Node}
		},
		kind:  func(d discoveredRow) string { return d.State },
		kinds: discoveredStates,
		sorts: map[string]func(discoveredRow) string{
			"state": func(d discoveredRow) string { return ordinal(slices.Index(discoveredStates, d.State)) },
			"job":   func(d discoveredRow) string { return d.Job },
		},
		filter: func(query url.Values) (func(discoveredRow) bool, error) {
			job, node, words := query.Get("job"), query.Get("node"), wordsOf(query.Get("q"))
			return func(d discoveredRow) bool {
				return (job == "" || d.Job == job) && (node == "" || d.Node == node) && (len(words) == 0 || words.in(d.texts))
			}, nil
		},
		local: func(r *http.Request) ([]discoveredRow, error) { return s.ownDiscovered(r, config) },
	}
}

func (d discoveredRow) texts(found func(string) bool) bool {
	matched := found(d.Problem) || found(d.Job) || found(d.Rule)
	d.Discovered.Range(func(l labels.Label) { matched = matched || found(l.Value) })
	return matched
}

func (s *Server) ownDiscovered(r *http.Request, config string) ([]discoveredRow, error) {
	jobs, err := s.opts.Inspector.Discovered(r.Context(), config, true)
	var rows []discoveredRow
	for _, j := range jobs {
		for _, t := range j.Targets {
			id := targetID(&Target{Labels: t.Before})
			rows = append(rows, discoveredRow{
				Node: s.opts.Node, Config: j.Config, Unit: j.Unit, Job: j.Job, State: t.State, Discovered: t.Before, Labels: t.After,
				RuleNumber: t.RuleNumber, Rule: s.ruleText(t.Rule), Problem: t.Problem, ID: id,
			})
		}
	}
	return rows, err
}

// discoveryPage shows what the discoveries have found: by job, or of one config each target with
// what became of it.
func (s *Server) discoveryPage(w http.ResponseWriter, r *http.Request) {
	frame := pages.Frame{Title: "Discovery", Current: "/discovery"}
	config := r.URL.Query().Get("config")
	if config != "" {
		frame.Title = "Discovery of " + config
		list, out, done := answerList(s, w, r, listPage[discoveredRow]{
			gathering: s.discoveredOfAll(config), rows: "discovered-row", item: func(d discoveredRow) any { return d },
			list: pages.List{
				Empty:   "The config's discoveries have found nothing, or it runs nowhere.",
				Columns: []pages.Column{{Label: "Outcome", Sort: "state"}, {Label: "Discovered labels"}, {Label: "Target labels"}, {Label: "Relabelling"}},
				Filters: []pages.Filter{{Name: "config", Label: "Config", Hint: "all"}, {Name: "job", Label: "Job", Hint: "any"}},
			},
		})
		if !done {
			frame.Unreachable, frame.Data = unreachables(out.Unreachable), struct{ List pages.List }{list}
			s.show(w, r, "discovery.html", frame)
		}
		return
	}
	list, out, done := answerList(s, w, r, listPage[jobRow]{
		gathering: s.jobsOfAll(), rows: "discovery-row", item: func(j jobRow) any { return j },
		list: pages.List{
			Empty: "No config runs, so nothing is discovered.",
			Columns: []pages.Column{
				{Label: "Job", Sort: "job"}, {Label: "Config", Sort: "config"}, {Label: "Node", Sort: "node"}, {Label: "Discovered", Sort: "discovered", Number: true},
				{Label: "Kept", Sort: "kept", Number: true}, {Label: "Dropped", Sort: "dropped", Number: true}, {Label: "Invalid", Number: true},
			},
			Filters: []pages.Filter{{Name: "node", Label: "Node", Hint: "any"}},
		},
	})
	if !done {
		frame.Unreachable, frame.Data = unreachables(out.Unreachable), struct{ List pages.List }{list}
		s.show(w, r, "discovery.html", frame)
	}
}

// ruleText is a rule as a person reads it. Without the read API it says what the rule looks at, not
// what it compares with.
func (s *Server) ruleText(rule *relabel.Config) string {
	if rule == nil {
		return ""
	}
	return strings.Join(ruleLines(rule, s.opts.ReadAPI), "\n")
}

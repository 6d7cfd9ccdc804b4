package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// targetCounts are how many targets are in each state.
type targetCounts struct {
	Up      int `json:"up"`
	Down    int `json:"down"`
	Unknown int `json:"unknown"`
}

func (t *targetCounts) add(state string) {
	switch state {
	case "up":
		t.Up++
	case "down":
		t.Down++
	default:
		t.Unknown++
	}
}

// configRow is how a config's unit is doing on a node: an item of GET /configs.
type configRow struct {
	// Node is empty where nobody answers for it.
	Node        string       `json:"node"`
	Name        string       `json:"name"`
	Unit        string       `json:"unit,omitempty"`
	State       string       `json:"state"`
	Phase       string       `json:"phase"`
	Since       time.Time    `json:"since,omitzero"`
	Revision    int64        `json:"revision"`
	Quarantined bool         `json:"quarantined,omitempty"`
	Reason      string       `json:"last_error,omitempty"`
	Hold        string       `json:"hold,omitempty"`
	RetryAt     time.Time    `json:"retry_at,omitzero"`
	Targets     targetCounts `json:"targets"`
	Pending     *uint64      `json:"samples_pending,omitempty"`
	Lag         float64      `json:"lag_seconds,omitempty"`
	// Failing is how many of its endpoints don't take what is sent.
	Failing int `json:"endpoints_failing,omitempty"`
	// Unclaimed: no node has claimed the unit in the store.
	Unclaimed bool `json:"unclaimed,omitempty"`

	invalid bool // its newest text is refused
}

// Link is the config's page.
func (c configRow) Link() string { return pages.ConfigPath(c.Name) }

// snapshot is what this node has, and what it knows of the cluster.
type snapshot struct {
	state     ClusterState
	instances []Instance
	counts    map[unitID]targetCounts
	targets   []Target // those that were wanted
	at        time.Time
}

// look takes a snapshot of everything, or of one config if one is named, with the targets that are
// wanted of the units that are.
func (s *Server) look(ctx context.Context, config string, units func(UnitTargets) bool, wanted func(outline) bool) (snap snapshot, err error) {
	snap.at = s.opts.Now()
	if s.opts.Cluster != nil {
		if snap.state, err = s.opts.Cluster.State(ctx, Scope{Config: config, Own: config == ""}); err != nil {
			return snap, err
		}
	}
	if snap.instances, err = s.opts.Instances.Instances(ctx, config); err != nil {
		return snap, err
	}
	snap.counts = make(map[unitID]targetCounts, len(snap.instances))
	snap.targets, err = s.redacted.pick(ctx, func(u UnitTargets) bool {
		if config != "" && u.Config != config {
			return false
		}
		snap.counts[unitID{u.Config, u.Unit}] = targetCounts{u.Up, u.Down, u.Unknown}
		return units(u)
	}, wanted)
	return snap, err
}

func noUnit(UnitTargets) bool    { return false }
func everyUnit(UnitTargets) bool { return true }
func noTarget(outline) bool      { return false }
func everyTarget(outline) bool   { return true }

type unitID struct{ config, unit string }

// configRows are the units that this node answers for.
func (s *Server) configRows(snap snapshot) []configRow {
	units := make(map[unitID]*Unit, len(snap.state.Units))
	for i := range snap.state.Units {
		u := &snap.state.Units[i]
		units[unitID{u.Config, u.Name}] = u
	}
	rows := make([]configRow, 0, len(snap.instances))
	for i := range snap.instances {
		instance := &snap.instances[i]
		id := unitID{instance.Name, instance.Unit}
		unit := units[id]
		if unit != nil && !s.answersFor(unit, instance.Phase) {
			continue
		}
		row := rowOf(instance, snap.at)
		row.Node = s.opts.Node
		row.Targets = snap.counts[id]
		row.Unclaimed = unit != nil && unit.isUnclaimed()
		row.State = stateOf(&row, unit)
		rows = append(rows, row)
	}
	return rows
}

// answersFor says whether a unit is this node's to tell of, rather than one of which every node
// knows the same.
func (s *Server) answersFor(u *Unit, phase string) bool {
	switch phase {
	case statePreparing, stateRunning, stateDraining, stateFailed:
		return true
	}
	return u.Local || u.Owner == s.opts.Node || u.ClaimedBy == s.opts.Node
}

func rowOf(i *Instance, now time.Time) configRow {
	row := configRow{
		Name: i.Name, Unit: i.Unit, Phase: i.Phase, Since: i.Since, Revision: i.Revision, Quarantined: i.Quarantined,
		Reason: i.LastError, Hold: i.Hold, RetryAt: i.RetryAt, Pending: i.Pending,
	}
	for e := range i.Endpoints {
		endpoint := &i.Endpoints[e]
		row.Lag = max(row.Lag, endpoint.Lag)
		if troubled := endpoint.state(now); troubled == endpointFailing || troubled == endpointRefused {
			row.Failing++
			if i.LastError == "" {
				row.Reason = endpoint.URL + ": " + endpoint.LastError
			}
		}
	}
	for _, l := range i.Limits {
		if now.Sub(l.Last) < limitsFresh && i.LastError == "" {
			row.Reason = strings.TrimSpace(row.Reason + " " + l.Message + ".")
		}
	}
	row.invalid = i.Invalid
	return row
}

// limitsFresh is how long pages show that a limit was met.
const limitsFresh = 5 * time.Minute

// orphans are the units that no node answers for, or those of one config if one is named: whoever
// should run them, or does, is dead, does not answer, or is not known.
func (s *Server) orphanRows(r *http.Request, config string, silent []unreachable) ([]configRow, error) {
	if s.opts.Cluster == nil {
		return nil, nil
	}
	// What is whose is known of the others' units only if all are asked for.
	state, err := s.opts.Cluster.State(r.Context(), Scope{Config: config, Own: config == "" && len(silent) == 0})
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, u := range silent {
		why[u.Node] = "node " + u.Node + " does not answer: " + u.Error
	}
	known := map[string]bool{}
	for _, m := range state.Members {
		known[m.ID] = true
	}
	var rows []configRow
	for i := range state.Units {
		u := &state.Units[i]
		row := configRow{Name: u.Config, Unit: u.Name, Phase: u.Phase, Hold: u.Hold, Unclaimed: u.isUnclaimed()}
		nobody := *u
		nobody.New = u.New && why[u.Owner] == ""
		responsible := u.ClaimedBy
		if responsible == "" {
			responsible = u.Owner
		}
		switch reason, isSilent := why[responsible]; {
		case u.Local, s.answersFor(u, u.Phase):
			continue
		case isSilent:
			row.Node, row.State, row.Hold = responsible, stateOf(nil, &nobody), reason
		case responsible == "" || !known[responsible]:
			nobody.ClaimedBy, nobody.Epoch = "", 0
			row.State = stateOf(nil, &nobody)
		default:
			continue
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s *Server) configsOfAll() gathering[configRow] {
	return gathering[configRow]{
		what: "configs", path: "/configs", keyLength: 3, usual: "state",
		key:   func(c configRow) []string { return []string{c.Name, c.Unit, c.Node} },
		kind:  func(c configRow) string { return c.State },
		kinds: configStates,
		sorts: map[string]func(configRow) string{
			"state": func(c configRow) string { return ordinal(slices.Index(configStates, c.State)) },
			"held": func(c configRow) string { // what waits is first
				if c.Hold == "" {
					return "later"
				}
				return "at first " + ordinal(slices.Index(configStates, c.State))
			},
			"name":    func(c configRow) string { return c.Name },
			"node":    func(c configRow) string { return c.Node },
			"up":      func(c configRow) string { return quantity(^uint64(c.Targets.Up)) },   //nolint:gosec // a count
			"down":    func(c configRow) string { return quantity(^uint64(c.Targets.Down)) }, //nolint:gosec // a count
			"pending": func(c configRow) string { return quantity(^valueOf(c.Pending)) },
			"lag":     func(c configRow) string { return quantity(^uint64(c.Lag * 1000)) },
		},
		filter: func(query url.Values) (func(configRow) bool, error) {
			node, name, words := query.Get("node"), query.Get("name"), wordsOf(query.Get("q"))
			held, claimed := query.Get("held"), query.Get("claimed")
			return func(c configRow) bool {
				return (node == "" || c.Node == node) && (name == "" || c.Name == name) &&
					(held == "" || (c.Hold != "") == (held == yes)) && (claimed == "" || c.Unclaimed == (claimed == no)) &&
					(len(words) == 0 || words.amid(c.Name, c.Unit, c.Node, c.Phase, c.Reason, c.Hold))
			}, errors.Join(oneOf("held", held, yes, no), oneOf("claimed", claimed, yes, no))
		},
		local: func(r *http.Request) ([]configRow, error) {
			snap, err := s.look(r.Context(), "", noUnit, noTarget)
			return s.configRows(snap), err
		},
		orphans: func(r *http.Request, silent []unreachable) ([]configRow, error) { return s.orphanRows(r, "", silent) },
	}
}

func valueOf(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

// configsPage lists all configs of the cluster, failures first.
func (s *Server) configsPage(w http.ResponseWriter, r *http.Request) {
	list, out, done := answerList(s, w, r, listPage[configRow]{
		gathering: s.configsOfAll(), rows: "config-row", item: func(c configRow) any { return c },
		list: pages.List{
			Empty: "There are no configs yet. Upload one with agentctl configs put, or with PUT " + api + "/config/NAME.",
			Columns: []pages.Column{
				{Label: "Config", Sort: "name"}, {Label: "State", Sort: "state"}, {Label: "Node", Sort: "node"}, {Label: "Up", Sort: "up", Number: true},
				{Label: "Down", Sort: "down", Number: true}, {Label: "Pending", Sort: "pending", Number: true}, {Label: "Lag", Sort: "lag", Number: true},
				{Label: "Remarks"},
			},
			Filters: []pages.Filter{{Name: "node", Label: "Node", Hint: "any"}},
		},
	})
	if !done {
		if s.opts.Configs != nil {
			list.Action, list.ActionLink = "Upload a config", "/upload"
		}
		s.show(w, r, "configs.html", pages.Frame{Title: "Configs", Current: "/configs", Unreachable: unreachables(out.Unreachable), Data: list})
	}
}

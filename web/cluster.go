package web

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// clustered guards the endpoints that speak for the cluster.
func (s *Server) clustered(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Cluster == nil {
			refuse(w, r, http.StatusNotFound, "this agent does not know of a cluster")
			return
		}
		h(w, r)
	}
}

// clusterJSON is data of GET /agent/api/v1/cluster.
type clusterJSON struct {
	Node      string              `json:"node"`
	Session   string              `json:"session,omitempty"`
	Settled   bool                `json:"settled"`
	Permitted bool                `json:"permitted"`
	Problem   string              `json:"problem,omitempty"`
	Members   []clusterMemberJSON `json:"members"`
	Configs   int                 `json:"configs"`
	Units     int                 `json:"units"`
	Unowned   int                 `json:"unowned"`
	Held      []Standing          `json:"held"`
	Cordons   []Standing          `json:"cordons"`
	Moves     []Move              `json:"moves"`
}

type clusterMemberJSON struct {
	Node    string    `json:"node"`
	State   string    `json:"state"`
	Alive   *bool     `json:"alive,omitempty"`
	Skew    float64   `json:"clock_skew_seconds,omitempty"`
	Address string    `json:"address"`
	Scheme  string    `json:"scheme"`
	Zone    string    `json:"zone"`
	Version string    `json:"version"`
	Since   time.Time `json:"since,omitzero"`
	Tokens  int       `json:"tokens"`
	Share   float64   `json:"share"`
	// Claimed is how many units the member runs.
	Claimed int    `json:"claimed"`
	Problem string `json:"problem,omitempty"`
	// Unfit says why the member can't run anything at the moment, or may not since it is drained.
	Unfit  string    `json:"unfit,omitempty"`
	Cordon *Standing `json:"cordon,omitempty"`
}

// showCluster answers what this node knows of the cluster as a whole.
func (s *Server) showCluster(w http.ResponseWriter, r *http.Request) {
	limit, err := readLimit(r.URL.Query())
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{})
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "describe cluster: " + err.Error()})
		return
	}
	succeed(w, http.StatusOK, s.describeCluster(state, limit))
}

func (s *Server) describeCluster(state ClusterState, moves int) clusterJSON {
	configs, claimed := map[string]bool{}, map[string]int{}
	for _, u := range state.Units {
		configs[u.Config] = true
		claimed[u.ClaimedBy]++
	}
	out := clusterJSON{
		Node: s.opts.Node, Session: state.Session, Settled: state.Settled, Permitted: state.Permitted, Problem: state.Problem,
		Members: make([]clusterMemberJSON, 0, len(state.Members)),
		Configs: len(configs), Units: len(state.Units), Unowned: state.Unowned, Held: append([]Standing{}, state.Held...),
		Cordons: append([]Standing{}, state.Cordons...),
		Moves:   append([]Move{}, state.Moves[:min(moves, len(state.Moves))]...),
	}
	for _, m := range sortMembers(state.Members) {
		out.Members = append(out.Members, clusterMemberJSON{
			Node: m.ID, State: m.State, Alive: m.Alive, Skew: m.ClockAhead.Seconds(), Address: m.Address, Scheme: m.scheme(), Zone: m.Zone, Version: m.Version,
			Since: m.Registered, Tokens: len(m.Tokens), Share: m.Share, Claimed: claimed[m.ID], Problem: m.Problem, Unfit: m.Unfit, Cordon: m.Cordon,
		})
	}
	return out
}

func (m Member) scheme() string {
	if m.Scheme == "" {
		return "http"
	}
	return m.Scheme
}

// sortMembers returns a sorted copy.
func sortMembers(members []Member) []Member {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// unitKeyLength is the length of a unit's key.
const unitKeyLength = 3

func unitKey(u Unit) []string { return []string{u.Config, ordinal(u.Slice), ordinal(u.Replica)} }

// listUnits answers who should run what and who does. Every node knows it from the store, so nobody
// else is asked.
func (s *Server) listUnits(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	page, err := readPage(query, unitKeyLength)
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	wanted, err := unitFilter(query.Get("node"), query.Get("state"), query.Get("name"))
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{})
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "describe cluster: " + err.Error()})
		return
	}
	var units []Unit
	for _, u := range state.Units {
		u.State = u.state()
		if wanted(u) {
			units = append(units, u)
		}
	}
	items, next := pageOf(units, unitKey, page)
	succeed(w, http.StatusOK, listing[Unit]{Node: s.opts.Node, Items: items, Total: len(units), Next: next})
}

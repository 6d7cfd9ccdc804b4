package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// maxJoin bounds how many new members a plan may have.
const maxJoin = 100

// planJSON is data of GET /agent/api/v1/cluster/plan.
type planJSON struct {
	Leave    string        `json:"leave,omitempty"`
	Join     int           `json:"join,omitempty"`
	Units    int           `json:"units"`
	Moved    int           `json:"moved"`
	Estimate *estimateJSON `json:"estimate,omitempty"`
	Nodes    []PlannedNode `json:"nodes"`
	// Items and Next come with ?names=true.
	Items []PlannedMove `json:"items,omitzero"`
	Next  string        `json:"next,omitempty"`
}

// estimateJSON tells that the numbers are averages over draws of tokens.
type estimateJSON struct {
	Draws int    `json:"draws"`
	Seed  uint64 `json:"seed"`
	Least int    `json:"least"`
	Most  int    `json:"most"`
}

// planChange answers what would move if a member left or some joined. Nothing is changed.
func (s *Server) planChange(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	names := query.Get("names") == "true"
	change, err := readChange(query)
	page, pageErr := readPage(query, unitKeyLength)
	if err := errors.Join(err, pageErr); err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	plan, err := s.opts.Cluster.Plan(r.Context(), change)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		failAPI(w, http.StatusNotFound, problem{Error: fmt.Sprintf("there is no member %q", change.Leave)})
		return
	case errors.Is(err, ErrUnsettled):
		failAPI(w, http.StatusServiceUnavailable, problem{Error: err.Error()})
		return
	case err != nil:
		failAPI(w, http.StatusInternalServerError, problem{Error: "plan change: " + err.Error()})
		return
	}
	out := describePlan(plan, change)
	if names {
		out.Items, out.Next = pageOf(plan.Moves, func(m PlannedMove) []string {
			return []string{m.Config, ordinal(m.Slice), ordinal(m.Replica)}
		}, page)
	}
	succeed(w, http.StatusOK, out)
}

func describePlan(plan Plan, change Change) planJSON {
	out := planJSON{Leave: change.Leave, Join: change.Join, Units: plan.Units, Moved: plan.Moved, Nodes: append([]PlannedNode{}, plan.Nodes...)}
	slices.SortFunc(out.Nodes, func(a, b PlannedNode) int { return strings.Compare(a.Node, b.Node) })
	if plan.Draws > 0 {
		out.Estimate = &estimateJSON{Draws: plan.Draws, Seed: change.Seed, Least: plan.Least, Most: plan.Most}
	}
	return out
}

func readChange(query url.Values) (Change, error) {
	change := Change{Leave: query.Get("leave"), Seed: 1}
	join := query.Get("join")
	if (change.Leave == "") == (join == "") {
		return change, errors.New("want either leave=NODE or join=NUMBER")
	}
	if change.Leave != "" {
		return change, nil
	}
	n, err := strconv.Atoi(join)
	if err != nil || n < 1 || n > maxJoin {
		return change, fmt.Errorf("join: want a number from 1 to %d", maxJoin)
	}
	change.Join = n
	if query.Get("names") == "true" {
		return change, errors.New("names: which units a new member gets depends on tokens that it has not drawn yet; only their number can be told")
	}
	if seed := query.Get("seed"); seed != "" {
		if change.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			return change, errors.New("seed: want a number from 0 on")
		}
	}
	return change, nil
}

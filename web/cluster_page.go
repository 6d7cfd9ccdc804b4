package web

import (
	"net/http"
	"slices"
	"strconv"
)

// Bounds of what the page shows; the API has the rest.
const (
	shownMoves = 50
	shownHolds = 100
)

type clusterData struct {
	Now    string
	Ring   bool
	Moves  []moveRow
	Holds  []holdRow
	Held   int // holds there are, shown or not
	Member []memberRow
	clusterJSON
}

type memberRow struct {
	clusterMemberJSON
	Registered, Part, Gossip string
}

type moveRow struct {
	Move
	Time, Before string
}

type holdRow struct {
	Unit
	Runs string
}

// clusterPage shows a person who runs what, what moved lately, and what waits here.
func (s *Server) clusterPage(w http.ResponseWriter, r *http.Request) {
	state, err := s.opts.Cluster.State(r.Context())
	if err != nil {
		writeText(w, http.StatusInternalServerError, "describe cluster: "+err.Error())
		return
	}
	data := clusterData{Now: formatTime(s.opts.Now()), Ring: s.opts.Ring != nil, clusterJSON: s.describeCluster(state, shownMoves)}
	for _, m := range data.Members {
		data.Member = append(data.Member, memberRow{m, formatTime(m.Since), percent(m.Share), gossipWord(m.Alive)})
	}
	for _, m := range data.clusterJSON.Moves {
		data.Moves = append(data.Moves, moveRow{m, formatTime(m.At), orDash(m.From)})
	}
	units := slices.DeleteFunc(slices.Clone(state.Units), func(u Unit) bool { return u.Hold == "" })
	data.Held = len(units)
	units, _ = pageOf(units, unitKey, pageRequest{limit: shownHolds})
	for _, u := range units {
		data.Holds = append(data.Holds, holdRow{u, orDash(u.ClaimedBy)})
	}
	s.page(w, "cluster.html", data)
}

// More is what of the holds is not shown.
func (d clusterData) More() string {
	if d.Held <= len(d.Holds) {
		return ""
	}
	return strconv.Itoa(d.Held - len(d.Holds))
}

func gossipWord(alive *bool) string {
	switch {
	case alive == nil:
		return "–"
	case *alive:
		return "alive"
	default:
		return "dead"
	}
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// Bounds of what is told of problems: of one kind by a node, and on the page.
const (
	problemsByKind = 5
	shownProblems  = 25
	shownLastMoves = 8
)

// nodeSummary is one node's part of GET /.
type nodeSummary struct {
	Node string `json:"node"`
	// Configs and Endpoints are how many there are in each state.
	Configs   map[string]int `json:"configs"`
	Endpoints map[string]int `json:"endpoints"`
	Running   int            `json:"running"`
	Targets   targetCounts   `json:"targets"`
	Sent      uint64         `json:"samples_sent"`
	Dropped   uint64         `json:"samples_dropped"`
	Pending   uint64         `json:"samples_pending"`
	Lag       float64        `json:"lag_seconds"`
	Late      []string       `json:"late"`
	Problems  []wrong        `json:"problems"`
	History   []Point        `json:"history,omitempty"`

	State string `json:"-"`
	Error string `json:"-"`
}

// wrong is something that a person should look at.
type wrong struct {
	Kind  string `json:"kind"`  // config, endpoint or target
	State string `json:"state"` // of the config, endpoint or target
	What  string `json:"what"`
	Node  string `json:"node,omitempty"`
	Text  string `json:"text,omitempty"`
	Link  string `json:"link"`
}

// wrongStates are what is wrong, worst first.
var wrongStates = []string{
	stateUnowned, stateQuarantined, stateFailed, stateInvalid, endpointFailing, endpointRefused, stateDown, stateLagging, stateWaiting, stateHeld,
}

// overviewJSON is data of GET /.
type overviewJSON struct {
	Node     string `json:"node"`
	Health   string `json:"health"` // well, late or wrong
	Sentence string `json:"sentence"`
	// Nodes are each node's part.
	Nodes       []nodeSummary  `json:"nodes"`
	Configs     map[string]int `json:"configs"`
	Endpoints   map[string]int `json:"endpoints"`
	Targets     targetCounts   `json:"targets"`
	Unowned     int            `json:"unowned"`
	Problems    []wrong        `json:"problems"`
	Unreachable []unreachable  `json:"unreachable"`

	moves []Move
	dead  []string
}

// someDown wants as many targets that are down as are told of, and of no more units than it takes.
func someDown() (units func(UnitTargets) bool, wanted func(outline) bool) {
	found, n := 0, 0
	units = func(u UnitTargets) bool {
		if u.Down == 0 || found >= problemsByKind {
			return false
		}
		found += u.Down
		return true
	}
	wanted = func(t outline) bool {
		if t.state != stateDown || n == problemsByKind {
			return false
		}
		n++
		return true
	}
	return units, wanted
}

// lookForOverview takes a snapshot of everything, with some of the targets that are down.
func (s *Server) lookForOverview(ctx context.Context) (snapshot, error) {
	units, wanted := someDown()
	return s.look(ctx, "", units, wanted)
}

// summarize is this node's part.
func (s *Server) summarize(snap snapshot) nodeSummary {
	out := nodeSummary{Node: s.opts.Node, Configs: map[string]int{}, Endpoints: map[string]int{}, Late: s.opts.Late(), Problems: []wrong{}}
	if s.opts.History != nil {
		out.History = s.opts.History()
	}
	told := map[string]int{}
	tell := func(w wrong) {
		if slices.Contains(wrongStates, w.State) && told[w.Kind+w.State] < problemsByKind {
			told[w.Kind+w.State]++
			out.Problems = append(out.Problems, w)
		}
	}
	for _, row := range s.configRows(snap) {
		out.Configs[row.State]++
		if row.Phase == PhaseRunning {
			out.Running++
		}
		// Targets and endpoints tell their own.
		if row.State != stateDown && row.State != stateRefused && row.State != stateLagging {
			tell(wrong{"config", row.State, strings.TrimSpace(row.Name + " " + row.Unit), s.opts.Node, cmp.Or(row.Reason, row.Hold), row.Link()})
		}
	}
	for _, e := range s.endpointRows(snap.instances, snap.at) {
		out.Endpoints[e.State]++
		out.Sent += e.Sent
		out.Pending += e.Pending
		out.Dropped += e.Lost()
		out.Lag = max(out.Lag, e.Lag)
		tell(wrong{"endpoint", e.State, e.Config + " → " + e.URL, s.opts.Node, e.LastError, pages.Link("/receivers", "config", e.Config)})
	}
	for _, c := range snap.counts {
		out.Targets.Up += c.Up
		out.Targets.Down += c.Down
		out.Targets.Unknown += c.Unknown
	}
	for i := range snap.targets {
		t := &snap.targets[i]
		tell(wrong{"target", t.State, t.Endpoint + " of " + t.Instance, s.opts.Node, t.ScrapeError, targetLink(s.opts.Node, t.Instance, t.Unit, targetID(t))})
	}
	return out
}

func (s *Server) overview(r *http.Request) (out overviewJSON) {
	others, end, failed := askAll(s, r, "/", func(n nodeSummary) string { return n.Node })
	defer end()
	snap, err := s.lookForOverview(r.Context())
	if err != nil {
		// The page shows what there is.
		out.Unreachable = []unreachable{{s.opts.Node, err.Error()}}
	}
	own := s.summarize(snap)
	var parts []nodeSummary
	silent := []unreachable{}
	if failed != nil {
		silent = append(silent, unreachable{s.opts.Node, failed.Error()})
	} else {
		parts, silent = others()
	}
	out.Node, out.Unreachable = s.opts.Node, append(out.Unreachable, silent...)
	out.Nodes = append([]nodeSummary{own}, parts...)
	orphans, err := s.orphanRows(r, "", silent)
	if err != nil {
		orphans = nil
	}
	out.sum(orphans)
	out.Nodes = s.withStates(out.Nodes, snap.state, silent)
	for _, m := range snap.state.Members {
		if m.Alive != nil && !*m.Alive || m.Problem != "" {
			out.dead = append(out.dead, m.ID)
		}
	}
	out.Health, out.Sentence = out.judge(snap.state, s.opts.Cluster != nil)
	out.moves = snap.state.Moves[:min(len(snap.state.Moves), shownLastMoves)]
	return out
}

// sum adds the nodes' parts, and the units that no node answers for.
func (o *overviewJSON) sum(orphans []configRow) {
	o.Configs, o.Endpoints, o.Problems = map[string]int{}, map[string]int{}, []wrong{}
	for _, n := range o.Nodes {
		for state, count := range n.Configs {
			o.Configs[state] += count
		}
		for state, count := range n.Endpoints {
			o.Endpoints[state] += count
		}
		o.Targets.Up += n.Targets.Up
		o.Targets.Down += n.Targets.Down
		o.Targets.Unknown += n.Targets.Unknown
		o.Problems = append(o.Problems, n.Problems...)
	}
	for i, row := range orphans {
		o.Configs[row.State]++
		if i < problemsByKind && slices.Contains(wrongStates, row.State) {
			o.Problems = append(o.Problems, wrong{"config", row.State, strings.TrimSpace(row.Name + " " + row.Unit), row.Node, row.Hold, row.Link()})
		}
	}
	o.Unowned = o.Configs[stateUnowned]
	rank := func(w wrong) int { return slices.Index(wrongStates, w.State) }
	slices.SortStableFunc(o.Problems, func(a, b wrong) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.What, b.What), cmp.Compare(a.Node, b.Node))
	})
	o.Problems = o.Problems[:min(len(o.Problems), shownProblems)]
}

// withStates adds how the members are, and those that did not answer.
func (s *Server) withStates(nodes []nodeSummary, state ClusterState, silent []unreachable) []nodeSummary {
	for _, u := range silent {
		if u.Node != s.opts.Node {
			nodes = append(nodes, nodeSummary{Node: u.Node, State: "unreachable", Error: u.Error})
		}
	}
	for i := range nodes {
		n := &nodes[i]
		for _, m := range state.Members {
			if m.ID == n.Node && n.State == "" {
				n.State = strings.ToLower(m.State)
			}
		}
		n.State = cmp.Or(n.State, "active")
	}
	slices.SortFunc(nodes, func(a, b nodeSummary) int { return cmp.Compare(a.Node, b.Node) })
	return nodes
}

// judge says in one sentence how the cluster is.
func (o *overviewJSON) judge(state ClusterState, clustered bool) (health, sentence string) {
	var bad, late []string
	note := func(to *[]string, n int, one, many string) {
		switch {
		case n == 1:
			*to = append(*to, "1 "+one)
		case n > 1:
			*to = append(*to, pages.Count(n)+" "+many)
		}
	}
	if clustered && !state.Settled {
		bad = append(bad, "this node does not know the ring")
	}
	note(&bad, len(o.dead), "node is dead", "nodes are dead")
	note(&bad, len(o.Unreachable), "node does not answer", "nodes do not answer")
	note(&bad, o.Configs[stateUnowned], "config is run by nobody", "configs are run by nobody")
	note(&bad, o.Configs[stateQuarantined], "config is quarantined", "configs are quarantined")
	note(&bad, o.Configs[stateFailed], "config has failed and will be tried again", "configs have failed and will be tried again")
	note(&bad, o.Configs[stateInvalid], "config is invalid", "configs are invalid")
	note(&bad, o.Endpoints[endpointFailing]+o.Endpoints[endpointRefused], "endpoint is refused by its receiver", "endpoints are refused by their receivers")
	note(&bad, o.Targets.Down, "target is down", "targets are down")
	note(&late, o.Endpoints[endpointLagging], "endpoint lags", "endpoints lag")
	note(&late, o.Configs[stateWaiting], "config waits", "configs wait")
	note(&late, o.Configs[stateHeld], "config is held", "configs are held")
	note(&late, o.Configs[statePreparing], "config is starting", "configs are starting")
	running := fmt.Sprintf("%s on %s, %s up.", pages.Plural(o.total(), "config"), pages.Plural(len(o.Nodes), "node"), pages.Plural(o.Targets.Up, "target"))
	switch {
	case len(bad) > 0:
		return "wrong", "Look at this: " + strings.Join(append(bad, late...), ", ") + ". " + running
	case len(late) > 0:
		return "late", "Nothing is broken, but " + strings.Join(late, ", ") + ". " + running
	case o.total() == 0:
		return "late", "There are no configs yet."
	}
	return "well", "All is well: " + running + " Every receiver accepts what it is sent."
}

func (o *overviewJSON) total() (n int) {
	for _, count := range o.Configs {
		n += count
	}
	return n
}

type kind struct {
	Label, Link, Tone string
	Count             int
}

type overviewData struct {
	overviewJSON
	Tone    string
	Waiting []string
	Kinds   []kind
	Plots   []template.HTML
	Moves   []moveRow
}

// frontPage shows a person how the cluster is doing, what is wrong first.
func (s *Server) frontPage(w http.ResponseWriter, r *http.Request) {
	if askedByPeer(r) {
		snap, err := s.lookForOverview(r.Context())
		if err != nil {
			failAPI(w, http.StatusInternalServerError, problem{Error: err.Error()})
			return
		}
		succeed(w, http.StatusOK, s.summarize(snap))
		return
	}
	out := s.overview(r)
	if wantsJSON(r) {
		succeed(w, http.StatusOK, out)
		return
	}
	data := overviewData{overviewJSON: out, Tone: out.Health, Waiting: s.opts.Ready(), Moves: moveRows(out.moves), Plots: plots(out.Nodes, s.opts.Now())}
	data.Kinds = []kind{
		{"configs", "/configs", "", out.total()},
		{"run by nobody", "/configs?state=unowned", "wrong", out.Unowned},
		{"quarantined", "/configs?state=quarantined", "wrong", out.Configs[stateQuarantined]},
		{"failed or invalid", "/configs?state=failed", "wrong", out.Configs[stateFailed] + out.Configs[stateInvalid]},
		{"waiting", "/configs?state=waiting", "late", out.Configs[stateWaiting]},
		{"held", "/configs?state=held", "late", out.Configs[stateHeld]},
		{"targets up", "/targets?state=up", "", out.Targets.Up},
		{"targets down", "/targets?state=down", "wrong", out.Targets.Down},
		{"endpoints refused", "/receivers", "wrong", out.Endpoints[endpointFailing] + out.Endpoints[endpointRefused]},
		{"endpoints lagging", "/receivers?state=lagging", "late", out.Endpoints[endpointLagging]},
	}
	if out.Configs[stateFailed] == 0 && out.Configs[stateInvalid] > 0 {
		data.Kinds[3].Link = "/configs?state=invalid"
	}
	s.show(w, r, "overview.html", pages.Frame{Title: "Overview", Current: "/", Unreachable: unreachables(out.Unreachable), Data: data})
}

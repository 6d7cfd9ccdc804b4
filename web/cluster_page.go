package web

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// Bounds of what the page shows; the API has the rest.
const (
	shownMoves  = 100
	shownHolds  = 50
	shownOrders = 200
)

type clusterData struct {
	clusterJSON
	Members     []memberRow
	Drawing     template.HTML
	Axis        template.HTML
	Trouble     string
	Done        string
	Search      string
	Leave       string
	Join        int
	Plan        *planJSON
	PlanProblem string
	// States are the units by state, worst first, as on all pages.
	States []pages.Tab
	// Holds is what waits; MoreHolds: perhaps more than is shown.
	Holds     []configRow
	MoreHolds bool
	// Orders are about nodes and configs that are gone; MoreOrders is how many more there are.
	Orders     []Standing
	MoreOrders int
	Moves      []moveRow
}

type memberRow struct {
	clusterMemberJSON
	Gossip, Colour string
	Home           string
	Forgettable    bool
}

// addOrders adds the cordons of nodes that are no members, and the holds of configs that don't exist;
// the others are shown with the member, and with the config.
func (d *clusterData) addOrders(state ClusterState) {
	members, configs := map[string]bool{}, map[string]bool{}
	for _, m := range state.Members {
		members[m.ID] = true
	}
	for _, u := range state.Units {
		configs[u.Config] = true
	}
	for _, c := range state.Cordons {
		if !members[c.Name] {
			d.Orders = append(d.Orders, c)
		}
	}
	for _, h := range state.Held {
		if !configs[h.Name] {
			d.Orders = append(d.Orders, h)
		}
	}
	if more := len(d.Orders) - shownOrders; more > 0 {
		d.Orders, d.MoreOrders = d.Orders[:shownOrders], more
	}
}

type moveRow struct {
	Move
	Link string
}

func moveRows(moves []Move) []moveRow {
	rows := make([]moveRow, 0, len(moves))
	for _, m := range moves {
		rows = append(rows, moveRow{m, pages.ConfigPath(m.Config)})
	}
	return rows
}

// clusterPage shows who shares the work and how, what moved lately, what waits, and what a change
// would move.
func (s *Server) clusterPage(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		s.showCluster(w, r)
		return
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{})
	if err != nil {
		s.failPage(w, r, refuseWith(http.StatusInternalServerError, "describe cluster", err))
		return
	}
	data := clusterData{clusterJSON: s.describeCluster(state, len(state.Moves)), Trouble: state.Problem, Search: r.URL.Query().Get("q")}
	if forgotten := r.URL.Query().Get("forgotten"); forgotten != "" {
		data.Done = "The member is forgotten; what it ran is taken over."
	}
	data.Done = cmp.Or(data.Done, nodeDone[OrderKind(r.URL.Query().Get("done"))])
	var shares []pages.Share
	for i, m := range data.clusterJSON.Members {
		data.Members = append(data.Members, memberRow{
			clusterMemberJSON: m, Gossip: gossipWord(m.Alive), Colour: fmt.Sprintf("c%d", i%8), Home: m.Scheme + "://" + m.Address + "/",
			Forgettable: s.opts.Ring != nil && m.Node != s.opts.Node,
		})
		shares = append(shares, pages.Share{Name: m.Node, Part: m.Share})
	}
	data.Drawing = pages.Ring(shares)
	data.addOrders(state)
	data.addMoves(state.Moves, s)
	s.addPlan(r, &data)
	silent, failed := s.addStates(r, &data)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	s.show(w, r, "cluster.html", pages.Frame{Title: "Cluster", Current: "/cluster", JSON: clusterAPI, Unreachable: silent, Data: data})
}

func (d *clusterData) addMoves(moves []Move, s *Server) {
	words := wordsOf(d.Search)
	var marks []pages.Mark
	for _, m := range moves {
		if !words.amid(m.Config, m.Name, m.From, m.To, m.Reason) {
			continue
		}
		if len(d.Moves) < shownMoves {
			d.Moves = append(d.Moves, moveRows([]Move{m})...)
		}
		title := strings.TrimSpace(m.Config+" "+m.Name) + ": " + m.Reason + ", " + pages.Instant(m.At)
		if m.From != "" {
			title = strings.TrimSpace(m.Config+" "+m.Name) + " from " + m.From + ": " + m.Reason + ", " + pages.Instant(m.At)
		}
		marks = append(marks, pages.Mark{At: m.At, Row: m.To, Title: title, Wrong: strings.Contains(m.Reason, "session ended")})
	}
	d.Axis = pages.Timeline(marks, s.opts.Now())
}

// nodeDone are what the page says after a button was pressed.
var nodeDone = map[OrderKind]string{
	CordonNode:   "The node is cordoned: it goes on with what it runs, and takes nothing new.",
	DrainNode:    "The node is drained: the others take what it runs, without missing a scrape.",
	UncordonNode: "The node takes its part again.",
	// Of a hold of a config that is not there any more, and has no page.
	ReleaseConfig: "The config is released.",
}

// actOnNode is the buttons beside the members.
func (s *Server) actOnNode(w http.ResponseWriter, r *http.Request) {
	form, failed := readAction(w, r)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	o := Order{Kind: OrderKind(form.Get("do")), Name: form.Get("node"), Reason: form.Get("reason"), Force: form.Get("force") == yes}
	if o.Kind == ReleaseConfig {
		o.Name = form.Get("config")
	}
	if nodeDone[o.Kind] == "" {
		failed = &refusal{http.StatusBadRequest, "do: want cordon, drain, uncordon or release"}
	} else {
		failed = s.order(r, o)
	}
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	http.Redirect(w, r, pages.Link("/cluster", "done", string(o.Kind)), http.StatusSeeOther)
}

// addStates adds in which states the units are, and what waits, as the nodes tell that have them.
func (s *Server) addStates(r *http.Request, data *clusterData) (silent []pages.Unreachable, failed *refusal) {
	asking := r.Clone(r.Context())
	asking.URL.RawQuery = url.Values{"sort": {"held"}, "limit": {strconv.Itoa(shownHolds)}}.Encode()
	all, failed := collect(s, asking, s.configsOfAll())
	if failed != nil {
		return nil, failed
	}
	data.States = tabsOf(configStates, all.Counts)[1:]
	for _, row := range all.Items {
		if row.Hold != "" {
			data.Holds = append(data.Holds, row)
		}
	}
	data.MoreHolds = len(data.Holds) == shownHolds
	return unreachables(all.Unreachable), nil
}

// addPlan adds what would move, if that is asked.
func (s *Server) addPlan(r *http.Request, data *clusterData) {
	query := r.URL.Query()
	if query.Get("leave") == "" && query.Get("join") == "" {
		return
	}
	change, err := readChange(query)
	if err != nil {
		data.PlanProblem = err.Error()
		return
	}
	data.Leave, data.Join = change.Leave, change.Join
	plan, err := s.opts.Cluster.Plan(r.Context(), change)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		data.PlanProblem = fmt.Sprintf("There is no member %q.", change.Leave)
	case err != nil:
		data.PlanProblem = err.Error()
	default:
		shown := describePlan(plan, change)
		data.Plan = &shown
	}
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

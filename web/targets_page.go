package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// targetRow is a target as pages show it.
type targetRow struct{ clusterTarget }

func targetLink(node, config, unit, id string) string {
	return pages.Link("/target", "config", config, "unit", unit, "node", node, "id", id)
}

// Link is the target's page, ConfigLink its config's, DebugLink the steps of its relabelling.
func (t targetRow) Link() string       { return targetLink(t.Node, t.Instance, t.Unit, t.ID) }
func (t targetRow) ConfigLink() string { return pages.ConfigPath(t.Instance) }
func (t targetRow) DebugLink() string {
	return pages.Link("/relabel", "config", t.Instance, "unit", t.Unit, "node", t.Node, "id", t.ID)
}

// Shown are the target's labels, Discovered those before relabelling.
func (t targetRow) Shown() []shownLabel      { return shownLabels(t.Labels) }
func (t targetRow) Discovered() []shownLabel { return shownLabels(t.DiscoveredLabels) }

// targetsForPage are listed as the API does, worst first.
func (s *Server) targetsForPage() gathering[clusterTarget] {
	g := s.targets()
	g.path, g.usual = "/targets", "state"
	g.some = func(r *http.Request, page pageRequest) ([]clusterTarget, map[string]int, bool, bool, error) {
		return s.someTargets(r, g.usual, page)
	}
	return g
}

// targetsPage lists all targets of the cluster.
func (s *Server) targetsPage(w http.ResponseWriter, r *http.Request) {
	list, out, done := answerList(s, w, r, listPage[clusterTarget]{
		gathering: s.targetsForPage(), rows: "target-row", item: func(t clusterTarget) any { return targetRow{t} },
		list: pages.List{
			Empty: "No target has been found: no config runs, or their discoveries have found nothing. Dropped targets are on the page Discovery.",
			Columns: []pages.Column{
				{Label: "Target", Sort: "target"}, {Label: "State", Sort: "state"}, {Label: "Config", Sort: "config"}, {Label: "Job", Sort: "job"},
				{Label: "Node", Sort: "node"}, {Label: "Scraped", Sort: "scraped"}, {Label: "Took", Sort: "took", Number: true},
				{Label: "Samples", Sort: "samples", Number: true}, {Label: "Labels and errors"},
			},
			Filters: []pages.Filter{
				{Name: "instance", Label: "Config", Hint: "any"}, {Name: "job", Label: "Job", Hint: "any"}, {Name: "node", Label: "Node", Hint: "any"},
				{Name: "label", Label: "Label", Hint: "name=value"},
			},
		},
	})
	if !done {
		s.show(w, r, "targets.html", pages.Frame{Title: "Targets", Current: "/targets", Unreachable: unreachables(out.Unreachable), Data: list})
	}
}

// targetPart is one node's answer about one target: data of GET /target.
type targetPart struct {
	Node   string         `json:"node"`
	Target *clusterTarget `json:"target"`
	Scrape *Answer        `json:"scrape,omitempty"`
}

type targetData struct {
	Target *targetRow
	Scrape *Answer
}

// targetPage shows one target, and with POST what it answers now.
func (s *Server) targetPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		s.failPage(w, r, refuseWith(http.StatusBadRequest, "read form", err))
		return
	}
	part, failed := s.targetPart(r)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	if wantsJSON(r) {
		succeed(w, http.StatusOK, part)
		return
	}
	s.show(w, r, "target.html", pages.Frame{
		Title: "Target", Current: "/targets", JSON: asked("/target", r.Form.Encode()+"&format=json"), Data: targetData{&targetRow{*part.Target}, part.Scrape},
	})
}

// targetPart asks the node that has the target.
func (s *Server) targetPart(r *http.Request) (part targetPart, failed *refusal) {
	if node := r.Form.Get("node"); node != "" && node != s.opts.Node && !askedByPeer(r) {
		part, failed = askNode[targetPart](s, r, node, asked("/target", r.Form.Encode()))
		if failed == nil && part.Target == nil {
			failed = &refusal{http.StatusBadGateway, "node " + node + " does not tell of the target"}
		}
		return part, failed
	}
	target, failed := s.findTarget(r, r.Form)
	if failed != nil {
		return part, failed
	}
	part = targetPart{Node: s.opts.Node, Target: target}
	if r.Method == http.MethodPost {
		part.Scrape, failed = s.scrapeNow(r, target)
	}
	return part, failed
}

// findTarget finds one of this node's targets.
func (s *Server) findTarget(r *http.Request, query url.Values) (*clusterTarget, *refusal) {
	all, err := s.ownTargets(r.Context(), func(u UnitTargets) bool { return u.Config == query.Get("config") && u.Unit == query.Get("unit") })
	if err != nil {
		return nil, refuseWith(http.StatusInternalServerError, "list targets", err)
	}
	i := slices.IndexFunc(all, func(t clusterTarget) bool {
		return t.Instance == query.Get("config") && t.Unit == query.Get("unit") && (t.ID == query.Get("id") || t.Endpoint == query.Get("url") && query.Get("id") == "")
	})
	if i < 0 {
		return nil, &refusal{http.StatusNotFound, "this node has no such target any more; look for it among all targets"}
	}
	return &all[i], nil
}

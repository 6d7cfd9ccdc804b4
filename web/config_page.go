package web

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// shownTargets is how many targets a config's page shows, worst first.
const shownTargets = 20

// configPart is what one node has of a config: its part of GET /configs/NAME.
type configPart struct {
	Node      string          `json:"node"`
	Units     []configRow     `json:"instances"`
	Targets   targetCounts    `json:"targets"`
	Worst     []clusterTarget `json:"worst_targets"`
	Endpoints []endpointRow   `json:"endpoints"`
	// Happened is what the node remembers, oldest first.
	Happened []Happened `json:"happened"`
	// Revisions are the texts that were uploaded to the node, and what they replaced. Empty without
	// the read API.
	Revisions []maskedRevision `json:"revisions"`
}

// configJSON is data of GET /configs/NAME.
type configJSON struct {
	Name string `json:"name"`
	// Text is masked; empty where it may not be read, or is not in the store, as TextMissing says.
	Text        string       `json:"text,omitempty"`
	TextMissing string       `json:"text_missing,omitempty"`
	Revision    int64        `json:"revision,omitempty"`
	Owned       []Unit       `json:"units"`
	Moves       []Move       `json:"moves"`
	Nodes       []configPart `json:"nodes"`
	// History is what happened, newest first.
	History []Happened `json:"history"`

	// Held is that a person holds it. Nil: nobody does.
	Held *Standing `json:"held,omitempty"`

	Unreachable []unreachable `json:"unreachable"`

	orphans []configRow // units that no node answers for
}

func (s *Server) ownConfigPart(r *http.Request, name string) (part configPart, failed *refusal) {
	snap, err := s.look(r.Context(), name, everyUnit, everyTarget)
	if err != nil {
		return part, refuseWith(http.StatusInternalServerError, "describe config", err)
	}
	part = configPart{Node: s.opts.Node, Units: []configRow{}, Worst: []clusterTarget{}, Endpoints: []endpointRow{}}
	part.Units = append(part.Units, s.configRows(snap)...)
	part.Endpoints = append(part.Endpoints, s.endpointRows(snap.instances, snap.at)...)
	var targets []clusterTarget
	for i := range snap.targets {
		part.Targets.add(snap.targets[i].State)
		targets = append(targets, clusterTarget{s.opts.Node, targetID(&snap.targets[i]), snap.targets[i]})
	}
	part.Worst, _ = pageOf(targets, worstFirst, pageRequest{limit: shownTargets})
	part.Happened = append([]Happened{}, s.opts.Journal(name)...)
	for i := range part.Happened {
		part.Happened[i].Node = s.opts.Node
	}
	part.Revisions = s.ownRevisions(name)
	return part, nil
}

func worstFirst(t clusterTarget) []string { return []string{targetSorts["state"](t), t.Endpoint, t.ID} }

// describeConfig gathers what all nodes have of a config.
func (s *Server) describeConfig(r *http.Request, name string) (out configJSON, failed *refusal) {
	others, end, err := askAll(s, r, pages.ConfigPath(name), func(p configPart) string { return p.Node })
	defer end()
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
	}
	own, failed := s.ownConfigPart(r, name)
	if failed != nil {
		return out, failed
	}
	parts, silent := others()
	out = configJSON{Name: name, Owned: []Unit{}, Moves: []Move{}, Nodes: []configPart{own}, Unreachable: silent}
	for _, part := range parts {
		if len(part.Units)+len(part.Endpoints)+len(part.Worst)+len(part.Happened)+len(part.Revisions) > 0 {
			out.Nodes = append(out.Nodes, part)
		}
	}
	if s.opts.Cluster != nil {
		state, err := s.opts.Cluster.State(r.Context(), Scope{Config: name})
		if err != nil {
			return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
		for _, u := range state.Units {
			if u.Config == name {
				u.State = u.state()
				out.Owned = append(out.Owned, u)
			}
		}
		for _, m := range state.Moves {
			if m.Config == name {
				out.Moves = append(out.Moves, m)
			}
		}
		for _, h := range state.Held {
			if h.Name == name {
				out.Held = &h
			}
		}
		if out.orphans, err = s.orphanRows(r, name, silent); err != nil {
			return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
	}
	out.History = historyOf(out)
	known := s.addText(r, &out)
	if !known && len(out.Owned) == 0 && !slices.ContainsFunc(out.Nodes, func(p configPart) bool { return len(p.Units) > 0 }) {
		return out, &refusal{http.StatusNotFound, fmt.Sprintf("there is no config %q", name)}
	}
	return out, nil
}

// addText adds the stored text, masked, and reports whether there is one.
func (s *Server) addText(r *http.Request, out *configJSON) (known bool) {
	if s.opts.Configs == nil {
		out.TextMissing = "This config is in the agent's own file; the page Status shows it."
		return false
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	stored, err := s.opts.Configs.Get(ctx, out.Name)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		out.TextMissing = "The store has no config of this name."
		return false
	case err != nil:
		out.TextMissing = "The store can't be read: " + err.Error()
		return true
	}
	out.Revision = stored.Revision
	switch {
	case !s.opts.ReadAPI:
		out.TextMissing = "Reading configs is off; start the agent with -config.enable-read-api to see the text here, without its secrets."
	case stored.Err != nil:
		out.TextMissing = "What is stored can't be read: " + stored.Err.Error()
	default:
		if out.Text, err = config.MaskInstance(stored.Text); err != nil {
			out.TextMissing = err.Error()
		}
	}
	return true
}

// isStored says whether the store has a config of this name, or may have: it can't be read.
func (s *Server) isStored(r *http.Request, name string) bool {
	if s.opts.Configs == nil || config.ValidateName(name) != nil {
		return false
	}
	ctx, cancel := s.storeContext(r)
	defer cancel()
	_, err := s.opts.Configs.Get(ctx, name)
	return !errors.Is(err, cluster.ErrNotFound)
}

type configData struct {
	configJSON
	Parts                      []configRow
	Nobody                     string
	CanRetry, CanHold          bool
	ActionPath, Done           string
	Units                      []Unit
	Targets                    targetCounts
	TargetsLink, DiscoveryLink string
	FlowLink                   string
	TargetRows, ReceiverRows   []template.HTML
	UploadLink                 string
	Before                     *maskedRevision
	Difference                 []diffLine
	DifferenceRemark           string
}

// configPage shows one config: who runs it, what is wrong with it, its targets, its receivers, what
// happened to it, its text.
func (s *Server) configPage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := config.ValidateName(name); err != nil {
		s.failPage(w, r, refuseWith(http.StatusBadRequest, "", err))
		return
	}
	if askedByPeer(r) {
		part, failed := s.ownConfigPart(r, name)
		if failed != nil {
			failed.answer(w)
			return
		}
		succeed(w, http.StatusOK, part)
		return
	}
	out, failed := s.describeConfig(r, name)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	if wantsJSON(r) {
		succeed(w, http.StatusOK, out)
		return
	}
	data, err := s.configData(out)
	if err != nil {
		s.failPage(w, r, refuseWith(http.StatusInternalServerError, "", err))
		return
	}
	data.Done = configDone[r.URL.Query().Get("done")]
	s.show(w, r, "config.html", pages.Frame{Title: name, Current: "/configs", JSON: pages.ConfigPath(name) + "?format=json", Unreachable: unreachables(out.Unreachable), Data: data})
}

func (s *Server) configData(out configJSON) (configData, error) {
	data := configData{
		configJSON: out, Units: slices.Clone(out.Owned), ActionPath: pages.ConfigPath(out.Name),
		TargetsLink: pages.Link("/targets", "instance", out.Name), DiscoveryLink: pages.Link("/discovery", "config", out.Name),
		FlowLink: pages.Link("/flow", "config", out.Name),
		Nobody:   "Nobody runs it.",
	}
	var targets []clusterTarget
	var endpoints []endpointRow
	for _, n := range out.Nodes {
		data.Parts = append(data.Parts, n.Units...)
		data.Targets.Up += n.Targets.Up
		data.Targets.Down += n.Targets.Down
		data.Targets.Unknown += n.Targets.Unknown
		targets = append(targets, n.Worst...)
		endpoints = append(endpoints, n.Endpoints...)
	}
	for _, u := range out.Owned {
		if u.Hold != "" && len(data.Parts)+len(out.orphans) == 0 {
			data.Nobody += " It waits: " + u.Hold + "."
		}
	}
	data.Parts = append(data.Parts, out.orphans...)
	data.nameStates()
	rank := func(c configRow) int { return slices.Index(configStates, c.State) }
	slices.SortStableFunc(data.Parts, func(a, b configRow) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Unit, b.Unit)) })
	data.CanRetry = slices.ContainsFunc(data.Parts, func(c configRow) bool { return c.State == stateQuarantined || c.State == stateFailed })
	data.CanHold = slices.ContainsFunc(out.Owned, func(u Unit) bool { return !u.Local })
	targets, _ = pageOf(targets, worstFirst, pageRequest{limit: shownTargets})
	var err, failed error
	data.TargetRows, err = rowsOf(s, "target-row", targets, func(t clusterTarget) any { return targetRow{t} })
	data.ReceiverRows, failed = rowsOf(s, "receiver-row", endpoints[:min(len(endpoints), shownTargets)], func(e endpointRow) any { return e })
	if s.opts.Configs != nil {
		data.UploadLink = pages.Link("/upload", "name", out.Name)
	}
	if data.Before = before(out.Revision, out.Nodes); data.Before != nil && out.Text != "" {
		data.Difference, data.DifferenceRemark = diffOf(data.Before.Text, out.Text)
	}
	return data, errors.Join(err, failed)
}

// nameStates gives each unit the state that its row has on all pages: on the node that runs it or
// should, or else on any that knows of it.
func (d *configData) nameStates() {
	for i := range d.Units {
		u := &d.Units[i]
		var best *configRow
		for p := range d.Parts {
			row := &d.Parts[p]
			if row.Unit == u.Name && (best == nil || row.Node == u.ClaimedBy || row.Node == u.Owner && best.Node != u.ClaimedBy) {
				best = row
			}
		}
		if u.State = stateOf(nil, u); best != nil {
			u.State = best.State
		}
	}
}

// shownHistory is how many events a config's page has.
const shownHistory = 50

// historyOf is what is known to have happened to a config, newest first.
func historyOf(out configJSON) (history []Happened) {
	type move struct {
		unit  string
		epoch int64
	}
	moves := map[move]bool{}
	history = []Happened{}
	add := func(h Happened) {
		if h.Epoch > 0 {
			if moves[move{h.Unit, h.Epoch}] {
				return
			}
			moves[move{h.Unit, h.Epoch}], h.Node = true, ""
		}
		history = append(history, h)
	}
	for _, m := range out.Moves {
		add(Happened{At: m.At, Unit: m.Name, Text: m.text(), Epoch: m.Epoch})
	}
	for _, n := range out.Nodes {
		for _, h := range n.Happened {
			add(h)
		}
		for _, e := range n.Endpoints {
			if e.LastError != "" {
				add(Happened{At: e.LastErrorAt, Node: n.Node, Unit: e.Unit, Text: e.URL + " answered: " + e.LastError, Wrong: true})
			}
			for _, g := range e.Gaps {
				add(Happened{At: g.At, Node: n.Node, Unit: e.Unit, Text: fmt.Sprintf("%s samples for %s were given up: %s", pages.Count(g.Samples), e.URL, g.Reason), Wrong: true})
			}
		}
	}
	slices.SortStableFunc(history, func(a, b Happened) int { return b.At.Compare(a.At) })
	return history[:min(len(history), shownHistory)]
}

// text says what a move was.
func (m Move) text() string {
	if m.From == "" {
		return "run by " + m.To + ", " + m.Reason
	}
	return "moved from " + m.From + " to " + m.To + ", " + m.Reason
}

// MovedEvent is a move as a journal has it.
func MovedEvent(m Move) Happened {
	return Happened{At: m.At, Unit: m.Name, Text: m.text(), Epoch: m.Epoch}
}

// configDone are what the page says after a button was pressed.
var configDone = map[string]string{
	"retry":               "It is tried again; this page shows what comes of it.",
	string(HoldConfig):    "It is held; every node stops it.",
	string(ReleaseConfig): "It is released; it runs again soon.",
}

// actOnConfig is the buttons on a config's page.
func (s *Server) actOnConfig(w http.ResponseWriter, r *http.Request) {
	name, ok := configName(w, r)
	if !ok {
		return
	}
	form, failed := readAction(w, r)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	action := cmp.Or(form.Get("do"), "retry")
	switch OrderKind(action) {
	case "retry":
		_, failed = s.retry(r, name)
	case HoldConfig, ReleaseConfig:
		failed = s.order(r, Order{Kind: OrderKind(action), Name: name, Reason: form.Get("reason")})
	default:
		failed = &refusal{http.StatusBadRequest, "do: want retry, hold or release"}
	}
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	http.Redirect(w, r, pages.Link(pages.ConfigPath(name), "done", action), http.StatusSeeOther)
}

// readAction reads the form of a button.
func readAction(w http.ResponseWriter, r *http.Request) (form url.Values, failed *refusal) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return nil, refuseWith(http.StatusBadRequest, "read form", err)
	}
	return r.PostForm, nil
}

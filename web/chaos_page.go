package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/redact"
	"github.com/ringmaster-agent/ringmaster/web/pages"
)

const chaosPath = "/chaos"

// pageDurations are how long a fault of the page may last; the API takes up to an hour.
var pageDurations = []string{"10s", "30s", "1m", "5m", "15m"}

// chaosData is data of GET /chaos: what is broken on purpose on all nodes.
type chaosData struct {
	Node  string      `json:"node"`
	Rules []nodeFault `json:"rules"`
	// Unreachable are the nodes that did not answer, or that could not be told.
	Unreachable []unreachable `json:"unreachable"`

	Points    []fault.Info `json:"-"`
	Messages  []string     `json:"-"`
	Durations []string     `json:"-"`
	Problem   string       `json:"-"`
	// Form is what was refused, to be mended.
	Form url.Values `json:"-"`
}

// nodeFault is a rule on a node.
type nodeFault struct {
	Node string `json:"node"`
	fault.State
}

// Scope is what the rule hits, in words.
func (f nodeFault) Scope() string {
	var parts []string
	say := func(what, value string) {
		if value != "" {
			parts = append(parts, what+" "+value)
		}
	}
	say("nodes", strings.Join(f.Nodes, ", "))
	say("units", f.Units)
	say("actors", f.Actors)
	say("messages", f.Messages)
	say("peers", strings.Join(f.Peers, ", "))
	if f.Share > 0 {
		say("share", strconv.FormatFloat(f.Share, 'g', 3, 64))
	}
	if f.Probability > 0 {
		say("probability", strconv.FormatFloat(f.Probability, 'g', 3, 64))
	}
	return strings.Join(parts, "; ")
}

// chaosPage shows what is broken on purpose on all nodes, and the form that breaks more.
func (s *Server) chaosPage(w http.ResponseWriter, r *http.Request) { s.showChaos(w, r, chaosData{}) }

func (s *Server) showChaos(w http.ResponseWriter, r *http.Request, data chaosData) {
	data.Node, data.Points, data.Messages, data.Durations = s.opts.Node, fault.Points(), messageKinds(), pageDurations
	if data.Form == nil {
		data.Form = url.Values{"duration": {"30s"}, "everywhere": {"true"}}
	}
	rules, silent := s.faultsOfAll(r)
	data.Rules, data.Unreachable = rules, append(append([]unreachable{}, data.Unreachable...), silent...)
	if wantsJSON(r) {
		succeed(w, http.StatusOK, data)
		return
	}
	data.Problem = redact.Text(data.Problem)
	s.show(w, r, "chaos.html", pages.Frame{Title: "Chaos", Current: chaosPath, Unreachable: unreachables(data.Unreachable), Data: data})
}

// faultsOfAll are the rules in force, here and on the nodes that can be broken.
func (s *Server) faultsOfAll(r *http.Request) (rules []nodeFault, silent []unreachable) {
	rules = []nodeFault{}
	add := func(node string, states []fault.State) {
		for _, state := range states {
			rules = append(rules, nodeFault{node, state})
		}
	}
	add(s.opts.Node, s.opts.Faults.Rules())
	if askedByPeer(r) || s.opts.Cluster == nil {
		return rules, nil
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{Members: true})
	if err != nil {
		return rules, []unreachable{{Node: "all others", Error: redact.Text(err.Error())}}
	}
	for _, a := range s.ask(r.Context(), s.others(state.Members), question{method: http.MethodGet, target: chaosAPI + "/rules", cause: r}) {
		var theirs chaosRules
		switch {
		case a.Status == http.StatusForbidden || a.Status == http.StatusNotFound: // it can't be broken
		case a.Err != nil:
			silent = append(silent, unreachable{a.Node, a.Err.Error()})
		case json.Unmarshal(a.Data, &theirs) == nil:
			add(a.Node, theirs.Rules)
		}
	}
	slices.SortStableFunc(rules, func(a, b nodeFault) int {
		return strings.Compare(a.Name+"\x00"+a.Node, b.Name+"\x00"+b.Node)
	})
	return rules, silent
}

// changeChaos is the page's buttons: inject, end one, end all.
func (s *Server) changeChaos(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		s.failPage(w, r, refuseWith(http.StatusBadRequest, "read form", err))
		return
	}
	missing, err := s.applyChaos(r)
	if err != nil || len(missing) > 0 {
		data := chaosData{Unreachable: missing, Form: r.PostForm}
		if err != nil {
			data.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if err != nil && wantsJSON(r) {
			failAPI(w, http.StatusBadRequest, problem{Error: data.Problem})
			return
		}
		s.showChaos(w, r, data)
		return
	}
	http.Redirect(w, r, chaosPath, http.StatusSeeOther)
}

func (s *Server) applyChaos(r *http.Request) (missing []unreachable, err error) {
	ask := func(method, target string, body []byte) []unreachable {
		if s.opts.Cluster == nil {
			return nil
		}
		// Forbidden: the node can't be broken, and the page does not show it either.
		return s.tellOthers(r.Context(), r, method, target, body, http.StatusForbidden, http.StatusNotFound)
	}
	switch name := r.PostForm.Get("end"); {
	case r.PostForm.Get("clear") != "":
		s.opts.Faults.Clear("somebody has cleared them")
		return ask(http.MethodPost, chaosAPI+"/clear", nil), nil
	case name != "":
		s.opts.Faults.Delete(name)
		return ask(http.MethodDelete, chaosAPI+"/rules/"+url.PathEscape(name), nil), nil
	}
	rule, err := ruleOfForm(r.PostForm)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(rule)
	if err != nil {
		return nil, fmt.Errorf("encode rule: %w", err)
	}
	if err := s.putFault(r, rule); err != nil {
		return nil, err
	}
	if r.PostForm.Get("everywhere") == "" {
		return nil, nil
	}
	return ask(http.MethodPut, chaosAPI+"/rules/"+url.PathEscape(rule.Name), body), nil
}

// ruleOfForm is the rule that a form describes. Whether it makes sense is the registry's to say.
func ruleOfForm(form url.Values) (rule fault.Rule, err error) {
	point, action, _ := strings.Cut(form.Get("what"), " ")
	rule = fault.Rule{
		Name: strings.TrimSpace(form.Get("name")), Point: fault.Point(point), Action: fault.Action(action), Nodes: fields(form.Get("nodes")),
		Units: form.Get("units"), Messages: form.Get("messages"), Error: form.Get("error"),
	}
	if rule.Name == "" {
		rule.Name = form.Get("what")
	}
	var problems []error
	read := func(field string, into *fault.Duration) {
		if text := form.Get(field); text != "" {
			if err := into.UnmarshalText([]byte(text)); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", field, err))
			}
		}
	}
	read("duration", &rule.Duration)
	read("delay", &rule.Delay)
	if text := form.Get("probability"); text != "" {
		if rule.Probability, err = strconv.ParseFloat(text, 64); err != nil {
			problems = append(problems, fmt.Errorf("probability: %q is no number", text))
		}
	}
	if form.Get("guarded") != "" {
		none := 0
		rule.Guard = &fault.Guard{Unowned: &none, For: fault.Duration(guardedFor)}
	}
	return rule, errors.Join(problems...)
}

// guardedFor is how long units may be without an owner before the page's guard ends all faults: a
// takeover after a crash takes less.
const guardedFor = 15 * time.Second

func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// putFault puts a rule in force on this node.
func (s *Server) putFault(r *http.Request, rule fault.Rule) error {
	if err := s.opts.Faults.Put(rule); err != nil {
		return err
	}
	s.log.Warn("fault injected from the page", zap.String("rule", rule.Name), zap.String("from", r.RemoteAddr))
	if rule.Guard != nil {
		s.watchOver(rule, r)
	}
	return nil
}

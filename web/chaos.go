package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// maxRuleBytes caps a rule in a request.
const maxRuleBytes = 64 << 10

const chaosAPI = api + "/chaos"

// chaosOff says how faults are turned on.
const chaosOff = "faults on purpose are off: start this agent with -chaos.enabled"

// chaosRules is data of GET /agent/api/v1/chaos/rules, and of the answers to changes.
type chaosRules struct {
	Node  string        `json:"node"`
	Rules []fault.State `json:"rules"`
	// Unreachable are the nodes that were to be told, and were not. Never nil.
	Unreachable []unreachable `json:"unreachable"`
}

func (s *Server) chaosRoutes() []route {
	routes := []route{
		{chaosAPI + "/points", methods{http.MethodGet: s.chaotic(s.listPoints)}},
		{chaosAPI + "/rules", methods{http.MethodGet: s.chaotic(s.listRules)}},
		{chaosAPI + "/rules/{name}", methods{
			http.MethodPut:    s.chaotic(s.putRule),
			http.MethodDelete: s.chaotic(s.deleteRule),
		}},
		{chaosAPI + "/clear", methods{http.MethodPost: s.chaotic(s.clearRules)}},
	}
	if s.opts.Faults != nil {
		routes = append(routes, route{chaosPath, methods{http.MethodGet: s.chaosPage, http.MethodPost: s.changeChaos}})
	}
	return routes
}

// chaotic guards the endpoints that break things.
func (s *Server) chaotic(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Faults == nil {
			because(w, refusedChaos)
			failAPI(w, http.StatusForbidden, problem{Error: chaosOff})
			return
		}
		h(w, r)
	}
}

func (s *Server) listPoints(w http.ResponseWriter, _ *http.Request) {
	succeed(w, http.StatusOK, map[string]any{"points": fault.Points(), "messages": messageKinds()})
}

func (s *Server) listRules(w http.ResponseWriter, _ *http.Request) { s.showRules(w, nil) }

func (s *Server) showRules(w http.ResponseWriter, missing []unreachable) {
	succeed(w, http.StatusOK, chaosRules{Node: s.opts.Node, Rules: append([]fault.State{}, s.opts.Faults.Rules()...), Unreachable: append([]unreachable{}, missing...)})
}

// putRule puts a rule in force; with ?nodes=all on all nodes.
func (s *Server) putRule(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRuleBytes))
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: "read rule: " + err.Error()})
		return
	}
	var rule fault.Rule
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&rule); err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: "read rule: " + err.Error()})
		return
	}
	if rule.Name == "" {
		rule.Name = r.PathValue("name")
	}
	if rule.Name != r.PathValue("name") {
		failAPI(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("name: the path says %q, the rule %q", r.PathValue("name"), rule.Name)})
		return
	}
	if err := s.putFault(r, rule); err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, fault.ErrTooMany) {
			status = http.StatusConflict
		}
		failAPI(w, status, problem{Error: "put rule: " + strings.ReplaceAll(err.Error(), "\n", "; ")})
		return
	}
	s.showRules(w, s.passOn(r, body))
}

func (s *Server) deleteRule(w http.ResponseWriter, r *http.Request) {
	known := s.opts.Faults.Delete(r.PathValue("name"))
	missing := s.passOn(r, nil)
	if !known && !everywhere(r) {
		failAPI(w, http.StatusNotFound, problem{Error: fmt.Sprintf("there is no rule %q", r.PathValue("name"))})
		return
	}
	s.showRules(w, missing)
}

func (s *Server) clearRules(w http.ResponseWriter, r *http.Request) {
	s.opts.Faults.Clear("somebody has cleared them")
	s.showRules(w, s.passOn(r, nil))
}

// everywhere reports whether a request is for all nodes.
func everywhere(r *http.Request) bool { return r.URL.Query().Get("nodes") == "all" }

// passOn gives a request that is for all nodes to the others, and returns those that did not do it.
func (s *Server) passOn(r *http.Request, body []byte) []unreachable {
	if !everywhere(r) || askedByPeer(r) || s.opts.Cluster == nil {
		return nil
	}
	return s.tellOthers(r.Context(), r, r.Method, r.URL.EscapedPath(), body, http.StatusNotFound)
}

// tellOthers makes one request of every other node, and returns those that did not do it. Cause is
// whose credentials it carries. An answer with a status of fine is as good as 200.
func (s *Server) tellOthers(ctx context.Context, cause *http.Request, method, target string, body []byte, fine ...int) (missing []unreachable) {
	state, err := s.opts.Cluster.State(ctx, Scope{Members: true})
	if err != nil {
		return []unreachable{{Node: "all others", Error: err.Error()}}
	}
	for _, a := range s.ask(ctx, s.others(state.Members), question{method: method, target: target, cause: cause, body: body}) {
		if a.Err != nil && !slices.Contains(fine, a.Status) {
			missing = append(missing, unreachable{a.Node, a.Err.Error()})
		}
	}
	return missing
}

// banner says on every page that something is broken on purpose, or may be; empty if nothing may.
func (s *Server) banner() string {
	if s.opts.Faults == nil {
		return ""
	}
	rules := s.opts.Faults.Rules()
	if len(rules) == 0 {
		return "Faults on purpose are allowed here (-chaos.enabled)."
	}
	var names []string
	for _, r := range rules {
		names = append(names, fmt.Sprintf("%s (%s at %s, until %s)", r.Name, r.Action, r.Point, r.Until.UTC().Format("15:04:05")))
	}
	return "Broken on purpose: " + strings.Join(names, ", ") + "."
}

// causeOf keeps of a request what requests to other nodes need when it has long been answered.
func causeOf(r *http.Request) *http.Request {
	return &http.Request{Header: http.Header{"Authorization": r.Header["Authorization"]}, TLS: r.TLS, URL: &url.URL{}}
}

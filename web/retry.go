package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"
)

// retryJSON is data of POST /agent/api/v1/metrics/instance/{name}/retry.
type retryJSON struct {
	// Retried are the nodes on which the instance was told to try again.
	Retried     []string      `json:"retried"`
	Unreachable []unreachable `json:"unreachable"`
}

// retryInstance lifts the backoff or the quarantine of a config's instances, here and on the nodes that run them or should.
func (s *Server) retryInstance(w http.ResponseWriter, r *http.Request) {
	name, ok := configName(w, r)
	if !ok {
		return
	}
	known, err := s.opts.Cluster.Retry(r.Context(), name)
	if err != nil {
		failAPI(w, http.StatusInternalServerError, problem{Error: "retry instance: " + err.Error()})
		return
	}
	out := retryJSON{Retried: []string{}, Unreachable: []unreachable{}}
	if known {
		s.log.Info("instance is retried", zap.String("instance", name))
		out.Retried = append(out.Retried, s.opts.Node)
	}
	if !askedByPeer(r) {
		if err := s.retryElsewhere(r, name, &out); err != nil {
			failAPI(w, http.StatusInternalServerError, problem{Error: "describe cluster: " + err.Error()})
			return
		}
	}
	switch {
	case len(out.Retried) > 0:
		succeed(w, http.StatusOK, out)
	case len(out.Unreachable) > 0:
		first := out.Unreachable[0]
		failAPI(w, http.StatusBadGateway, problem{Error: fmt.Sprintf("instance %q is on node %q: %s", name, first.Node, first.Error)})
	default:
		failAPI(w, http.StatusNotFound, problem{Error: fmt.Sprintf("no node has an instance %q", name)})
	}
}

// retryElsewhere passes the request on to the other nodes that run a unit of the config, or should.
func (s *Server) retryElsewhere(r *http.Request, name string, out *retryJSON) error {
	state, err := s.opts.Cluster.State(r.Context())
	if err != nil {
		return err
	}
	concerned := map[string]bool{}
	for _, u := range state.Units {
		if u.Config == name {
			concerned[u.Owner], concerned[u.ClaimedBy] = true, true
		}
	}
	others := slices.DeleteFunc(s.others(state.Members), func(m Member) bool { return !concerned[m.ID] })
	target := instanceAPI + "/" + url.PathEscape(name) + "/retry"
	for _, answer := range s.ask(r.Context(), others, question{http.MethodPost, target, r}) {
		switch {
		case answer.Err == nil:
			out.Retried = append(out.Retried, answer.Node)
		case answer.Status != http.StatusNotFound: // it has no such instance: it has not come to it yet
			out.Unreachable = append(out.Unreachable, unreachable{answer.Node, answer.Err.Error()})
		}
	}
	slices.Sort(out.Retried)
	return nil
}

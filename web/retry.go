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

// retryInstance lifts the backoff or the quarantine of a config's instances, here and on the nodes
// that run them or should.
func (s *Server) retryInstance(w http.ResponseWriter, r *http.Request) {
	name, ok := configName(w, r)
	if !ok {
		return
	}
	out, err := s.retry(r, name)
	if err != nil {
		err.answer(w)
		return
	}
	succeed(w, http.StatusOK, out)
}

func (s *Server) retry(r *http.Request, name string) (out retryJSON, failed *refusal) {
	known, err := s.opts.Cluster.Retry(r.Context(), name)
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "retry instance", err)
	}
	out = retryJSON{Retried: []string{}, Unreachable: []unreachable{}}
	if known {
		s.log.Info("instance is retried", zap.String("instance", name))
		out.Retried = append(out.Retried, s.opts.Node)
	}
	if !askedByPeer(r) {
		if err := s.retryElsewhere(r, name, &out); err != nil {
			return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
	}
	switch {
	case len(out.Retried) > 0:
		return out, nil
	case len(out.Unreachable) > 0:
		first := out.Unreachable[0]
		return out, &refusal{http.StatusBadGateway, fmt.Sprintf("instance %q is on node %q: %s", name, first.Node, first.Error)}
	default:
		return out, &refusal{http.StatusNotFound, fmt.Sprintf("no node has an instance %q", name)}
	}
}

// retryElsewhere passes the request on to the other nodes that run a unit of the config, or should.
func (s *Server) retryElsewhere(r *http.Request, name string, out *retryJSON) error {
	state, err := s.opts.Cluster.State(r.Context(), Scope{Config: name})
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
	for _, answer := range s.ask(r.Context(), others, question{method: http.MethodPost, target: target, cause: r}) {
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

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ringmaster-agent/ringmaster/cluster"
)

// writeElsewhere answers remote write for an instance that takes no samples here: the node that runs
// it is given them. Where nobody runs it at the moment, because it starts or moves, the sender is
// told to try again; senders give up what is answered with 400.
func (s *Server) writeElsewhere(w http.ResponseWriter, r *http.Request, name string) {
	if node, ok := s.runsOn(r, name); ok {
		s.forwardWrite(w, r, node)
		return
	}
	if !s.mayRun(r.Context(), name) {
		failAPI(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("there is no instance %q", name)})
		return
	}
	tryAgain(w, fmt.Sprintf("instance %q does not take samples at the moment", name))
}

// retryAfter is when a sender may expect that an instance takes samples again, in seconds.
const retryAfter = "5"

// tryAgain tells a sender to repeat its request.
func tryAgain(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", retryAfter)
	failAPI(w, http.StatusServiceUnavailable, problem{Error: why})
}

// runsOn returns the other node that has the claim of an instance. A request that was passed on is
// not passed on again.
func (s *Server) runsOn(r *http.Request, name string) (node Member, ok bool) {
	if s.opts.Cluster == nil || askedByPeer(r) {
		return Member{}, false
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{Config: name})
	if err != nil {
		return Member{}, false
	}
	for _, u := range state.Units {
		if u.Config != name || u.Slice != 0 || u.Replica != 0 || u.ClaimedBy == "" || u.ClaimedBy == s.opts.Node {
			continue
		}
		for _, m := range state.Members {
			if m.ID == u.ClaimedBy {
				return m, true
			}
		}
	}
	return Member{}, false
}

// mayRun says whether an instance is known: here in whatever phase, or to the store. A store that
// can't be asked says nothing.
func (s *Server) mayRun(ctx context.Context, name string) bool {
	instances, err := s.opts.Instances.Instances(ctx, name)
	if err != nil {
		return true
	}
	for _, i := range instances {
		if i.Name == name {
			return true
		}
	}
	if s.opts.Configs == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StoreTimeout)
	defer cancel()
	_, err = s.opts.Configs.Get(ctx, name)
	return !errors.Is(err, cluster.ErrNotFound)
}

// forwardWrite gives a request to another node, and its answer to the sender.
func (s *Server) forwardWrite(w http.ResponseWriter, r *http.Request, node Member) {
	body, err := s.bodies.read(w, r, s.opts.MaxWriteBytes)
	defer body.release()
	if err != nil {
		refuseBody(w, err, s.opts.MaxWriteBytes)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.PeerTimeout)
	defer cancel()
	request, err := s.peerRequest(ctx, node, question{method: http.MethodPost, target: r.URL.EscapedPath(), cause: r})
	if err != nil {
		tryAgain(w, fmt.Sprintf("node %q, which runs the instance, can't be asked: %v", node.ID, err))
		return
	}
	request.Body, request.ContentLength = io.NopCloser(body.reader()), body.size
	for header, values := range r.Header {
		if strings.HasPrefix(header, "Content-") || strings.HasPrefix(header, "X-Prometheus-") || header == "User-Agent" {
			request.Header[header] = values
		}
	}
	response, err := s.peers.Do(request)
	if err != nil {
		tryAgain(w, fmt.Sprintf("node %q, which runs the instance, does not answer: %v", node.ID, err))
		return
	}
	defer response.Body.Close()
	for header, values := range response.Header {
		if strings.HasPrefix(header, "X-Prometheus-") || header == "Retry-After" || header == "Content-Type" {
			w.Header()[header] = values
		}
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, http.MaxBytesReader(nil, response.Body, maxPeerBytes)) // the sender knows by the status
}

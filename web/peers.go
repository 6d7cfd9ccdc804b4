package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// askedByHeader names the node that passes a request on. Whoever is asked with it answers for
	// itself and asks nobody, so that no request goes round.
	askedByHeader = "Ringmaster-Asked-By"
	// maxConcurrentPeers bounds how many nodes one request asks at a time.
	maxConcurrentPeers = 16
	// maxPeerBytes caps the answer of one node: a page of 1,000 targets with 10 KiB of labels each
	// stays below it.
	maxPeerBytes = 16 << 20
)

var errPeerTimeout = errors.New("it did not answer in time")

// unreachable is a node that was asked and did not answer as it should.
type unreachable struct {
	Node  string `json:"node"`
	Error string `json:"error"`
}

// peerAnswer is what came of asking one node. Data is valid if Err is nil.
type peerAnswer struct {
	Node string
	// Status is that of HTTP, 0 if there was no answer.
	Status int
	Data   json.RawMessage
	Err    error
}

// question is what other nodes are asked.
type question struct {
	method string
	// target is path and query, escaped.
	target string
	// body is what is sent along, as JSON; nil: nothing is.
	body []byte
	// cause is the request that made us ask.
	cause *http.Request
}

// askedByPeer reports whether a request comes from another node.
func askedByPeer(r *http.Request) bool { return r.Header.Get(askedByHeader) != "" }

// others are the members but for this node.
func (s *Server) others(members []Member) []Member {
	var others []Member
	for _, m := range sortMembers(members) {
		if m.ID != s.opts.Node {
			others = append(others, m)
		}
	}
	return others
}

// ask asks the members, several at a time, and returns their answers in the same order when all
// have come or the time is up. Its goroutines have ended when it returns.
func (s *Server) ask(ctx context.Context, members []Member, q question) []peerAnswer {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.PeerTimeout, errPeerTimeout)
	defer cancel()
	answers := make([]peerAnswer, len(members))
	places := make(chan struct{}, maxConcurrentPeers)
	var asking sync.WaitGroup
	for i, member := range members {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			answers[i] = s.askOne(ctx, member, q)
		})
	}
	asking.Wait()
	return answers
}

// askOthers begins to ask every other node, and does not wait: this node's own part takes as long as
// theirs. The answers come when all have come or the time is up; end waits for what is left of it.
func (s *Server) askOthers(r *http.Request, target string) (answers func() []peerAnswer, end func(), err error) {
	if s.opts.Cluster == nil || askedByPeer(r) {
		return func() []peerAnswer { return nil }, func() {}, nil
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{Members: true})
	if err != nil {
		return nil, func() {}, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	var all []peerAnswer
	var asking sync.WaitGroup
	asking.Go(func() {
		all = s.ask(ctx, s.others(state.Members), question{method: http.MethodGet, target: target, cause: r})
	})
	answers = func() []peerAnswer {
		asking.Wait()
		return all
	}
	end = func() {
		cancel()
		asking.Wait()
	}
	return answers, end, nil
}

func (s *Server) askOne(ctx context.Context, m Member, q question) peerAnswer {
	answer := peerAnswer{Node: m.ID}
	answer.Status, answer.Data, answer.Err = s.exchange(ctx, m, q)
	if answer.Err != nil && ctx.Err() != nil {
		answer.Err = context.Cause(ctx)
	}
	return answer
}

// exchange sends one request and reads the envelope of its answer.
func (s *Server) exchange(ctx context.Context, m Member, q question) (status int, data json.RawMessage, err error) {
	request, err := s.peerRequest(ctx, m, q)
	if err != nil {
		return 0, nil, err
	}
	if q.body != nil {
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(q.body)), int64(len(q.body))
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := s.peers.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxPeerBytes))
	if err != nil {
		return 0, nil, fmt.Errorf("read its answer: %w", err)
	}
	var envelope struct{ Data json.RawMessage }
	malformed := json.Unmarshal(body, &envelope)
	switch {
	case response.StatusCode != http.StatusOK:
		var p problem
		_ = json.Unmarshal(envelope.Data, &p) // what is not an error of ours is told by its status
		return response.StatusCode, nil, fmt.Errorf("it answered %s: %s", response.Status, firstLine(p.Error))
	case malformed != nil:
		return response.StatusCode, nil, fmt.Errorf("read its answer: %w", malformed)
	default:
		return response.StatusCode, envelope.Data, nil
	}
}

func (s *Server) peerRequest(ctx context.Context, m Member, q question) (*http.Request, error) {
	if m.Problem != "" {
		return nil, fmt.Errorf("its record can't be read: %s", m.Problem)
	}
	if m.scheme() != "http" && m.scheme() != "https" {
		return nil, fmt.Errorf("its record has the scheme %q", m.Scheme)
	}
	if s.opts.Secured && m.scheme() != "https" {
		return nil, errors.New("it is reached without TLS, and this node, which has TLS, believes nobody who is")
	}
	host, port, err := net.SplitHostPort(m.Address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" || strings.ContainsAny(host, "@/?#") {
		return nil, fmt.Errorf("its record has the address %q, which is not host:port", m.Address)
	}
	request, err := http.NewRequestWithContext(ctx, q.method, m.scheme()+"://"+net.JoinHostPort(host, port)+q.target, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make a request of its address: %w", err)
	}
	request.Header.Set(askedByHeader, s.opts.Node)
	// What came encrypted does not leave in plain text.
	if authorization := q.cause.Header.Get("Authorization"); authorization != "" && (q.cause.TLS == nil || m.scheme() == "https") {
		request.Header.Set("Authorization", authorization)
	}
	return request, nil
}

// firstLine keeps an error from elsewhere to one line of bearable length.
func firstLine(text string) string {
	const longest = 500
	for i, c := range text {
		if c == '\n' || i >= longest {
			return text[:i]
		}
	}
	return text
}

// newPeerClient returns the client that asks other nodes: it goes nowhere but where a member's
// record says.
func newPeerClient(given *http.Client) *http.Client {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if given != nil {
		client = *given
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// askNode passes a request on to the node that can answer it.
func askNode[T any](s *Server, r *http.Request, node, target string) (part T, failed *refusal) {
	if s.opts.Cluster == nil {
		return part, &refusal{http.StatusNotFound, "there is no other node"}
	}
	state, err := s.opts.Cluster.State(r.Context(), Scope{Members: true})
	if err != nil {
		return part, refuseWith(http.StatusInternalServerError, "describe cluster", err)
	}
	i := slices.IndexFunc(state.Members, func(m Member) bool { return m.ID == node })
	if i < 0 {
		return part, &refusal{http.StatusNotFound, fmt.Sprintf("there is no node %q", node)}
	}
	answer := s.ask(r.Context(), state.Members[i:i+1], question{method: r.Method, target: target, cause: r})[0]
	if answer.Err == nil {
		answer.Err = json.Unmarshal(answer.Data, &part)
	}
	if answer.Err != nil {
		status := http.StatusBadGateway
		if answer.Status == http.StatusNotFound || answer.Status == http.StatusTooManyRequests {
			status = answer.Status
		}
		return part, &refusal{status, fmt.Sprintf("node %q: %v", node, answer.Err)}
	}
	return part, nil
}

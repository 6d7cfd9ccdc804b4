package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// clusterInstance is an item of GET /agent/api/v1/cluster/instances, clusterTarget one of GET /agent/api/v1/cluster/targets.
type (
	clusterInstance struct {
		Node string `json:"node"`
		Instance
	}
	clusterTarget struct {
		Node string `json:"node"`
		Target
	}
)

// gatheredListing is a page of what all nodes have.
type gatheredListing[T any] struct {
	listing[T]
	// Unreachable are the nodes whose part is missing. Never nil.
	Unreachable []unreachable `json:"unreachable"`
}

// gathering is one kind of item that each node has some of.
type gathering[T any] struct {
	// what is its plural, path where it is asked for.
	what, path string
	keyLength  int
	key        func(T) []string
	// filter reads what of the query picks items.
	filter func(query url.Values) (wanted func(T) bool, err error)
	// local returns the items of this node.
	local func(ctx context.Context) ([]T, error)
}

func (s *Server) instancesOfAll() http.HandlerFunc {
	return gather(s, gathering[clusterInstance]{
		what: "instances", path: clusterAPI + "/instances", keyLength: 3,
		key: func(i clusterInstance) []string { return []string{i.Name, i.Unit, i.Node} },
		filter: func(query url.Values) (func(clusterInstance) bool, error) {
			wanted, err := instanceFilter(query.Get("quarantined"))
			return func(i clusterInstance) bool { return wanted(i.Instance) }, err
		},
		local: func(ctx context.Context) ([]clusterInstance, error) {
			all, err := s.opts.Instances.Instances(ctx)
			items := make([]clusterInstance, 0, len(all))
			for _, i := range all {
				items = append(items, clusterInstance{s.opts.Node, i})
			}
			return items, err
		},
	})
}

func (s *Server) targetsOfAll() http.HandlerFunc {
	return gather(s, gathering[clusterTarget]{
		what: "targets", path: clusterAPI + "/targets", keyLength: 5,
		key: func(t clusterTarget) []string {
			// Two targets of one URL differ in their labels. The hash is the same on all nodes.
			return []string{t.Instance, t.TargetGroup, t.Endpoint, fmt.Sprintf("%016x", labels.StableHash(t.Labels)), t.Node}
		},
		filter: func(query url.Values) (func(clusterTarget) bool, error) {
			wanted, err := targetFilter(query.Get("state"), query.Get("instance"), query.Get("job"))
			return func(t clusterTarget) bool { return wanted(t.Target) }, err
		},
		local: func(ctx context.Context) ([]clusterTarget, error) {
			all, err := s.opts.Instances.Targets(ctx)
			items := make([]clusterTarget, 0, len(all))
			for _, t := range all {
				items = append(items, clusterTarget{s.opts.Node, t})
			}
			return items, err
		},
	})
}

// gather answers a page of what all nodes have. Each node answers its own part of the page, so however much there is, no node sends or
// holds more than a page of any other. A node that does not answer is named, and its part is missing.
func gather[T any](s *Server, g gathering[T]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		page, err := readPage(query, g.keyLength)
		wanted, filterErr := g.filter(query)
		if err := errors.Join(err, filterErr); err != nil {
			failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
			return
		}
		items, err := g.local(r.Context())
		if err != nil {
			failAPI(w, http.StatusInternalServerError, problem{Error: "list " + g.what + ": " + err.Error()})
			return
		}
		items = slices.DeleteFunc(items, func(item T) bool { return !wanted(item) })
		out := gatheredListing[T]{Unreachable: []unreachable{}}
		out.Node, out.Total = s.opts.Node, len(items)
		out.Items, out.Next = pageOf(items, g.key, page)
		if !askedByPeer(r) {
			if err := addPeers(s, r, g, page, &out); err != nil {
				failAPI(w, http.StatusInternalServerError, problem{Error: "describe cluster: " + err.Error()})
				return
			}
		}
		succeed(w, http.StatusOK, out)
	}
}

// addPeers adds the other nodes' parts of the page to this one's.
func addPeers[T any](s *Server, r *http.Request, g gathering[T], page pageRequest, out *gatheredListing[T]) error {
	state, err := s.opts.Cluster.State(r.Context())
	if err != nil {
		return err
	}
	target := g.path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	more := out.Next != ""
	for _, answer := range s.ask(r.Context(), s.others(state.Members), question{http.MethodGet, target, r}) {
		part, err := readPart[T](answer)
		if err != nil {
			out.Unreachable = append(out.Unreachable, unreachable{answer.Node, err.Error()})
			continue
		}
		out.Items = append(out.Items, part.Items...)
		out.Total += part.Total
		more = more || part.Next != ""
	}
	out.Items, out.Next = pageOf(out.Items, g.key, page)
	// Whoever has more sent a full page, so this one is full, too.
	if more && out.Next == "" && len(out.Items) > 0 {
		out.Next = encodeCursor(g.key(out.Items[len(out.Items)-1]))
	}
	return nil
}

// readPart refuses the answer of a node that is not the one that was meant: its address is wrong, and its items would be there twice.
func readPart[T any](answer peerAnswer) (part listing[T], err error) {
	if answer.Err != nil {
		return part, answer.Err
	}
	if err := json.Unmarshal(answer.Data, &part); err != nil {
		return part, fmt.Errorf("read its answer: %w", err)
	}
	if part.Node != answer.Node {
		return part, fmt.Errorf("node %q answers at its address", part.Node)
	}
	return part, nil
}

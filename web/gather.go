package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// clusterInstance is an item of GET /agent/api/v1/cluster/instances, clusterTarget one of GET
// /agent/api/v1/cluster/targets.
type (
	clusterInstance struct {
		Node string `json:"node"`
		Instance
	}
	clusterTarget struct {
		Node string `json:"node"`
		// ID tells a config's targets apart. It is the same on all nodes.
		ID string `json:"id"`
		Target
	}
)

// gatheredListing is a page of what all nodes have.
type gatheredListing[T any] struct {
	listing[T]
	// Counts are how many items there are of each kind, whichever kind is asked for. Nil: there are
	// no kinds.
	Counts map[string]int `json:"counts,omitempty"`
	// Unreachable are the nodes whose part is missing. Never nil.
	Unreachable []unreachable `json:"unreachable"`
}

// gathering is one sort of item that each node has some of.
type gathering[T any] struct {
	// what is its plural, path where it is asked for.
	what, path string
	keyLength  int
	key        func(T) []string
	// sorts are what ?sort= may name; their text comes before the key. usual is what it is without.
	sorts map[string]func(T) string
	usual string
	// kind says of which kind an item is, by ?state=, and kinds are all there are. Nil: there are
	// no kinds.
	kind  func(T) string
	kinds []string
	// filter reads what else of the query picks items.
	filter func(query url.Values) (wanted func(T) bool, err error)
	// local returns the items of this node.
	local func(r *http.Request) ([]T, error)
	// some returns as many of this node's items as the page takes without making all, and how many
	// there are of each kind; all: there are no more. ok is false if only the items tell. Nil: it
	// never is true.
	some func(r *http.Request, page pageRequest) (items []T, counts map[string]int, all, ok bool, err error)
	// orphans returns items that no node answers for, given those that did not answer. Nil: there
	// are none.
	orphans func(r *http.Request, silent []unreachable) ([]T, error)
}

// read reads the query: which page, in which order, of which items and of which kind.
func (g gathering[T]) read(query url.Values) (p pageRequest, key func(T) []string, wanted, ofKind func(T) bool, err error) {
	name := query.Get("sort")
	if name == "" {
		name = g.usual
	}
	key, length := g.key, g.keyLength
	if name != "" {
		rank, known := g.sorts[strings.TrimPrefix(name, "-")]
		if !known {
			return p, nil, nil, nil, fmt.Errorf("sort: nothing sorts by %q", name)
		}
		length++
		turned := strings.HasPrefix(name, "-")
		key = func(item T) []string {
			first := rank(item)
			if turned {
				first = reversed(first)
			}
			return append([]string{first}, g.key(item)...)
		}
	}
	p, pageErr := readPage(query, length)
	wanted, filterErr := g.filter(query)
	kind := query.Get("state")
	ofKind = func(item T) bool { return kind == "" || g.kind(item) == kind }
	if g.kind == nil {
		return p, key, wanted, func(T) bool { return true }, errors.Join(pageErr, filterErr)
	}
	return p, key, wanted, ofKind, errors.Join(pageErr, filterErr, oneOf("state", kind, g.kinds...))
}

func (s *Server) instances() gathering[clusterInstance] {
	return gathering[clusterInstance]{
		what: "instances", path: clusterAPI + "/instances", keyLength: 3,
		key: func(i clusterInstance) []string { return []string{i.Name, i.Unit, i.Node} },
		filter: func(query url.Values) (func(clusterInstance) bool, error) {
			wanted, err := instanceFilter(query.Get("quarantined"))
			return func(i clusterInstance) bool { return wanted(i.Instance) }, err
		},
		local: func(r *http.Request) ([]clusterInstance, error) {
			all, err := s.opts.Instances.Instances(r.Context(), "")
			items := make([]clusterInstance, 0, len(all))
			for _, i := range all {
				items = append(items, clusterInstance{s.opts.Node, i})
			}
			return items, err
		},
	}
}

func (s *Server) targets() gathering[clusterTarget] {
	return gathering[clusterTarget]{
		what: "targets", path: clusterAPI + "/targets", keyLength: 5,
		// Two targets of one URL differ in their labels.
		key:    func(t clusterTarget) []string { return []string{t.Instance, t.TargetGroup, t.Endpoint, t.ID, t.Node} },
		kind:   func(t clusterTarget) string { return t.State },
		kinds:  targetStates,
		sorts:  targetSorts,
		filter: targetFilter,
		some: func(r *http.Request, page pageRequest) ([]clusterTarget, map[string]int, bool, bool, error) {
			return s.someTargets(r, "", page)
		},
		local: func(r *http.Request) ([]clusterTarget, error) {
			return s.ownTargets(r.Context(), func(u UnitTargets) bool { return is(u.Config, r.URL.Query().Get("instance")) })
		},
	}
}

// is passes what is wanted; empty: everything.
func is(value, wanted string) bool { return wanted == "" || value == wanted }

// ownTargets are this node's targets, of the units that are wanted.
func (s *Server) ownTargets(ctx context.Context, wanted func(UnitTargets) bool) ([]clusterTarget, error) {
	all, err := s.opts.Instances.Targets(ctx, wanted)
	items := make([]clusterTarget, len(all))
	for i, t := range all {
		items[i] = clusterTarget{s.opts.Node, targetID(&t), t}
	}
	return items, err
}

// targetID is made of what may be shown, so it reveals nothing.
func targetID(t *Target) string {
	const digits = "0123456789abcdef"
	hash := labels.StableHash(t.Labels)
	var text [16]byte
	for i := range text {
		text[len(text)-1-i] = digits[hash&15]
		hash >>= 4
	}
	return string(text[:])
}

// gather answers a page of what all nodes have.
func gather[T any](s *Server, g gathering[T]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := collect(s, r, g)
		if err != nil {
			err.answer(w)
			return
		}
		succeed(w, http.StatusOK, out)
	}
}

// refusal is an error with its status.
type refusal struct {
	status int
	text   string
}

func (f *refusal) answer(w http.ResponseWriter) {
	f.count(w)
	failAPI(w, f.status, problem{Error: f.text})
}

func (f *refusal) count(w http.ResponseWriter) {
	if f.status == http.StatusTooManyRequests {
		because(w, refusedBusy)
	}
}

func refuseWith(status int, doing string, err error) *refusal {
	if doing != "" {
		doing += ": "
	}
	return &refusal{status, doing + err.Error()}
}

// collect gives a page of what all nodes have. Each node answers its own part of the page, so
// however much there is, no node sends or holds more than a page of any other. A node that does not
// answer is named, and its part is missing.
func collect[T any](s *Server, r *http.Request, g gathering[T]) (out gatheredListing[T], failed *refusal) {
	page, key, wanted, ofKind, err := g.read(r.URL.Query())
	if err != nil {
		return out, refuseWith(http.StatusBadRequest, "", err)
	}
	answers, end, err := s.askOthers(r, asked(g.path, r.URL.RawQuery))
	defer end()
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
	}
	out.Node, out.Unreachable = s.opts.Node, []unreachable{}
	add := func(items []T) {
		kept := items[:0]
		for _, item := range items {
			if !wanted(item) {
				continue
			}
			if g.kind != nil {
				if out.Counts == nil {
					out.Counts = map[string]int{}
				}
				out.Counts[g.kind(item)]++
			}
			if ofKind(item) {
				kept = append(kept, item)
			}
		}
		out.Total += len(kept)
		out.Items = append(out.Items, kept...)
	}
	known, err := addSome(r, g, page, &out, func(items []T) []T {
		return slices.DeleteFunc(items, func(item T) bool { return !wanted(item) || !ofKind(item) })
	}, key)
	if !known && err == nil {
		var items []T
		items, err = g.local(r)
		add(items)
		out.Items, out.Next = pageOf(out.Items, key, page)
	}
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "list "+g.what, err)
	}
	if askedByPeer(r) {
		return out, nil
	}
	addPeers(answers(), &out)
	if g.orphans != nil {
		orphans, err := g.orphans(r, out.Unreachable)
		if err != nil {
			return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
		add(orphans)
	}
	more := out.Next != ""
	out.Items, out.Next = pageOf(out.Items, key, page)
	// Whoever has more sent a full page, so this one is full, too.
	if more && out.Next == "" && len(out.Items) > 0 {
		out.Next = encodeCursor(key(out.Items[len(out.Items)-1]))
	}
	return out, nil
}

// addSome adds this node's part of the page, if that can be told without making all items.
func addSome[T any](r *http.Request, g gathering[T], page pageRequest, out *gatheredListing[T], filtered func([]T) []T, key func(T) []string) (known bool, err error) {
	if g.some == nil {
		return false, nil
	}
	items, counts, all, ok, err := g.some(r, page)
	if err != nil || !ok {
		return false, err
	}
	items, next := pageOf(filtered(items), key, page)
	if next == "" && !all { // they have changed meanwhile
		return false, nil
	}
	out.Items, out.Next = items, next
	for kind, n := range counts {
		if n == 0 {
			continue
		}
		if out.Counts == nil {
			out.Counts = map[string]int{}
		}
		out.Counts[kind] = n
		if state := r.URL.Query().Get("state"); state == "" || state == kind {
			out.Total += n
		}
	}
	return true, nil
}

// addPeers adds the other nodes' parts of the page to this one's.
func addPeers[T any](answers []peerAnswer, out *gatheredListing[T]) {
	for _, answer := range answers {
		part, err := readPart[T](answer)
		if err != nil {
			out.Unreachable = append(out.Unreachable, unreachable{answer.Node, err.Error()})
			continue
		}
		out.Items = append(out.Items, part.Items...)
		out.Total += part.Total
		for kind, n := range part.Counts {
			if out.Counts == nil {
				out.Counts = map[string]int{}
			}
			out.Counts[kind] += n
		}
		if part.Next != "" {
			out.Next = part.Next
		}
	}
}

// asked is a path with a query that need not be there.
func asked(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// readPart refuses the answer of a node that is not the one that was meant: its address is wrong,
// and its items would be there twice.
func readPart[T any](answer peerAnswer) (part gatheredListing[T], err error) {
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

// askAll begins to ask every other node for its part, unless a node asks. The answers come when they
// are waited for: one of a node that is not who was meant is none. end has to be called.
func askAll[T any](s *Server, r *http.Request, target string, who func(T) string) (wait func() (parts []T, silent []unreachable), end func(), err error) {
	answers, end, err := s.askOthers(r, target)
	wait = func() (parts []T, silent []unreachable) {
		silent = []unreachable{}
		for _, answer := range answers() {
			var part T
			err := answer.Err
			if err == nil {
				err = json.Unmarshal(answer.Data, &part)
			}
			if err == nil && who(part) != answer.Node {
				err = fmt.Errorf("node %q answers at its address", who(part))
			}
			if err != nil {
				silent = append(silent, unreachable{answer.Node, err.Error()})
				continue
			}
			parts = append(parts, part)
		}
		return parts, silent
	}
	return wait, end, err
}

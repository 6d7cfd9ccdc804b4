package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// The states of an endpoint, worst first.
const (
	endpointFailing  = "failing"  // its last request failed
	endpointRefused  = "refused"  // its receiver refused something lately
	endpointLagging  = "lagging"  // what is sent is old
	endpointAccepted = "accepted" // all is well
	endpointIdle     = "idle"     // nothing has been sent yet
)

var endpointStates = []string{endpointFailing, endpointRefused, endpointLagging, endpointIdle, endpointAccepted}

// refusalLasts is how long a refusal counts.
const refusalLasts = 10 * time.Minute

func (e *Endpoint) state(now time.Time) string {
	switch {
	case e.Failing:
		return endpointFailing
	case e.LastError != "" && now.Sub(e.LastErrorAt) < refusalLasts && len(e.Dropped) > 0:
		return endpointRefused
	case e.Lag > lateAfter:
		return endpointLagging
	case e.LastSuccess.IsZero():
		return endpointIdle
	}
	return endpointAccepted
}

// endpointRow is one remote_write block of a unit on a node: an item of GET /receivers.
type endpointRow struct {
	Node   string `json:"node"`
	Config string `json:"config"`
	Unit   string `json:"unit,omitempty"`
	State  string `json:"state"`
	Endpoint
}

// Link is the config's page.
func (e endpointRow) Link() string { return pages.ConfigPath(e.Config) }

// Lost is how many samples were given up, for any reason.
func (e endpointRow) Lost() uint64 { return total(e.Dropped) }

func total(dropped map[string]uint64) (sum uint64) {
	for _, n := range dropped {
		sum += n
	}
	return sum
}

func (s *Server) endpointRows(instances []Instance, now time.Time) []endpointRow {
	var rows []endpointRow
	for i := range instances {
		instance := &instances[i]
		for e := range instance.Endpoints {
			endpoint := instance.Endpoints[e]
			rows = append(rows, endpointRow{s.opts.Node, instance.Name, instance.Unit, endpoint.state(now), endpoint})
		}
	}
	return rows
}

func (s *Server) endpointsOfAll() gathering[endpointRow] {
	return gathering[endpointRow]{
		what: "endpoints", path: "/receivers", keyLength: 5, usual: "state",
		key:   func(e endpointRow) []string { return []string{e.Config, e.Unit, e.Name, e.URL, e.Node} },
		kind:  func(e endpointRow) string { return e.State },
		kinds: endpointStates,
		sorts: map[string]func(endpointRow) string{
			"state":    func(e endpointRow) string { return ordinal(slices.Index(endpointStates, e.State)) },
			"config":   func(e endpointRow) string { return e.Config },
			"node":     func(e endpointRow) string { return e.Node },
			"receiver": func(e endpointRow) string { return e.URL },
			"sent":     func(e endpointRow) string { return quantity(^e.Sent) },
			"dropped":  func(e endpointRow) string { return quantity(^e.Lost()) },
			"pending":  func(e endpointRow) string { return quantity(^e.Pending) },
			"lag":      func(e endpointRow) string { return quantity(^uint64(e.Lag * 1000)) },
		},
		filter: func(query url.Values) (func(endpointRow) bool, error) {
			node, config, address, words := query.Get("node"), query.Get("config"), query.Get("url"), wordsOf(query.Get("q"))
			return func(e endpointRow) bool {
				return (node == "" || e.Node == node) && (config == "" || e.Config == config) && (address == "" || e.URL == address) &&
					(len(words) == 0 || words.amid(e.Config, e.Unit, e.Node, e.Name, e.URL, e.LastError))
			}, nil
		},
		local: func(r *http.Request) ([]endpointRow, error) {
			instances, err := s.opts.Instances.Instances(r.Context(), "")
			return s.endpointRows(instances, s.opts.Now()), err
		},
	}
}

// destination is what all endpoints of one address have in common: an item of GET
// /receivers/destinations.
type destination struct {
	URL         string            `json:"url"`
	State       string            `json:"state"`
	Endpoints   int               `json:"endpoints"`
	Failing     int               `json:"failing"`
	Sent        uint64            `json:"samples_sent"`
	Dropped     map[string]uint64 `json:"samples_dropped,omitempty"`
	Pending     uint64            `json:"samples_pending"`
	Lag         float64           `json:"lag_seconds,omitempty"`
	LastError   string            `json:"last_error,omitempty"`
	LastErrorAt time.Time         `json:"last_error_at,omitzero"`
}

// Lost is how many samples were given up, for any reason.
func (d destination) Lost() uint64 { return total(d.Dropped) }

// join adds what another node, or another endpoint, has to tell of the same address.
func (d *destination) join(other destination) {
	d.Endpoints += other.Endpoints
	d.Failing += other.Failing
	d.Sent += other.Sent
	d.Pending += other.Pending
	d.Lag = max(d.Lag, other.Lag)
	for reason, n := range other.Dropped {
		if d.Dropped == nil {
			d.Dropped = map[string]uint64{}
		}
		d.Dropped[reason] += n
	}
	if other.LastErrorAt.After(d.LastErrorAt) {
		d.LastError, d.LastErrorAt = other.LastError, other.LastErrorAt
	}
	if d.State == "" || slices.Index(endpointStates, other.State) < slices.Index(endpointStates, d.State) {
		d.State = other.State
	}
}

// Bounds of what is told of destinations: by a node, and by a page.
const (
	maxDestinations   = 1000
	shownDestinations = 20
)

// destinations sums endpoints up by address.
func destinations(rows []destination) []destination {
	byURL := map[string]*destination{}
	var all []*destination
	for _, row := range rows {
		d := byURL[row.URL]
		if d == nil {
			d = &destination{URL: row.URL}
			byURL[row.URL] = d
			all = append(all, d)
		}
		d.join(row)
	}
	slices.SortFunc(all, func(a, b *destination) int {
		return cmp.Or(cmp.Compare(slices.Index(endpointStates, a.State), slices.Index(endpointStates, b.State)), cmp.Compare(a.URL, b.URL))
	})
	sorted := make([]destination, 0, len(all))
	for _, d := range all {
		sorted = append(sorted, *d)
	}
	return sorted
}

func (s *Server) ownDestinations(r *http.Request) ([]destination, error) {
	instances, err := s.opts.Instances.Instances(r.Context(), "")
	var rows []destination
	for _, e := range s.endpointRows(instances, s.opts.Now()) {
		d := destination{
			URL: e.URL, State: e.State, Endpoints: 1, Sent: e.Sent, Dropped: e.Dropped, Pending: e.Pending, Lag: e.Lag,
			LastError: e.LastError, LastErrorAt: e.LastErrorAt,
		}
		if e.State == endpointFailing || e.State == endpointRefused {
			d.Failing = 1
		}
		rows = append(rows, d)
	}
	own := destinations(rows)
	return own[:min(len(own), maxDestinations)], err
}

// destinationsJSON is data of GET /receivers/destinations.
type destinationsJSON struct {
	Node         string        `json:"node"`
	Destinations []destination `json:"destinations"`
	Unreachable  []unreachable `json:"unreachable"`
}

// destinationsOfAll begins to ask the other nodes; the answer comes when it is waited for. end has to
// be called.
func (s *Server) destinationsOfAll(r *http.Request) (wait func() (destinationsJSON, *refusal), end func()) {
	others, end, err := askAll(s, r, "/receivers/destinations", func(d destinationsJSON) string { return d.Node })
	return func() (destinationsJSON, *refusal) {
		if err != nil {
			return destinationsJSON{}, refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
		return s.joinDestinations(r, others)
	}, end
}

func (s *Server) joinDestinations(r *http.Request, others func() ([]destinationsJSON, []unreachable)) (out destinationsJSON, failed *refusal) {
	out = destinationsJSON{Node: s.opts.Node}
	var err error
	if out.Destinations, err = s.ownDestinations(r); err != nil {
		return out, refuseWith(http.StatusInternalServerError, "list endpoints", err)
	}
	parts, silent := others()
	for _, part := range parts {
		out.Destinations = append(out.Destinations, part.Destinations...)
	}
	out.Destinations, out.Unreachable = destinations(out.Destinations), silent
	return out, nil
}

func (s *Server) listDestinations(w http.ResponseWriter, r *http.Request) {
	wait, end := s.destinationsOfAll(r)
	defer end()
	out, failed := wait()
	if failed != nil {
		failed.answer(w)
		return
	}
	succeed(w, http.StatusOK, out)
}

type receiversData struct {
	Destinations []destination
	Left         int
	List         pages.List
}

// receiversPage shows where everything is sent, and what the receivers say.
func (s *Server) receiversPage(w http.ResponseWriter, r *http.Request) {
	var wait func() (destinationsJSON, *refusal)
	if !wantsJSON(r) { // which has the list only
		var end func()
		wait, end = s.destinationsOfAll(r)
		defer end()
	}
	list, out, done := answerList(s, w, r, listPage[endpointRow]{
		gathering: s.endpointsOfAll(), rows: "receiver-row", item: func(e endpointRow) any { return e },
		list: pages.List{
			Empty: "No instance sends anywhere: none runs, or none has a remote_write.",
			Columns: []pages.Column{
				{Label: "Config", Sort: "config"}, {Label: "State", Sort: "state"}, {Label: "Node", Sort: "node"}, {Label: "Receiver", Sort: "receiver"},
				{Label: "Sent", Sort: "sent", Number: true}, {Label: "Dropped", Sort: "dropped", Number: true},
				{Label: "Pending", Sort: "pending", Number: true}, {Label: "Lag", Sort: "lag", Number: true}, {Label: "Last answer"},
			},
			Filters: []pages.Filter{{Name: "url", Label: "Receiver", Hint: "its address"}, {Name: "config", Label: "Config", Hint: "any"}, {Name: "node", Label: "Node", Hint: "any"}},
		},
	})
	if done {
		return
	}
	all, failed := wait()
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	data := receiversData{Destinations: all.Destinations, List: list}
	if data.Left = len(all.Destinations) - shownDestinations; data.Left > 0 {
		data.Destinations = all.Destinations[:shownDestinations]
	}
	s.show(w, r, "receivers.html", pages.Frame{Title: "Receivers", Current: "/receivers", Unreachable: unreachables(out.Unreachable), Data: data})
}

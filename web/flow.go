package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ringmaster-agent/ringmaster/web/pages"
)

// flowPart is one node's part of GET /flow: how samples come from discovery to the receivers.
type flowPart struct {
	Node string `json:"node"`
	// Configs are the units by state, Troubled the worst of them.
	Configs  map[string]int `json:"configs"`
	Troubled *configRow     `json:"troubled,omitempty"`
	// Found are the targets that discoveries have found.
	Found found `json:"discovered"`
	// Targets are those that are scraped; Down says why one of them is down, Refused what the log has
	// not taken of one.
	Targets targetCounts `json:"targets"`
	Down    string       `json:"down,omitempty"`
	Refused string       `json:"refused,omitempty"`
	Limited string       `json:"limited,omitempty"`
	// Logged is what came into the logs, if LoggedKnown; Pending and Lag are of what waits there.
	Logged      float64    `json:"logged_per_second"`
	LoggedKnown bool       `json:"rates_known"`
	Pending     uint64     `json:"samples_pending"`
	Lag         float64    `json:"lag_seconds"`
	Receivers   []receiver `json:"receivers"`
}

// found is what discoveries have found.
type found struct {
	Kept    int `json:"kept"`
	Dropped int `json:"dropped"`
	Invalid int `json:"invalid"`
}

// receiver is a destination, or of one config an endpoint.
type receiver struct {
	destination
	Rates
	// Known: the rates are those of all its endpoints.
	Known bool `json:"rates_known"`
}

// maxReceivers is how many receivers a node tells of.
const maxReceivers = 50

// ownFlow is this node's part, of one config or of all.
func (s *Server) ownFlow(r *http.Request, config string) (part flowPart, failed *refusal) {
	units, wanted := someDown()
	if config != "" {
		down, refused := wanted, 0
		units, wanted = everyUnit, func(t outline) bool {
			refused++
			return refused <= shownTargets || down(t)
		}
	}
	snap, err := s.look(r.Context(), config, units, wanted)
	if err != nil {
		return part, refuseWith(http.StatusInternalServerError, "describe flow", err)
	}
	part = flowPart{Node: s.opts.Node, Configs: map[string]int{}, Receivers: []receiver{}}
	for _, row := range s.configRows(snap) {
		part.note(row)
	}
	for _, c := range snap.counts {
		part.Targets.Up += c.Up
		part.Targets.Down += c.Down
		part.Targets.Unknown += c.Unknown
	}
	for i := range snap.targets {
		t := &snap.targets[i]
		if t.State == stateDown {
			part.Down = cmp.Or(part.Down, strings.TrimSuffix(t.Endpoint+": "+t.ScrapeError, ": "))
		}
		if t.Refused != "" {
			part.Refused = cmp.Or(part.Refused, t.Endpoint+": "+t.Refused)
		}
	}
	jobs, err := s.opts.Inspector.Discovered(r.Context(), config, false)
	if err != nil {
		return part, refuseWith(http.StatusInternalServerError, "list discovered targets", err)
	}
	for _, job := range jobs {
		part.Found.Kept += job.Kept
		part.Found.Dropped += job.Dropped
		part.Found.Invalid += job.Failed
	}
	s.addReceivers(&part, snap, config != "")
	return part, nil
}

// note takes in a config's row.
func (p *flowPart) note(row configRow) {
	p.Configs[row.State]++
	if row.State != stateRunning && (p.Troubled == nil || slices.Index(configStates, row.State) < slices.Index(configStates, p.Troubled.State)) {
		p.Troubled = &row
	}
}

// addReceivers sums the endpoints up by address, or of one config by name, worst first.
func (s *Server) addReceivers(part *flowPart, snap snapshot, byName bool) {
	var all []receiver
	part.LoggedKnown = true
	for i := range snap.instances {
		instance := &snap.instances[i]
		logged := 0.0 // each endpoint gets the same
		for _, l := range instance.Limits {
			if snap.at.Sub(l.Last) < limitsFresh {
				part.Limited = cmp.Or(part.Limited, instance.Name+": "+l.Message)
			}
		}
		for e := range instance.Endpoints {
			endpoint := &instance.Endpoints[e]
			one := receiver{destination: destination{
				URL: endpoint.URL, State: endpoint.state(snap.at), Endpoints: 1, Sent: endpoint.Sent, Dropped: endpoint.Dropped, Pending: endpoint.Pending,
				Lag: endpoint.Lag, LastError: endpoint.LastError, LastErrorAt: endpoint.LastErrorAt,
			}}
			if byName {
				one.URL = endpoint.Name + " " + endpoint.URL
			}
			one.Rates, one.Known = s.opts.Rates(instance.Name, instance.Unit, endpoint, snap.at)
			part.LoggedKnown = part.LoggedKnown && one.Known
			logged, part.Lag = max(logged, one.Logged), max(part.Lag, one.Lag)
			all = append(all, one)
		}
		part.Logged += logged
		part.Pending += valueOf(instance.Pending)
	}
	part.Receivers = joinReceivers(all)
	part.Receivers = part.Receivers[:min(len(part.Receivers), maxReceivers)]
}

// joinReceivers sums receivers of one address up, worst first.
func joinReceivers(all []receiver) []receiver {
	joined := []receiver{}
	index := map[string]int{}
	for _, one := range all {
		i, there := index[one.URL]
		if !there {
			index[one.URL] = len(joined)
			joined = append(joined, receiver{destination: destination{URL: one.URL}, Known: true})
			i = len(joined) - 1
		}
		to := &joined[i]
		to.join(one.destination)
		to.Rates.Sent += one.Rates.Sent
		to.Logged += one.Logged
		to.Known = to.Known && one.Known
	}
	slices.SortStableFunc(joined, func(a, b receiver) int {
		return cmp.Or(cmp.Compare(slices.Index(endpointStates, a.State), slices.Index(endpointStates, b.State)), cmp.Compare(a.URL, b.URL))
	})
	return joined
}

// flowJSON is data of GET /flow: the parts, and their sum with what is stuck.
type flowJSON struct {
	Node        string        `json:"node"`
	Config      string        `json:"config,omitempty"`
	Total       flowPart      `json:"total"`
	Stages      []pages.Stage `json:"stages"`
	Nodes       []flowPart    `json:"nodes"`
	Unreachable []unreachable `json:"unreachable"`
}

func (s *Server) flow(r *http.Request, config string) (out flowJSON, failed *refusal) {
	others, end, err := askAll(s, r, pages.Link("/flow", "config", config), func(p flowPart) string { return p.Node })
	defer end()
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
	}
	own, failed := s.ownFlow(r, config)
	if failed != nil {
		return out, failed
	}
	parts, silent := others()
	out = flowJSON{Node: s.opts.Node, Config: config, Nodes: append([]flowPart{own}, parts...), Unreachable: silent}
	out.Total = sumFlow(out.Nodes)
	orphans, err := s.orphanRows(r, config, silent)
	if err != nil {
		return out, refuseWith(http.StatusInternalServerError, "describe cluster", err)
	}
	for _, row := range orphans {
		out.Total.note(row)
	}
	if config != "" && len(out.Total.Configs) == 0 {
		if failed = s.noteUnanswered(r, config, &out.Total); failed != nil {
			return out, failed
		}
	}
	out.Stages = stages(out.Total, config)
	return out, nil
}

// noteUnanswered takes in the units of a config that no node answers for, though all of them answer:
// one has given them up, and the next has not heard of it. It fails if there is no such config.
func (s *Server) noteUnanswered(r *http.Request, name string, total *flowPart) *refusal {
	if s.opts.Cluster != nil {
		state, err := s.opts.Cluster.State(r.Context(), Scope{Config: name})
		if err != nil {
			return refuseWith(http.StatusInternalServerError, "describe cluster", err)
		}
		for i := range state.Units {
			if u := &state.Units[i]; u.Config == name {
				total.note(configRow{Name: name, Unit: u.Name, State: stateOf(nil, u), Hold: "no node answers for it at this moment"})
			}
		}
	}
	if len(total.Configs) == 0 && !s.isStored(r, name) {
		return &refusal{http.StatusNotFound, fmt.Sprintf("there is no config %q", name)}
	}
	return nil
}

func sumFlow(parts []flowPart) flowPart {
	sum := flowPart{Configs: map[string]int{}, Receivers: []receiver{}, LoggedKnown: true}
	var receivers []receiver
	for _, p := range parts {
		for state, n := range p.Configs {
			sum.Configs[state] += n
		}
		if p.Troubled != nil && (sum.Troubled == nil || slices.Index(configStates, p.Troubled.State) < slices.Index(configStates, sum.Troubled.State)) {
			sum.Troubled = p.Troubled
		}
		sum.Found.Kept += p.Found.Kept
		sum.Found.Dropped += p.Found.Dropped
		sum.Found.Invalid += p.Found.Invalid
		sum.Targets.Up += p.Targets.Up
		sum.Targets.Down += p.Targets.Down
		sum.Targets.Unknown += p.Targets.Unknown
		sum.Down, sum.Refused, sum.Limited = cmp.Or(sum.Down, p.Down), cmp.Or(sum.Refused, p.Refused), cmp.Or(sum.Limited, p.Limited)
		sum.Logged, sum.LoggedKnown = sum.Logged+p.Logged, sum.LoggedKnown && p.LoggedKnown
		sum.Pending, sum.Lag = sum.Pending+p.Pending, max(sum.Lag, p.Lag)
		receivers = append(receivers, p.Receivers...)
	}
	sum.Receivers = joinReceivers(receivers)
	return sum
}

// perSecond is a rate in words.
func perSecond(rate float64, known bool) string {
	switch {
	case !known:
		return "rate not known yet"
	case rate > 0 && rate < 10:
		return fmt.Sprintf("%.1f samples/s", rate)
	}
	return pages.Count(int64(rate+0.5)) + " samples/s"
}

// stages judges each stage: what is stuck is wrong, and says why.
func stages(t flowPart, config string) []pages.Stage {
	running := t.Configs[stateRunning] + t.Configs[stateRefused] + t.Configs[stateDown] + t.Configs[stateLagging]
	units := 0
	for _, n := range t.Configs {
		units += n
	}
	all := []pages.Stage{configStage(t, config, units, running)}
	discovery := pages.Stage{
		Name: "Discovery", Link: pages.Link("/discovery", "config", config),
		Lines: []string{pages.Count(t.Found.Kept) + " kept", pages.Count(t.Found.Dropped) + " dropped by rules"},
	}
	switch {
	case t.Found.Invalid > 0:
		discovery.Tone, discovery.Reason = "wrong", pages.Plural(t.Found.Invalid, "discovered target")+" can't be scraped: labels or address are invalid"
	case running > 0 && t.Found.Kept == 0 && t.Found.Dropped > 0:
		discovery.Tone, discovery.Reason = "wrong", "the rules drop everything that was discovered"
	case running > 0 && t.Found.Kept == 0:
		discovery.Tone, discovery.Reason = "late", "nothing has been discovered"
	}
	targets := pages.Stage{
		Name: "Targets", Link: pages.Link("/targets", "instance", config),
		Lines: []string{pages.Count(t.Targets.Up) + " up", pages.Count(t.Targets.Down) + " down", pages.Count(t.Targets.Unknown) + " not scraped yet"},
	}
	if t.Targets.Down > 0 {
		targets.Tone, targets.Reason, targets.Link = "wrong", t.Down, pages.Link("/targets", "instance", config, "state", "down")
	}
	scrape := pages.Stage{Name: "Scrape", Link: pages.Link("/targets", "instance", config, "sort", "samples"), Lines: []string{perSecond(t.Logged, t.LoggedKnown && len(t.Receivers) > 0)}}
	switch {
	case t.Refused != "":
		scrape.Tone, scrape.Reason = "wrong", "the log has refused samples: "+t.Refused
	case t.Limited != "":
		scrape.Tone, scrape.Reason = "wrong", "a limit was met: "+t.Limited
	case t.Targets.Up == 0 && t.Targets.Down > 0:
		scrape.Tone, scrape.Reason = "wrong", "no target answers"
	}
	log := pages.Stage{Name: "Log", Link: pages.Link("/receivers", "config", config, "sort", "pending"), Lines: []string{pages.Count(t.Pending) + " pending", pages.Seconds(t.Lag) + " behind"}}
	if t.Lag > lateAfter {
		log.Tone, log.Reason = "late", "what waits in the log is sent "+pages.Seconds(t.Lag)+" late"
	}
	all = append(all, discovery, targets, scrape, log)
	for i := range t.Receivers {
		if i == shownReceivers {
			rest := len(t.Receivers) - shownReceivers
			all = append(all, pages.Stage{Name: pages.Plural(rest, "more receiver"), Link: pages.Link("/receivers", "config", config), End: true})
			break
		}
		all = append(all, receiverStage(&t.Receivers[i], config))
	}
	return all
}

// shownReceivers is how many receivers the graph has.
const shownReceivers = 8

func configStage(t flowPart, config string, units, running int) pages.Stage {
	stage := pages.Stage{Name: "Configs", Link: "/configs", Lines: []string{pages.Count(running) + " of " + pages.Count(units) + " running"}}
	if config != "" {
		stage.Name, stage.Link = "Config", pages.ConfigPath(config)
		stage.Lines = []string{pages.Count(running) + " of " + pages.Plural(units, "unit") + " running"}
		if units == 0 {
			stage.Tone, stage.Reason = "late", "no node has read it yet"
		}
	}
	row := t.Troubled
	if row == nil || row.State == stateRefused || row.State == stateDown || row.State == stateLagging {
		return stage // a later stage tells it
	}
	if stage.Tone = pages.Tone(row.State); config == "" {
		stage.Link = pages.Link("/configs", "state", row.State)
	}
	stage.Reason = row.Name + " is " + row.State
	if why := cmp.Or(row.Reason, row.Hold); why != "" {
		stage.Reason += ": " + why
	}
	return stage
}

func receiverStage(one *receiver, config string) pages.Stage {
	stage := pages.Stage{
		Name: one.URL, Link: pages.Link("/receivers", "config", config), End: true,
		Lines: []string{one.State + ", " + perSecond(one.Rates.Sent, one.Known), pages.Count(one.Pending) + " pending, " + pages.Count(one.Lost()) + " dropped"},
	}
	if config == "" {
		stage.Link = pages.Link("/receivers", "url", one.URL)
	}
	switch one.State {
	case endpointFailing, endpointRefused:
		stage.Tone, stage.Reason = "wrong", one.LastError
	case endpointLagging:
		stage.Tone, stage.Reason = "late", "it is "+pages.Seconds(one.Lag)+" behind"
	}
	return stage
}

type flowData struct {
	Config, ConfigLink string
	Graph              any
	Stuck              []pages.Stage
	Stages             []pages.Stage
}

// flowPage draws how samples flow, of one config or of all.
func (s *Server) flowPage(w http.ResponseWriter, r *http.Request) {
	config := r.URL.Query().Get("config")
	if askedByPeer(r) {
		part, failed := s.ownFlow(r, config)
		if failed != nil {
			failed.answer(w)
			return
		}
		succeed(w, http.StatusOK, part)
		return
	}
	out, failed := s.flow(r, config)
	if failed != nil {
		s.failPage(w, r, failed)
		return
	}
	if wantsJSON(r) {
		succeed(w, http.StatusOK, out)
		return
	}
	data := flowData{Config: config, Graph: pages.Flow(out.Stages), Stages: out.Stages}
	title := "Flow"
	if config != "" {
		title, data.ConfigLink = "Flow of "+config, pages.ConfigPath(config)
	}
	for _, stage := range out.Stages {
		if stage.Tone != "" {
			data.Stuck = append(data.Stuck, stage)
		}
	}
	s.show(w, r, "flow.html", pages.Frame{Title: title, Current: "/flow", Unreachable: unreachables(out.Unreachable), Data: data})
}

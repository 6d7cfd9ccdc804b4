package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

// API reaches a cluster over the HTTP API of its agents.
type API struct {
	// Bases are the URLs of agents, those of all nodes if all are to be counted.
	Bases func(ctx context.Context) []string
	// Do makes a request of one of them and returns the body of a success.
	Do func(ctx context.Context, base, method, path, body string) ([]byte, error)
	// Commands are how nodes are killed, started and so on; nil: they can't be.
	Commands Commands
	// Host is the host of a node, for Commands; empty if it is not known.
	Host func(ctx context.Context, node string) string
	// Probe counts ticks and samples of configs of its own; nil: missed ticks are those that nodes
	// know of, and nobody counts those that were taken twice.
	Probe *Probe
}

const chaosPath = "/agent/api/v1/chaos"

// anyone makes a request of the first agent that grants it.
func (a API) anyone(ctx context.Context, method, path, body string) error {
	err := errors.New("there is no agent")
	for _, base := range a.Bases(ctx) {
		if _, err = a.Do(ctx, base, method, path, body); err == nil {
			return nil
		}
	}
	return err
}

// Inject implements Lab. Nodes that are down are not told, and begin without any fault.
func (a API) Inject(ctx context.Context, r fault.Rule) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return a.anyone(ctx, http.MethodPut, chaosPath+"/rules/"+url.PathEscape(r.Name)+"?nodes=all", string(text))
}

// Clear implements Lab. It tells every agent, since one that is just joining again is no member that
// another could tell. An agent that does not answer has ended, and with it its rules, or ends them
// by itself; it is an error if none answers.
func (a API) Clear(ctx context.Context) error {
	err := errors.New("there is no agent")
	cleared := false
	for _, base := range a.Bases(ctx) {
		if _, failed := a.Do(ctx, base, http.MethodPost, chaosPath+"/clear?nodes=all", ""); failed != nil {
			err = failed
		} else {
			cleared = true
		}
	}
	if cleared {
		return nil
	}
	return err
}

// Command implements Lab.
func (a API) Command(ctx context.Context, verb, node string) (how string, err error) {
	return a.Commands.run(ctx, verb, node, func() string { return a.Host(ctx, node) })
}

// Observe implements Lab.
func (a API) Observe(ctx context.Context) (Observation, error) {
	o, err := a.observe(ctx)
	if err == nil && a.Probe != nil { // what agents have sent was asked before, so the receiver has it
		o.Missed, o.Doubled = a.Probe.Ticks()
		o.received = a.Probe.Received()
	}
	return o, err
}

func (a API) observe(ctx context.Context) (Observation, error) {
	o := Observation{Doubled: -1}
	err := errors.New("there is no agent")
	answered := false
	for _, base := range a.Bases(ctx) {
		var answer []byte
		if answer, err = a.Do(ctx, base, http.MethodGet, "/agent/api/v1/cluster?limit=1000", ""); err != nil {
			continue
		}
		var cluster struct {
			Data struct {
				Unowned int
				Moves   []Move
			}
		}
		if err := json.Unmarshal(answer, &cluster); err != nil {
			return o, fmt.Errorf("read the cluster: %w", err)
		}
		answered = true
		o.Unowned = max(o.Unowned, cluster.Data.Unowned) // by the node that sees most
		o.moves = append(o.moves, cluster.Data.Moves...) // a node knows only those since it has started
	}
	if !answered {
		return o, err
	}
	for _, base := range a.Bases(ctx) {
		text, err := a.Do(ctx, base, http.MethodGet, "/metrics", "")
		if err != nil {
			o.Silent = append(o.Silent, base)
			continue
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
		if err != nil {
			return o, fmt.Errorf("read metrics: %w", err)
		}
		sum := func(name string) (n int) {
			for _, m := range families[name].GetMetric() {
				n += int(value(m))
			}
			return n
		}
		if o.Hits == nil {
			o.Hits = map[string]int{}
		}
		for _, m := range families["agent_chaos_hits_total"].GetMetric() {
			o.Hits[label(m, "point")+" "+label(m, "action")] += int(value(m))
		}
		o.addEndpoints(base, families)
		o.Pending += sum(pendingNow)
		o.Missed += sum("scrape_ticks_skipped_total") + sum("scrape_ticks_vetoed_total")
	}
	return o, nil
}

// Processes is a cluster of agents that are processes of this machine.
type Processes struct {
	Nodes []*node.Node
	// Ticks says how many ticks were missed and taken twice so far, as the targets count them.
	Ticks func() (missed, doubled int)
	// Received is how many samples of each config the receiver has; nil: nobody counts.
	Received func() map[string]int
}

func (p Processes) api() API {
	return API{
		Bases: func(context.Context) (bases []string) {
			for _, n := range p.Nodes {
				if n.Running() {
					bases = append(bases, n.Name)
				}
			}
			return bases
		},
		Do: func(ctx context.Context, base, method, path, body string) ([]byte, error) {
			n, err := p.node(base)
			if err != nil {
				return nil, err
			}
			text, err := n.Ask(ctx, method, path, body)
			return []byte(text), err
		},
	}
}

func (p Processes) node(name string) (*node.Node, error) {
	for _, n := range p.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

// Inject implements Lab.
func (p Processes) Inject(ctx context.Context, r fault.Rule) error { return p.api().Inject(ctx, r) }

// Clear implements Lab.
func (p Processes) Clear(ctx context.Context) error { return p.api().Clear(ctx) }

// Command implements Lab.
func (p Processes) Command(ctx context.Context, verb, name string) (how string, err error) {
	n, err := p.node(name)
	if err != nil {
		return "", err
	}
	return "", p.carryOut(ctx, verb, n)
}

func (p Processes) carryOut(ctx context.Context, verb string, n *node.Node) error {
	switch verb {
	case "kill":
		n.Kill()
		return nil
	case "stop":
		return n.Stop(ctx)
	case "restart":
		return errors.Join(n.Stop(ctx), n.Start())
	case "pause":
		return pause(n)
	case "resume":
		return resume(n)
	case "cut", "connect":
		return errors.New("the nodes here have no network of their own; use the points gossip.* and store.*")
	default:
		return n.Start() // an error if it runs, which nobody who wants it started expects
	}
}

// Observe implements Lab.
func (p Processes) Observe(ctx context.Context) (Observation, error) {
	o, err := p.api().Observe(ctx)
	if err == nil && p.Ticks != nil {
		o.Missed, o.Doubled = p.Ticks()
	}
	if err == nil && p.Received != nil { // what agents have sent was asked before, so the receiver has it
		o.received = p.Received()
	}
	return o, err
}

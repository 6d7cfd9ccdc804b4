package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/cluster"
	"github.com/ringmaster-agent/ringmaster/cluster/ring"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// garbage is the keys of the registry that can't be read.
func (s *server) garbage() []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if strings.HasPrefix(key, registryPrefix) && !strings.HasPrefix(string(s.entries[key].Value), `{"v":1`) {
			keys = append(keys, key)
		}
	}
	return keys
}

// members is the ring that the members' records make.
func (s *server) members() (*ring.Ring, []string) {
	var members, unfit []ring.Member
	var names []string
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		put, ok := decoded(cluster.Event{Kind: cluster.EventPut, Entry: s.entries[key]}).(messages.MemberPut)
		if !ok || put.Member.State != messages.Active {
			continue
		}
		names = append(names, put.Member.Node)
		m := ring.Member{Name: put.Member.Node, Zone: put.Member.Zone, Tokens: slices.Collect(put.Member.Tokens.All())}
		if put.Member.Unfit != "" {
			unfit = append(unfit, m)
		} else {
			members = append(members, m)
		}
	}
	if len(members) == 0 {
		members = unfit
	}
	return ring.New(members, ring.Options{ZoneAware: s.world.options.ZoneAware}), names
}

// wanted is every unit that should run: not those of configs that are held.
func (w *World) wanted() []messages.Unit {
	var units []messages.Unit
	for _, key := range slices.Sorted(maps.Keys(w.store.entries)) {
		if name, ok := strings.CutPrefix(key, configsPrefix); ok {
			if _, held := w.store.entries[registryPrefix+"holds/"+name]; held {
				continue
			}
			parsed, err := w.system.parse(messages.Document{Name: name, Text: messages.Text(w.store.entries[key].Value)})
			if err == nil {
				units = append(units, reshard.Units(name, parsed.Slices, max(w.options.Replicas, 1))...)
			}
		}
	}
	return units
}

// owner is who should run the unit; empty: nobody can.
func owner(r *ring.Ring, u messages.Unit) string {
	owners := r.Owners(ring.Key(messages.Unit{Config: u.Config, Slice: u.Slice}.Key()), u.Replica+1)
	if len(owners) <= u.Replica {
		return ""
	}
	return owners[u.Replica]
}

// checkSettled asks whether everything wanted runs, once, where it should, and nothing else does,
// and whether all nodes agree about that.
func (w *World) checkSettled() {
	r, names := w.store.members()
	living := w.living()
	for _, n := range living {
		if !slices.Contains(names, n.name) {
			w.fail("%s is not in the ring", n.name)
		}
	}
	if len(names) != len(living) {
		w.fail("the ring is %v, and %d nodes live", names, len(living))
	}
	running := map[messages.Unit][]string{}
	for _, n := range living {
		for unit, p := range n.pipelines {
			if p.scraping && p.spec.Permit() {
				running[unit] = append(running[unit], n.name)
			}
		}
	}
	wanted := w.wanted()
	for _, unit := range wanted {
		should := owner(r, unit)
		if does := running[unit]; should != "" && !slices.Equal(does, []string{should}) {
			w.fail("%v should be scraped by %s, and is by %v", unit, should, does)
		}
		delete(running, unit)
	}
	for _, unit := range slices.SortedFunc(maps.Keys(running), messages.Unit.Compare) {
		w.fail("%v should not be scraped, and is by %v", unit, running[unit])
	}
	w.checkNothingLeft(names)
	w.checkAgreement(r, wanted)
}

// checkNothingLeft asks whether there is nothing in the store of nodes that are no more, and
// nothing of moves that are over.
func (w *World) checkNothingLeft(members []string) {
	if got, nodes := len(w.store.sessions), len(w.living()); got != nodes {
		w.fail("the store has %d sessions of %d nodes", got, nodes)
	}
	wanted := map[messages.Unit]bool{}
	for _, unit := range w.wanted() {
		wanted[unit] = true
	}
	for _, key := range slices.Sorted(maps.Keys(w.store.entries)) {
		e := w.store.entries[key]
		record := decoded(cluster.Event{Kind: cluster.EventPut, Entry: e})
		if record == nil {
			continue
		}
		switch record.(type) {
		case messages.HoldPut, messages.CordonPut:
			continue // they stay until somebody takes them back
		}
		if w.store.sessions[e.Session] == nil {
			w.fail("%s = %s is bound to session %q, which is no more", key, short(e.Value), e.Session)
		}
		switch r := record.(type) {
		case messages.ClaimPut:
			if !wanted[r.Claim.Unit] {
				w.fail("claim of %v by %s is left, and no config has it", r.Claim.Unit, r.Claim.Node)
			}
			if !slices.Contains(members, r.Claim.Node) || r.Claim.Released {
				w.fail("claim of %v by %s is left, released %t", r.Claim.Unit, r.Claim.Node, r.Claim.Released)
			}
		case messages.IntentPut:
			w.fail("intent of %s for %v is left", r.Intent.Node, r.Intent.Unit)
		}
	}
}

// checkAgreement asks every node what it thinks.
func (w *World) checkAgreement(r *ring.Ring, wanted []messages.Unit) {
	for _, n := range w.living() {
		tree, ok := n.describe()
		for range 3 { // the moment of a listing is none to ask
			if !ok || tree.Settled {
				break
			}
			tree, ok = n.describe()
		}
		if !ok {
			w.fail("%s does not answer", n.name)
			return
		}
		c := tree.Cluster
		if !tree.Complete || !tree.Settled || !c.Settled || !c.Permitted || c.Problem != "" || tree.Doubt != "" {
			w.fail("%s is not settled: complete %t, settled %t, ring %t, permitted %t, problem %q, doubt %q",
				n.name, tree.Complete, tree.Settled, c.Settled, c.Permitted, c.Problem, tree.Doubt)
		}
		units := map[messages.Unit]messages.UnitDescription{}
		for u := range tree.Units.All() {
			units[u.Unit] = u
		}
		for _, unit := range wanted {
			if says, is := units[unit].Owner, owner(r, unit); says != is {
				w.fail("%s says that %v is owned by %q, and it is by %q", n.name, unit, says, is)
			}
		}
	}
}

// describe asks the node's supervisor.
func (n *node) describe() (tree messages.TreeDescription, ok bool) {
	w := n.world
	props := actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			n.pids = append(n.pids, c.Self())
			c.Request(n.supervisor, messages.DescribeTree{})
		case messages.TreeDescription:
			tree, ok = m, true
		}
	}, actor.WithDispatcher(dispatcher{n}))
	w.system.Root.Spawn(props)
	for range 20 {
		if w.Run(100 * time.Millisecond); ok {
			break
		}
	}
	return tree, ok
}

// checkQuiet lets time pass, in which nothing may be ordered or written, and every tick is to be taken.
func (w *World) checkQuiet() {
	if w.failure != "" {
		return
	}
	commands, writes, from := w.ledger.commands, w.store.writes, w.now
	w.Run(quietFor)
	if w.ledger.commands != commands {
		w.fail("%d commands in a quiet world", w.ledger.commands-commands)
	}
	if w.store.writes != writes {
		w.fail("%d writes in a quiet world", w.store.writes-writes)
	}
	r, _ := w.store.members()
	for _, unit := range w.wanted() {
		by := w.node(owner(r, unit))
		if by == nil {
			continue
		}
		p := by.pipelines[unit]
		if p == nil {
			w.fail("%v is not scraped by %s any more", unit, by.name)
			continue
		}
		for tick := int64((from-p.offset)/p.interval) + 1; p.due(tick)+p.interval < w.now; tick++ {
			if taken := w.ledger.of(unit).taken[tick]; taken.by != by.name {
				w.fail("tick %d of %v was taken by %q in a quiet world, and should be by %s", tick, unit, taken.by, by.name)
			}
		}
	}
}

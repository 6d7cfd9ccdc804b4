package reshard_test

import (
	"fmt"
	"slices"

	. "github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// checkClaims says what is wrong if an instance scrapes without being the one that the store says.
func (m *model) checkClaims() {
	for _, n := range m.living() {
		for _, unit := range modelUnits {
			i, ok := n.units[unit]
			if !ok || !n.permitted(i) {
				continue
			}
			if c := m.store.claims[unit]; !c.Held() || c.Node != n.name || c.Revision != i.Epoch {
				m.fail("%s scrapes %v by the claim at %d, and the store has %+v", n.name, unit, i.Epoch, c)
			}
		}
	}
}

// checkStop says what is wrong if there is no reason for a stop.
func (m *model) checkStop(n *modelNode, v View, s Stop) {
	i := n.units[s.Unit]
	owner, ownership := "", Unknown
	if v.Owners != nil {
		owner, ownership = v.Owners.Owner(s.Unit)
	}
	shrunk := m.store.everShrunk(s.Unit)
	good := false
	switch s.Reason {
	case messages.Deleted:
		good = m.store.everDeleted(s.Unit.Config)
	case messages.Shutdown:
		good = n.stopping
	case messages.Fenced:
		good = m.store.everClaimed(s.Unit, n.name, i.Epoch)
	case messages.Moved:
		awaited := v.Cluster.Intents[s.Unit].Node == owner && owner != ""
		good = shrunk || ownership == NotOwned && (awaited || i.Phase != messages.PhaseRunning)
	}
	if !good || !i.Live() {
		m.fail("%s stops %v for no reason: %v, owner %q, %+v", n.name, s.Unit, s.Reason, owner, i)
	}
	if m.calm && !shrunk && i.scraping && !m.successorPrepared(s.Unit, n) {
		m.fail("%s stops %v, and no other node is prepared", n.name, s.Unit)
	}
}

func (m *model) successorPrepared(unit messages.Unit, but *modelNode) bool {
	return slices.ContainsFunc(m.living(), func(n *modelNode) bool {
		i, ok := n.units[unit]
		return n != but && ok && i.Live() && i.prepared && m.store.rings[n.ring].owner(unit) == n.name
	})
}

// checkSettled says what is wrong with a world in which nothing happens any more.
func (m *model) checkSettled() {
	ring := m.store.rings[len(m.store.rings)-1]
	wanted := map[messages.Unit]bool{}
	for name, doc := range m.store.docs {
		for _, unit := range Units(name, doc.Slices, m.replicas) {
			wanted[unit] = true
			scraping := m.scraping(unit)
			owner := ring.owner(unit)
			switch {
			case len(scraping) > 1:
				m.fail("%v is scraped by %v", unit, scraping)
			case doc.Problem != "" || owner == "":
			case !slices.Equal(scraping, []string{owner}):
				m.fail("%v should be scraped by %s, and is by %v", unit, owner, scraping)
			}
		}
	}
	for _, n := range m.living() {
		for _, unit := range modelUnits {
			if i, ok := n.units[unit]; ok && i.Live() && !n.permitted(i) && m.store.docs[unit.Config].Problem == "" {
				m.fail("%s holds on to %v, and does not scrape it: %+v", n.name, unit, i)
			}
		}
	}
	for _, unit := range modelUnits {
		if broken := m.store.docs[unit.Config].Problem != ""; broken {
			continue
		}
		claim, claimed := m.store.claims[unit]
		intent, intended := m.store.intents[unit]
		switch {
		case claimed && !wanted[unit]:
			m.fail("%v is not wanted, and %s has claimed it", unit, claim.Node)
		case claim.Held() && len(m.scraping(unit)) == 0:
			m.fail("%v is claimed by %s, and scraped by nobody", unit, claim.Node)
		case intended:
			m.fail("%s still intends to run %v", intent.Node, unit)
		case !wanted[unit] && len(m.scraping(unit)) > 0:
			m.fail("%v is not wanted, and scraped by %v", unit, m.scraping(unit))
		}
	}
}

func (m *model) scraping(unit messages.Unit) (names []string) {
	for _, n := range m.living() {
		if i, ok := n.units[unit]; ok && n.permitted(i) {
			names = append(names, n.name)
		}
	}
	return names
}

// checkOneByOne fails if decisions about single units come to something else than the one about
// everything.
func (m *model) checkOneByOne(n *modelNode, v View) {
	units := map[messages.Unit]bool{}
	for name, doc := range v.Documents {
		for _, unit := range Units(name, max(doc.Slices, 4), 3) {
			units[unit] = true
		}
	}
	for unit := range v.Instances {
		units[unit] = true
	}
	for unit := range v.Cluster.Claims {
		units[unit] = true
	}
	for unit := range v.Cluster.Intents {
		units[unit] = true
	}
	whole, parts := Decide(v), map[string]int{}
	for unit := range units {
		v.About = map[messages.Unit]bool{unit: true}
		part := Decide(v)
		for of, command := range part.Commands() {
			parts[fmt.Sprintln(of, command)]++
		}
		for _, hold := range part.Hold {
			parts[fmt.Sprintln(unit, hold)]++
		}
		if whole.Wake[unit] != part.Wake[unit] {
			m.fail("%s wakes for %v at %v, and at %v if it decides about nothing else", n.name, unit, whole.Wake[unit], part.Wake[unit])
		}
	}
	for of, command := range whole.Commands() {
		parts[fmt.Sprintln(of, command)]--
	}
	for _, hold := range whole.Hold {
		parts[fmt.Sprintln(hold.Unit, hold)]--
	}
	for what, n := range parts {
		if n != 0 {
			m.fail("decided one by one there is %+d of: %s", n, what)
		}
	}
}

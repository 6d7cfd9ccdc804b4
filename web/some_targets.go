package web

import (
	"cmp"
	"net/http"
	"slices"
)

// unitPlace is where a unit's targets of some states are in a listing of targets.
type unitPlace struct {
	// rank is the state's, where the states come one after the other.
	rank  string
	unit  UnitTargets
	count int
}

func (p unitPlace) compare(q unitPlace) int {
	return cmp.Or(cmp.Compare(p.rank, q.rank), cmp.Compare(p.unit.Config, q.unit.Config))
}

// someTargets are the targets of those units of this node that the page can have, where counting
// tells which these are: nothing is searched for, and the listing is by state, by config, or as it
// is without a sort. Describing a target costs a hundred times what counting it does. usual is the
// sort if none is asked for. all: no other unit has any.
func (s *Server) someTargets(r *http.Request, usual string, page pageRequest) (items []clusterTarget, counts map[string]int, all, ok bool, err error) {
	query := r.URL.Query()
	sort := cmp.Or(query.Get("sort"), usual)
	if query.Get("q") != "" || query.Get("label") != "" || query.Get("job") != "" || sort != "" && sort != "state" && sort != "config" {
		return nil, nil, false, false, nil
	}
	counts = map[string]int{}
	if !is(s.opts.Node, query.Get("node")) {
		return nil, counts, true, true, nil
	}
	var places []unitPlace
	_, err = s.opts.Instances.Targets(r.Context(), func(u UnitTargets) bool {
		if is(u.Config, query.Get("instance")) {
			for state, n := range u.byState() {
				counts[state] += n
			}
			places = append(places, u.places(query.Get("state"), sort == "state")...)
		}
		return false
	})
	if err != nil {
		return nil, nil, false, false, err
	}
	slices.SortStableFunc(places, unitPlace.compare)
	picked, all := pickUnits(places, after(page, sort), page.limit)
	items, err = s.ownTargets(r.Context(), func(u UnitTargets) bool { return picked[unitID{u.Config, u.Unit}] })
	return items, counts, all, true, err
}

func (u UnitTargets) byState() map[string]int {
	return map[string]int{"up": u.Up, "down": u.Down, "unknown": u.Unknown}
}

// places are where the unit's targets of a state are, or of all states if it is empty; apart if a
// listing has one state after the other.
func (u UnitTargets) places(state string, apart bool) (places []unitPlace) {
	together := unitPlace{unit: u}
	for kind, n := range u.byState() {
		switch {
		case n == 0 || !is(kind, state):
		case apart:
			places = append(places, unitPlace{ordinal(slices.Index(targetStates, kind)), u, n})
		default:
			together.count += n
		}
	}
	if together.count > 0 {
		places = append(places, together)
	}
	return places
}

// after is the place of the last item of the page before. A key begins with the rank, if there is
// one, and goes on with the config.
func after(page pageRequest, sort string) unitPlace {
	switch {
	case page.after == nil:
		return unitPlace{}
	case sort == "":
		return unitPlace{unit: UnitTargets{Config: page.after[0]}}
	case sort == "config":
		return unitPlace{unit: UnitTargets{Config: page.after[1]}}
	}
	return unitPlace{rank: page.after[0], unit: UnitTargets{Config: page.after[1]}}
}

// pickUnits takes places from the one after which the page begins until there are surely more
// targets than the page has. A config's units are taken together, since their targets are mixed.
func pickUnits(places []unitPlace, after unitPlace, limit int) (picked map[unitID]bool, all bool) {
	picked = map[unitID]bool{}
	n, last := 0, after
	for _, p := range places {
		order := p.compare(after)
		if order < 0 {
			continue
		}
		if n > limit && p.compare(last) != 0 {
			return picked, false
		}
		picked[unitID{p.unit.Config, p.unit.Unit}] = true
		if order > 0 { // of the config where the page begins, the targets may be on the page before
			n += p.count
		}
		last = p
	}
	return picked, true
}

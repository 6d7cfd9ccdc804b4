package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Move is a change of the node that runs a unit. Its JSON is that of the API, and At is when a look
// at the cluster first showed it: clocks of nodes may be wrong on purpose.
type Move struct {
	At     time.Duration `json:"after"`
	Config string        `json:"config"`
	// Unit names the slice and the replica; empty: the config is one unit.
	Unit   string `json:"unit,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to"`
	Epoch  int64  `json:"epoch"`
	Reason string `json:"reason"`
}

// moves tells moves that are new from those that were seen before.
type moves struct {
	began bool
	// before is the newest epoch before the experiment.
	before int64
	seen   map[movedUnit]bool
}

// movedUnit is what tells moves apart: no unit is claimed twice at one revision of the store.
type movedUnit struct {
	config, unit string
	epoch        int64
}

// news returns the moves that no earlier look has shown, in their order in the store. The first look
// shows what was before the experiment. A node that has just started takes every claim for the
// unit's first, so a move counts once a node knows where the unit was before.
func (m *moves) news(o Observation) (found []Move) {
	if !m.began {
		m.began, m.seen = true, map[movedUnit]bool{}
		for _, move := range o.moves {
			m.before = max(m.before, move.Epoch)
		}
		return nil
	}
	for _, move := range o.moves {
		key := movedUnit{move.Config, move.Unit, move.Epoch}
		if move.From == "" || move.Epoch <= m.before || m.seen[key] {
			continue
		}
		m.seen[key] = true
		move.At = o.At
		found = append(found, move)
	}
	slices.SortFunc(found, func(a, b Move) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return found
}

// what says what moved, for people.
func (m Move) what() string {
	return fmt.Sprintf("%s: from %s to %s, %s", strings.TrimSpace(m.Config+" "+m.Unit), m.From, m.To, m.Reason)
}

// bar is the moves that one look has shown, in the drawing.
type bar struct {
	X, Y, Height float64
	Title        string
}

// bars draws the moves: the more at a time, the higher the bar. Its title names them.
func (r Report) bars(x func(time.Duration) float64, bottom, height float64) (bars []bar, most int) {
	var at []time.Duration
	titles := map[time.Duration][]string{}
	for _, m := range r.Moves {
		if titles[m.At] == nil {
			at = append(at, m.At)
		}
		titles[m.At] = append(titles[m.At], m.what())
		most = max(most, len(titles[m.At]))
	}
	for _, t := range at {
		h := height * float64(len(titles[t])) / float64(most)
		bars = append(bars, bar{X: x(t) - 2, Y: bottom - h, Height: h, Title: strings.Join(titles[t], "\n")})
	}
	return bars, most
}

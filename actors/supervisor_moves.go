package actors

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// rememberedMoves is how many moves are kept.
const rememberedMoves = 256

// moves is the newest moves of units between nodes, oldest first.
type moves struct {
	list []messages.Move
	// last is who had each unit before its claim went.
	last map[messages.Unit]string
}

// forget drops what is known of configs that are no more.
func (m *moves) forget(exists func(config string) bool) {
	for u := range m.last {
		if !exists(u.Config) {
			delete(m.last, u)
		}
	}
}

// note remembers a move, and returns it, if the event is one: a unit's claim is another node's than
// the last one was.
func (m *moves) note(claims map[messages.Unit]messages.Claim, event messages.RegistryEvent, now time.Time) (messages.Move, bool) {
	if m.last == nil {
		m.last = map[messages.Unit]string{}
	}
	switch e := event.(type) {
	case messages.ClaimGone:
		if before, ok := claims[e.Unit]; ok && before.Revision <= e.Revision && !before.Released {
			m.last[e.Unit] = before.Node
		}
	case messages.ClaimPut:
		before, known := claims[e.Claim.Unit]
		if known && before.Revision >= e.Claim.Revision || e.Claim.Problem != "" || e.Claim.Released {
			break
		}
		move := messages.Move{Unit: e.Claim.Unit, To: e.Claim.Node, At: now, Epoch: e.Claim.Revision, Reason: messages.MoveFirst}
		switch lost := m.last[e.Claim.Unit]; {
		case known && before.Released:
			move.From, move.Reason = before.Node, messages.MoveHandedOver
		case known:
			move.From, move.Reason = before.Node, messages.MoveReclaimed
		case lost != "":
			move.From, move.Reason = lost, messages.MoveTakenOver
		}
		delete(m.last, e.Claim.Unit)
		if move.From == move.To {
			break
		}
		m.list = append(m.list, move)
		if len(m.list) > rememberedMoves {
			m.list = append([]messages.Move(nil), m.list[len(m.list)-rememberedMoves:]...)
		}
		return move, true
	}
	return messages.Move{}, false
}

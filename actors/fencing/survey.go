package fencing

import (
	"slices"
	"time"
)

// AnswerLife is how long what a peer said of itself counts after it last answered: each is asked
// every two seconds at least.
const AnswerLife = 2 * Fresh

// Peer is another member as gossip shows it. The zero value is one that was never seen.
type Peer struct {
	Alive bool
	// Answered is when this node asked the question that the peer answered last, saying that it
	// holds this node alive; zero if never.
	Answered time.Time
	// ReachesStore and AwaySince are what it last said of itself; see View.
	ReachesStore bool
	AwaySince    time.Time
	// Unlisted: the store has no record of it, and had none before the fault. It may have registered
	// since, or it never will.
	Unlisted bool
	// Foreign: it may be another process of the member's name. It is no evidence for a permission,
	// but it is against one: that it reaches the store counts.
	Foreign bool
	// Registered: it says in gossip that it has the very session that is in the member's record. A
	// process that has just started does not, and may be another one than that which has.
	Registered bool
	// Newcomer: a node that has lost the store may not have heard of this member.
	Newcomer bool
	// Leaving: it has begun to leave a short while ago, and a node that has lost the store may not
	// have heard of that.
	Leaving bool
}

// answers reports whether what the peer last said of itself counts.
func (p Peer) answers(now time.Time) bool {
	return p.Alive && !p.Answered.IsZero() && now.Sub(p.Answered) < AnswerLife
}

// Together is how many members are with this node now, itself included: those that have answered so
// lately that a permission of the other side which rests on an older answer has ended. What gossip
// has not declared dead yet is no evidence. Nor is a newcomer: the other side does not count it, so
// with it both sides could be many enough. The same is so of who leaves: some of the other side may
// count it, and some may not, so it is one of all members and with nobody. And of who has no session
// yet: the other side may hear the process that has it, and count that. If this node is a newcomer
// or leaves, it is uncounted itself.
func Together(now time.Time, uncounted bool, peers []Peer) int {
	n := 1
	if uncounted {
		n = 0
	}
	for _, p := range peers {
		known := p.Registered && !p.Foreign && !p.Newcomer && !p.Leaving
		if known && p.Alive && !p.Answered.IsZero() && now.Sub(p.Answered) < Fresh {
			n++
		}
	}
	return n
}

// Survey sums up all other members as of before the fault, those that gossip does not see among
// them. It sets the view's Others, Contact, Reaching, Away, Unseen and AwaySince.
func (v *View) Survey(peers []Peer) {
	v.Others, v.Contact, v.Reaching, v.Away, v.Unseen, v.AwaySince = len(peers), time.Time{}, 0, 0, 0, time.Time{}
	known := true
	var first time.Time
	for _, p := range peers {
		switch {
		case !p.answers(v.Now), p.Foreign && !p.ReachesStore:
			v.Unseen++
		case p.ReachesStore:
			v.Reaching++
		case p.AwaySince.IsZero():
			v.Away++
			known = false
		default:
			v.Away++
			v.AwaySince = later(v.AwaySince, p.AwaySince)
			if first.IsZero() || p.AwaySince.Before(first) {
				first = p.AwaySince
			}
		}
	}
	// A peer that seems to have lost the store long before this node may have a clock that is behind. It
	// may then have lost it last, and the latest of the others says nothing of that.
	if v.Reaching > 0 || !known || v.Renewed.Sub(first) >= Idle {
		v.AwaySince = time.Time{}
	}
	if len(peers) > 0 {
		v.Contact = earlier(v.contact(peers, false), v.contact(peers, true))
	}
}

// contact is when this node asked the last of those peers whose answers make it one of more than
// half of all members; zero if too few have answered. With listed, only peers that are listed count,
// since nobody who ends sessions counts the others. If there are no such peers, it is now. A node that
// leaves does not count itself.
func (v *View) contact(peers []Peer, listed bool) time.Time {
	var few [8]time.Time
	answered, others := few[:0], 0
	for _, p := range peers {
		if listed && p.Unlisted {
			continue
		}
		others++
		if p.Alive && !p.Foreign {
			answered = append(answered, p.Answered)
		}
	}
	needed := (others + 1) / 2
	if v.Leaving {
		needed = others/2 + 1
	}
	switch {
	case others == 0:
		return v.Now
	case needed > len(answered):
		return time.Time{}
	}
	slices.SortFunc(answered, func(a, b time.Time) int { return b.Compare(a) })
	return answered[needed-1]
}

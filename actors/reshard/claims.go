package reshard

import "github.com/ringmaster-agent/ringmaster/messages"

// takeOver is about the claim of a unit that this node should run: it takes it when nobody has it, and says that it is prepared when
// somebody has.
func (p *Plan) takeOver(v View, unit messages.Unit, i Instance) {
	if v.Cluster == nil || !i.able() {
		return
	}
	claim := v.Cluster.Claims[unit]
	switch {
	case !v.Cluster.anothers(claim):
		p.claim(v, unit, i, claim)
	case i.Phase != messages.PhaseRunning:
		p.intend(v, unit)
		p.holdForClaim(unit, claim)
	case v.Cluster.taken(claim):
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
	case i.Epoch != 0:
		// Somebody has written what nobody can read over the claim by which it runs. Who removes that would leave the unit to the next.
		p.claim(v, unit, i, claim)
	default:
		p.holdForClaim(unit, claim)
	}
}

// intend says that this node is prepared. It waits while another one says so too: that one runs the unit soon, or withdraws, or its
// session ends. If each wrote over the other, nodes that don't agree about the ring would do it for ever.
func (p *Plan) intend(v View, unit messages.Unit) {
	intent, exists := v.Cluster.Intents[unit]
	if !exists || intent.Node == v.Cluster.Node && intent.Session != v.Cluster.Session {
		p.write(v, Write{Unit: unit, Kind: IntendUnit})
	}
}

// goOn is about the claim of a unit of which it is not known who should run it: what runs goes on running, and so does what is about to.
func (p *Plan) goOn(v View, unit messages.Unit, i Instance) {
	if v.Cluster != nil && (i.Phase == messages.PhaseRunning || v.Cluster.mine(v.Cluster.Claims[unit])) {
		p.takeOver(v, unit, i)
	}
}

// handOver is about a unit that another node should run: what runs here, or is about to, goes on until that one is prepared. It reports
// whether it goes on.
func (p *Plan) handOver(v View, unit messages.Unit, i Instance, owner string) bool {
	if v.Cluster == nil {
		if i.Live() && i.Asked == messages.NotStopping {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		}
		return false
	}
	claim := v.Cluster.Claims[unit]
	runs := i.Phase == messages.PhaseRunning || i.Prepared && v.Cluster.mine(claim)
	// A claim that can't be read would keep the other one out.
	awaited := owner != "" && v.Cluster.Intents[unit].Node == owner && !v.Cluster.anothers(claim)
	switch {
	case !i.Live() || i.ending():
		p.release(v, unit, i, claim)
		if owner == "" && !i.Live() {
			p.hold(unit, NoOwner)
		}
		return false
	case runs && v.Cluster.taken(claim):
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
		return false
	case i.Drains && !i.Prepared:
		return false // what is left is sent from when it is prepared, and it is stopped then
	case !runs || awaited:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		return false
	case owner == "":
		p.hold(unit, NoOwner)
	default:
		p.holdFor(unit, SuccessorNotReady, owner)
	}
	p.takeOver(v, unit, i)
	return true
}

// claim makes the instance run by this node's claim, once there is one.
func (p *Plan) claim(v View, unit messages.Unit, i Instance, claim messages.Claim) {
	switch {
	case v.Cluster.mine(claim):
		if i.Epoch != claim.Revision {
			p.Run = append(p.Run, Run{Unit: unit, Epoch: claim.Revision})
		}
	case !v.Cluster.Known || v.Cluster.Session == "":
		p.hold(unit, ClaimUnknown)
	case i.Lapsed && i.Phase == messages.PhaseRunning:
		// It starts anew, without what it remembers of ticks that another node may have taken.
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
	case i.Phase != messages.PhaseRunning && claim.Revision == 0 && v.Now.Before(v.Cluster.TakeFrom):
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: OthersMayReturn, Until: v.Cluster.TakeFrom})
		p.wakeAt(unit, v.Cluster.TakeFrom)
	default:
		p.write(v, Write{Unit: unit, Kind: ClaimUnit, Revision: claim.Revision})
	}
}

// release leaves the unit to others once nothing is scraped here any more, and what was scraped has been sent or had its time.
func (p *Plan) release(v View, unit messages.Unit, i Instance, claim messages.Claim) {
	if !claim.Held() || !v.Cluster.wrote(claim) || i.Live() && !i.Quiet {
		return
	}
	if i.Live() && v.Now.Before(i.ReleaseBy) {
		p.wakeAt(unit, i.ReleaseBy)
		return
	}
	p.write(v, Write{Unit: unit, Kind: ReleaseUnit, Revision: claim.Revision, Handover: i.Handover})
}

// drain opens a log that was left behind by a unit that another node runs now, to have it sent.
func (p *Plan) drain(v View, unit messages.Unit, i Instance, doc Document) {
	if i.Leftover && !i.Live() && !doc.Valid.Digest.IsZero() && !p.heldBack(v, unit, i, doc.Valid) {
		p.Start = append(p.Start, Start{Unit: unit, Version: doc.Valid, Hold: true, Drain: true})
	}
}

// tidyIntent is about an intent of this node's that has no use any more.
func (p *Plan) tidyIntent(v View, unit messages.Unit, intent messages.Intent) {
	if intent.Node != v.Cluster.Node {
		return
	}
	if _, wanted := v.wants(unit); !wanted || !v.waits(unit) {
		p.write(v, Write{Unit: unit, Kind: WithdrawIntent, Revision: intent.Revision})
	}
}

// waits reports whether the unit's instance is prepared and waits for another node's claim to go; also while it is not known whether it should.
func (v View) waits(unit messages.Unit) bool {
	i := v.Instances[unit]
	_, ownership := v.owner(unit)
	return ownership != NotOwned && i.able() && i.Phase != messages.PhaseRunning && v.Cluster.anothers(v.Cluster.Claims[unit])
}

// tidyClaim is about a claim of this node's on a unit that is not wanted.
func (p *Plan) tidyClaim(v View, unit messages.Unit, claim messages.Claim) {
	if _, wanted := v.wants(unit); wanted || !v.Cluster.wrote(claim) {
		return
	}
	i := v.Instances[unit]
	doc, exists := v.Documents[unit.Config]
	switch {
	case i.Live() && !i.Quiet:
	case v.Stopping:
		if v.Cluster.Leaving {
			p.release(v, unit, i, claim)
		}
	case !v.Complete || exists && doc.Valid.Digest.IsZero():
	default:
		p.write(v, Write{Unit: unit, Kind: RemoveClaim, Revision: claim.Revision})
	}
}

// write writes if the record is not being written already.
func (p *Plan) write(v View, w Write) {
	if v.Cluster.Session != "" && !v.Cluster.Writing[w.Record()] {
		p.Write = append(p.Write, w)
	}
}

func (p *Plan) holdForClaim(unit messages.Unit, claim messages.Claim) {
	if claim.Problem != "" {
		p.holdFor(unit, ClaimUnreadable, claim.Problem)
		return
	}
	p.holdFor(unit, ClaimedByAnother, claim.Node)
}

func (p *Plan) holdFor(unit messages.Unit, c Cause, detail string) {
	p.Hold = append(p.Hold, Hold{Unit: unit, Cause: c, Detail: detail})
}

// able reports whether the instance scrapes, or could.
func (i Instance) able() bool {
	return i.Live() && !i.ending() && (i.Phase == messages.PhaseRunning || i.Prepared)
}

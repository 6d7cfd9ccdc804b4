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
	case i.Phase == messages.PhaseRunning:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
	default:
		if intent := v.Cluster.Intents[unit]; intent.Node != v.Cluster.Node || intent.Session != v.Cluster.Session {
			p.write(v, Write{Unit: unit, Kind: IntendUnit})
		}
		p.holdForClaim(unit, claim)
	}
}

// goOn is about the claim of a unit of which it is not known who should run it: what runs goes on running.
func (p *Plan) goOn(v View, unit messages.Unit, i Instance) {
	if v.Cluster == nil || !i.able() || i.Phase != messages.PhaseRunning {
		return
	}
	p.takeOver(v, unit, i)
}

// handOver is about a unit that another node should run: it goes on here until that one is prepared.
func (p *Plan) handOver(v View, unit messages.Unit, i Instance, owner string) {
	if v.Cluster == nil {
		if i.Live() && i.Asked == messages.NotStopping {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		}
		return
	}
	claim := v.Cluster.Claims[unit]
	switch {
	case !i.Live() || i.ending():
		p.release(v, unit, i, claim)
	case i.Phase != messages.PhaseRunning:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
	case v.Cluster.anothers(claim):
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
	case owner == "":
		p.hold(unit, NoOwner)
		p.claim(v, unit, i, claim)
	case v.Cluster.Intents[unit].Node == owner:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
	default:
		p.holdFor(unit, SuccessorNotReady, owner)
		p.claim(v, unit, i, claim)
	}
	if owner == "" && !i.Live() {
		p.hold(unit, NoOwner)
	}
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
	default:
		p.write(v, Write{Unit: unit, Kind: ClaimUnit, Revision: claim.Revision})
	}
}

// release leaves the unit to others once nothing is scraped here any more, and what was scraped has been sent or had its time.
func (p *Plan) release(v View, unit messages.Unit, i Instance, claim messages.Claim) {
	if !v.Cluster.mine(claim) || i.Live() && !i.Quiet {
		return
	}
	if i.Live() && v.Now.Before(i.ReleaseBy) {
		p.wakeAt(i.ReleaseBy)
		return
	}
	p.write(v, Write{Unit: unit, Kind: ReleaseUnit, Revision: claim.Revision, Handover: i.Handover})
}

// tidy is about claims and intents of this node's that have no use any more.
func (p *Plan) tidy(v View, wanted map[messages.Unit]bool) {
	c := v.Cluster
	if c == nil {
		return
	}
	for unit, claim := range c.Claims {
		if claim.Node == c.Node && claim.Session == c.Session && !wanted[unit] {
			p.tidyClaim(v, unit, claim)
		}
	}
	for unit, intent := range c.Intents {
		if intent.Node != c.Node || intent.Session != c.Session {
			continue
		}
		i := v.Instances[unit]
		_, ownership := v.owner(unit)
		waits := i.able() && i.Phase == messages.PhasePreparing && c.anothers(c.Claims[unit])
		if !wanted[unit] || ownership == NotOwned || ownership == Owned && !waits {
			p.write(v, Write{Unit: unit, Kind: WithdrawIntent, Revision: intent.Revision})
		}
	}
}

// tidyClaim is about a claim of this node's on a unit that is not wanted.
func (p *Plan) tidyClaim(v View, unit messages.Unit, claim messages.Claim) {
	i := v.Instances[unit]
	doc, exists := v.Documents[unit.Config]
	switch {
	case i.Live() && !i.Quiet:
	case v.Stopping:
		if v.Cluster.Leaving && claim.Held() {
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

package reshard

import (
	"time"

	"github.com/ringmaster-agent/ringmaster/messages"
)

// Decide says what to do about the View. Performing the plan and deciding again leads to a plan
// without commands. Units don't depend on each other, so about a unit that View.About names the
// plan says what it would say if it were about everything.
func Decide(v View) Plan {
	var p Plan
	if v.About == nil {
		p.decideAll(v)
	}
	for unit := range v.About {
		p.decideOne(v, unit)
	}
	sortPlan(&p)
	return p
}

func (p *Plan) decideAll(v View) {
	if !v.Stopping {
		for name, doc := range v.Documents {
			for _, unit := range Units(name, doc.Slices, v.replicas(doc)) {
				p.decideHas(v, unit, doc)
			}
		}
	}
	for unit, instance := range v.Instances {
		p.decideUnwanted(v, unit, instance)
	}
	if v.Cluster == nil {
		return
	}
	for unit, claim := range v.Cluster.Claims {
		p.tidyClaim(v, unit, claim)
	}
	for unit, intent := range v.Cluster.Intents {
		p.tidyIntent(v, unit, intent)
	}
}

func (p *Plan) decideOne(v View, unit messages.Unit) {
	if doc, has := v.has(unit); has {
		p.decideHas(v, unit, doc)
	}
	if instance, exists := v.Instances[unit]; exists {
		p.decideUnwanted(v, unit, instance)
	}
	if v.Cluster == nil {
		return
	}
	if claim, exists := v.Cluster.Claims[unit]; exists {
		p.tidyClaim(v, unit, claim)
	}
	if intent, exists := v.Cluster.Intents[unit]; exists {
		p.tidyIntent(v, unit, intent)
	}
}

// decideHas is about a unit whose config exists: it is wanted, unless a person holds the config.
func (p *Plan) decideHas(v View, unit messages.Unit, doc Document) {
	if hold, held := v.holds(unit.Config, doc); held {
		p.holdFor(unit, HeldByOrder, hold.String())
		return
	}
	p.decideWanted(v, unit, doc)
}

// decideWanted is about a unit that somebody should run.
func (p *Plan) decideWanted(v View, unit messages.Unit, doc Document) {
	instance := v.Instances[unit]
	if doc.Vanished {
		p.hold(unit, VanishedConfig)
	}
	if doc.Orphaned {
		p.hold(unit, OrphanedConfig)
	}
	if doc.Problem != "" {
		p.holdFor(unit, InvalidConfig, doc.Problem)
	}
	if v.Cluster != nil && p.changeSource(v, unit, instance, doc) {
		return
	}
	if doc.Local {
		v.Cluster, v.Owners = nil, Alone{} // nobody else has it
	}
	switch owner, ownership := v.owner(unit); ownership {
	case Unknown:
		p.hold(unit, OwnerUnknown)
		p.goOn(v, unit, instance)
	case NotOwned:
		if p.handOver(v, unit, instance, owner) {
			p.startOrReload(v, unit, instance, doc)
		} else {
			p.drain(v, unit, instance, doc)
		}
	case Owned:
		p.startOrReload(v, unit, instance, doc)
		p.takeOver(v, unit, instance)
	}
}

// changeSource is about a config that the main file has and the store has not, or the other way
// round. What runs by a claim can't go on without, nor the other way round: it is stopped, and
// starts anew. A claim on what the main file hides is left to others. It reports whether there is
// nothing else to do.
func (p *Plan) changeSource(v View, unit messages.Unit, i Instance, doc Document) bool {
	other := i.Live() && i.Local != doc.Local
	if other {
		p.hold(unit, StillEnding)
		if !i.ending() {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		}
	}
	claim := v.Cluster.Claims[unit]
	if !doc.Local || !v.Cluster.wrote(claim) || other && !i.Quiet {
		return other
	}
	if doc.Hides {
		if !other {
			i.Phase = messages.PhaseStopped // what runs is not what was claimed
		}
		p.release(v, unit, i, claim)
	} else if v.Complete {
		p.write(v, Write{Unit: unit, Kind: RemoveClaim, Revision: claim.Revision})
	}
	return other
}

func (p *Plan) startOrReload(v View, unit messages.Unit, instance Instance, doc Document) {
	nothingToDo := instance.Live() && !instance.ending() && instance.Ordered == doc.Valid.Digest
	switch {
	case doc.Valid.Digest.IsZero() || nothingToDo:
	case instance.Live() && instance.ending():
		p.hold(unit, StillEnding)
	case p.heldBack(v, unit, instance, doc.Valid):
	case instance.Live():
		p.Reload = append(p.Reload, Reload{Unit: unit, Version: doc.Valid})
	default:
		warm := v.Cluster != nil && v.Cluster.anothers(v.Cluster.Claims[unit])
		p.Start = append(p.Start, Start{Unit: unit, Version: doc.Valid, Hold: v.Cluster != nil, Warm: warm})
	}
}

// heldBack holds the version if it is the one that failed and its time has not come.
func (p *Plan) heldBack(v View, unit messages.Unit, i Instance, version Version) bool {
	switch {
	case i.FailedDigest != version.Digest || !v.Now.Before(i.NotBefore):
		return false
	case i.Quarantined:
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: InQuarantine, Until: i.NotBefore})
	default:
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: InBackoff, Until: i.NotBefore})
	}
	p.wakeAt(unit, i.NotBefore)
	return true
}

// decideUnwanted is about a unit whose config does not exist, or lacks it, or is held, or that has to
// go because everything does. About others it says nothing, but that what was told to end and may
// still be scraping stops at once if another node has claimed it: it may not have heard of its stop.
func (p *Plan) decideUnwanted(v View, unit messages.Unit, i Instance) {
	if v.overtaken(unit, i) {
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
		return
	}
	doc, exists := v.Documents[unit.Config]
	wanted := v.wants(unit)
	_, held := v.holds(unit.Config, doc)
	switch {
	case wanted:
	case !i.Live():
		if exists && !v.Stopping {
			p.drain(v, unit, i, doc)
		}
	case v.Stopping:
		// Also one that is ending for another reason: it has to hurry.
		if i.Asked != messages.Shutdown {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Shutdown})
		}
	case i.ending():
	case exists && held && i.Drains && !i.Prepared:
		// What is left is sent from when it is prepared, and it is stopped then.
	case exists && held:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Held})
	case !v.Complete && !i.Local:
		p.hold(unit, NotListed)
		p.goOn(v, unit, i)
	case exists && doc.Valid.Digest.IsZero():
		p.hold(unit, SlicesUnknown)
		p.goOn(v, unit, i)
	case exists && v.Now.Before(doc.Redivided) && i.Phase == messages.PhaseRunning:
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: StillHasTargets, Until: doc.Redivided})
		p.wakeAt(unit, doc.Redivided)
		p.startOrReload(v, unit, i, doc) // by its new config it knows which ticks are its last ones
		p.goOn(v, unit, i)
	case exists && i.Drains && !i.Prepared:
		// What is left is sent from when it is prepared, and it is stopped then.
	case exists:
		// Its targets are another unit's now, so their series go on.
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
	default:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Deleted})
	}
}

// takeOver is about the claim of a unit that this node should run: it takes it when nobody has it,
// and says that it is prepared when somebody has.
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
		// Somebody has written what nobody can read over the claim by which it runs. Who removes
		// that would leave the unit to the next.
		p.claim(v, unit, i, claim)
	default:
		p.holdForClaim(unit, claim)
	}
}

// intend says that this node is prepared. It waits while another one says so too: that one runs the
// unit soon, or withdraws, or its session ends. If each wrote over the other, nodes that don't
// agree about the ring would do it for ever.
func (p *Plan) intend(v View, unit messages.Unit) {
	intent, exists := v.Cluster.Intents[unit]
	if !exists || intent.Node == v.Cluster.Node && intent.Session != v.Cluster.Session {
		p.write(v, Write{Unit: unit, Kind: IntendUnit})
	}
}

// goOn is about the claim of a unit of which it is not known who should run it: what runs goes on
// running, and so does what is about to.
func (p *Plan) goOn(v View, unit messages.Unit, i Instance) {
	if v.Cluster != nil && (i.Phase == messages.PhaseRunning || v.Cluster.mine(v.Cluster.Claims[unit])) {
		p.takeOver(v, unit, i)
	}
}

// handOver is about a unit that another node should run: what runs here, or is about to, goes on
// until that one is prepared. It reports whether it goes on.
func (p *Plan) handOver(v View, unit messages.Unit, i Instance, owner string) bool {
	if v.Cluster == nil {
		if i.Live() && i.Asked == messages.NotStopping {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		}
		return false
	}
	claim := v.Cluster.Claims[unit]
	takesBack := v.Cluster.Away && v.Cluster.mine(claim)
	runs := i.Phase == messages.PhaseRunning || v.Cluster.mine(claim) && (i.Prepared || takesBack)
	// A claim that can't be read would keep the other one out.
	awaited := owner != "" && v.Cluster.Intents[unit].Node == owner && !v.Cluster.anothers(claim)
	switch {
	case takesBack && (!i.Live() || i.ending()):
		// It was to be released. While the store is away nobody can take it, so it starts again
		// once it has ended.
		p.holdFor(unit, StoreAsked, owner)
		p.answers(v, unit)
		return !i.Live()
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
	case !runs || awaited && p.answers(v, unit):
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		return false
	case awaited:
		p.holdFor(unit, StoreAsked, owner)
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
	case !v.Cluster.Known || v.Cluster.Session == "" || v.Cluster.Recalled && claim.Revision == 0:
		p.hold(unit, ClaimUnknown)
	case i.Contested && i.Phase == messages.PhaseRunning:
		// It starts anew, without what it remembers of ticks that another node may have taken.
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Fenced})
	case i.Phase != messages.PhaseRunning && v.Cluster.none(claim) && v.Now.Before(v.Cluster.TakeFrom):
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: OthersMayReturn, Until: v.Cluster.TakeFrom})
		p.wakeAt(unit, v.Cluster.TakeFrom)
	default:
		p.write(v, Write{Unit: unit, Kind: ClaimUnit, Revision: claim.Revision})
	}
}

// release leaves the unit to others once nothing is scraped here any more, and what was scraped has
// been sent or had its time.
func (p *Plan) release(v View, unit messages.Unit, i Instance, claim messages.Claim) {
	if !claim.Held() || !v.Cluster.wrote(claim) || i.Live() && !i.Quiet {
		return
	}
	if i.Live() && v.Now.Before(i.ReleaseBy) {
		p.wakeAt(unit, i.ReleaseBy)
		return
	}
	if claim.Revision == v.Cluster.GivenUp[unit] && v.Now.Before(v.Cluster.TakeFrom) {
		p.wakeAt(unit, v.Cluster.TakeFrom) // who may take a released unit does so at once
		return
	}
	w := Write{Unit: unit, Kind: ReleaseUnit, Revision: claim.Revision}
	if claim.Session == v.Cluster.Session && claim.Revision == i.HandoverOf {
		w.Handover = i.Handover
	}
	if v.Stopping || !v.Cluster.Writing[w.Record()] && v.Cluster.Session != "" && p.answers(v, unit) {
		p.write(v, w)
	}
}

// askAgain is how long a question waits for its answer before it is asked again.
const askAgain = time.Second

// answers reports whether the store has answered just now. If not, it is asked: what is given away
// while the store is away is nobody's for as long.
func (p *Plan) answers(v View, unit messages.Unit) bool {
	if v.Cluster.Answers {
		return true
	}
	p.Ask = append(p.Ask, unit)
	p.wakeAt(unit, v.Now.Add(askAgain))
	return false
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
	if !v.wants(unit) || !v.waits(unit) {
		p.write(v, Write{Unit: unit, Kind: WithdrawIntent, Revision: intent.Revision})
	}
}

// waits reports whether the unit's instance is prepared and waits for another node's claim to go;
// also while it is not known whether it should.
func (v View) waits(unit messages.Unit) bool {
	i := v.Instances[unit]
	_, ownership := v.owner(unit)
	return ownership != NotOwned && i.able() && i.Phase != messages.PhaseRunning && v.Cluster.anothers(v.Cluster.Claims[unit])
}

// tidyClaim is about a claim of this node's on a unit that is not wanted.
func (p *Plan) tidyClaim(v View, unit messages.Unit, claim messages.Claim) {
	if v.wants(unit) || !v.Cluster.wrote(claim) {
		return
	}
	i := v.Instances[unit]
	doc, exists := v.Documents[unit.Config]
	_, held := v.holds(unit.Config, doc)
	switch {
	case i.Live() && !i.Quiet:
	case v.Stopping:
		if v.Cluster.Leaving {
			p.release(v, unit, i, claim)
		}
	case !v.Complete || exists && doc.Valid.Digest.IsZero() && !held:
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

// overtaken reports whether the instance was told to end, may still be scraping, and another node
// has claimed the unit.
func (v View) overtaken(unit messages.Unit, i Instance) bool {
	ending := i.Live() && i.Asked != messages.NotStopping && i.Asked != messages.Fenced
	return v.Cluster != nil && !v.Stopping && !i.Local && ending && !i.Quiet && i.Epoch != 0 && v.Cluster.taken(v.Cluster.Claims[unit])
}

func (v View) owner(unit messages.Unit) (string, Ownership) {
	if v.Owners == nil {
		return "", Unknown
	}
	return v.Owners.Owner(unit)
}

// wants reports whether the unit should run somewhere.
func (v View) wants(unit messages.Unit) bool {
	doc, has := v.has(unit)
	_, held := v.holds(unit.Config, doc)
	return has && !held
}

// holds returns why nobody should run the config, which a person holds. What only this node has is
// its own.
func (v View) holds(config string, doc Document) (messages.ConfigHold, bool) {
	hold, held := v.Holds[config]
	return hold, held && !doc.Local
}

// has reports whether there is a config that has the unit, and returns it if so.
func (v View) has(unit messages.Unit) (Document, bool) {
	doc, exists := v.Documents[unit.Config]
	return doc, exists && !v.Stopping && unit.Slice < max(doc.Slices, 1) && unit.Replica < max(v.replicas(doc), 1)
}

func (v View) replicas(doc Document) int {
	if v.Cluster == nil || doc.Local {
		return 1
	}
	return v.Cluster.Replicas
}

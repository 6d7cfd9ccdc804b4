package reshard

import "github.com/ringmaster-agent/ringmaster/messages"

// Decide says what to do about the View. Performing the plan and deciding again leads to a plan without commands. Units don't depend on
// each other, so about a unit that View.About names the plan says what it would say if it were about everything.
func Decide(v View) Plan {
	var p Plan
	if v.About == nil {
		p.decideAll(v)
	}
	for unit := range v.About {
		p.decideOne(v, unit)
	}
	p.sort()
	return p
}

func (p *Plan) decideAll(v View) {
	if !v.Stopping {
		for name, doc := range v.Documents {
			for _, unit := range Units(name, doc.Slices, v.replicas(doc)) {
				p.decideWanted(v, unit, doc)
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
	if doc, wanted := v.wants(unit); wanted {
		p.decideWanted(v, unit, doc)
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

// decideWanted is about a unit whose config exists.
func (p *Plan) decideWanted(v View, unit messages.Unit, doc Document) {
	instance := v.Instances[unit]
	if doc.Vanished {
		p.hold(unit, VanishedConfig)
	}
	if doc.Problem != "" {
		p.holdFor(unit, InvalidConfig, doc.Problem)
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
		}
		p.drain(v, unit, instance, doc)
	case Owned:
		p.startOrReload(v, unit, instance, doc)
		p.takeOver(v, unit, instance)
	}
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
		p.Start = append(p.Start, Start{Unit: unit, Version: doc.Valid, Hold: v.Cluster != nil})
	}
}

// heldBack holds the version if it is the one that failed and its time has not come.
func (p *Plan) heldBack(v View, unit messages.Unit, i Instance, version Version) bool {
	switch {
	case i.FailedDigest != version.Digest:
		return false
	case i.Quarantined:
		p.hold(unit, InQuarantine)
		return true
	case v.Now.Before(i.NotBefore):
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: InBackoff, Until: i.NotBefore})
		p.wakeAt(unit, i.NotBefore)
		return true
	default:
		return false
	}
}

// decideUnwanted is about a unit whose config does not exist, or lacks it, or that has to go because everything does. About others it says nothing.
func (p *Plan) decideUnwanted(v View, unit messages.Unit, i Instance) {
	doc, exists := v.Documents[unit.Config]
	_, wanted := v.wants(unit)
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

func (v View) owner(unit messages.Unit) (string, Ownership) {
	if v.Owners == nil {
		return "", Unknown
	}
	return v.Owners.Owner(unit)
}

// wants reports whether the unit should run somewhere, and returns its config if so.
func (v View) wants(unit messages.Unit) (Document, bool) {
	doc, exists := v.Documents[unit.Config]
	return doc, exists && !v.Stopping && unit.Slice < max(doc.Slices, 1) && unit.Replica < max(v.replicas(doc), 1)
}

func (v View) replicas(doc Document) int {
	if v.Cluster == nil || doc.Local {
		return 1
	}
	return v.Cluster.Replicas
}

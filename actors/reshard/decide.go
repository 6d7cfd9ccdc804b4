package reshard

import "github.com/ringmaster-agent/ringmaster/messages"

// Decide says what to do about the View. Performing the plan and deciding again leads to a plan without commands.
func Decide(v View) Plan {
	var p Plan
	wanted := make(map[messages.Unit]bool, len(v.Documents))
	if !v.Stopping {
		for name, doc := range v.Documents {
			for _, unit := range Units(name) {
				wanted[unit] = true
				p.decideWanted(v, unit, doc)
			}
		}
	}
	for unit, instance := range v.Instances {
		if !wanted[unit] && instance.Live() {
			p.decideUnwanted(v, unit, instance)
		}
	}
	p.sort()
	return p
}

// decideWanted is about a unit whose config exists.
func (p *Plan) decideWanted(v View, unit messages.Unit, doc Document) {
	instance := v.Instances[unit]
	if doc.Vanished {
		p.hold(unit, VanishedConfig)
	}
	if doc.Problem != "" {
		p.Hold = append(p.Hold, Hold{Unit: unit, Cause: InvalidConfig, Detail: doc.Problem})
	}
	switch v.ownership(unit) {
	case Unknown:
		p.hold(unit, OwnerUnknown)
		return
	case NotOwned:
		if instance.Live() && instance.Asked == messages.NotStopping {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Moved})
		}
		return
	}
	nothingToDo := instance.Live() && !instance.ending() && instance.Ordered == doc.Valid.Digest
	switch {
	case doc.Valid.Digest.IsZero() || nothingToDo:
	case instance.Live() && instance.ending():
		p.hold(unit, StillEnding)
	case p.heldBack(v, unit, instance, doc.Valid):
	case instance.Live():
		p.Reload = append(p.Reload, Reload{Unit: unit, Version: doc.Valid})
	default:
		p.Start = append(p.Start, Start{Unit: unit, Version: doc.Valid})
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
		p.wakeAt(i.NotBefore)
		return true
	default:
		return false
	}
}

// decideUnwanted is about a live unit whose config does not exist, or that has to go because everything does.
func (p *Plan) decideUnwanted(v View, unit messages.Unit, i Instance) {
	switch {
	case v.Stopping:
		// Also one that is ending for another reason: it has to hurry.
		if i.Asked != messages.Shutdown {
			p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Shutdown})
		}
	case i.ending():
	case !v.Complete && !i.Local:
		p.hold(unit, NotListed)
	default:
		p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Deleted})
	}
}

func (v View) ownership(unit messages.Unit) Ownership {
	if v.Owners == nil {
		return Unknown
	}
	return v.Owners.Ownership(unit)
}

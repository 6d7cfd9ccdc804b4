package actors

import (
	"github.com/ringmaster-agent/ringmaster/actors/reshard"
	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

// fetch returns all that the version in force says; nil if it has to be parsed first, which begins
// with the next parse.
func (k *documents) fetch(name string) *config.Instance {
	d := k.known[name]
	switch {
	case d.whole == nil && d.askedWhole == 0:
		k.parsing.last++
		d.askedWhole = k.parsing.last
		k.parsing.waiting = append(k.parsing.waiting, request{name: name, fetch: true})
		return nil
	case d.whole == nil:
		return nil
	case len(d.config.Earlier) == 0:
		return d.whole
	}
	divided := *d.whole
	divided.Earlier = d.config.Earlier
	return &divided
}

// foldFetched takes in all that the version in force says. That it is not valid any more, though it
// was, comes of other rules.
func (k *documents) foldFetched(d *document, o outcome) {
	d.askedWhole = 0
	if err := o.problem(); err != nil {
		k.putInForce(d, nil)
		d.valid = reshard.Version{}
		k.invalid(d, err)
		return
	}
	d.whole, d.valid.Digest = o.config, messages.Digest(o.config.Digest())
}

// shrink keeps only the outlines of configs that do not run here.
func (k *documents) shrink() {
	for name, d := range k.known {
		if d.whole != nil && !d.Local && !k.runs(name) {
			d.whole = nil
		}
	}
}

// runsOneOf reports whether one of the units runs here, or this node is its owner.
func runsOneOf(k *units, ids []messages.Unit) bool {
	for _, id := range ids {
		if u, known := k.all[id]; known && !u.ended() {
			return true
		}
		if k.membership == nil {
			return true
		}
		if k.membership.owners != nil {
			if _, ownership := k.membership.owners.Owner(id); ownership == reshard.Owned {
				return true
			}
		}
	}
	return false
}

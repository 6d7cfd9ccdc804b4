package actors

import (
	"cmp"
	"slices"
	"time"

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
		k.askToFetch(name, d)
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
// was, comes of other rules, or of something that passes: it is fetched again at the next tick.
func (k *documents) foldFetched(d *document, o outcome, now time.Time) {
	d.askedWhole = 0
	if err := o.problem(); err != nil {
		d.outline = cmp.Or(d.config, d.outline)
		k.putInForce(d, nil)
		d.valid, d.refused = reshard.Version{}, true
		k.invalid(d, err)
		return
	}
	if d.refused {
		k.putInForce(d, succeed(d.outline, o.config.Outline(), o.document.Changed, now))
		d.refused, d.outline = false, nil
		d.valid.Revision = o.document.Revision
		if d.problem = ""; d.Document != d.inForce {
			k.askToParse(d) // and says again why the newest version is not valid
		}
	}
	d.valid.Digest = messages.Digest(o.config.Digest())
	if o.whole {
		d.whole = o.config
	}
}

// fetchAgain has everything parsed again that could not be fetched. Of what another node is to run
// by now the outline is enough.
func (k *documents) fetchAgain() {
	var refused []string
	for name, d := range k.known {
		if d.refused && d.askedWhole == 0 && d.asked == 0 {
			refused = append(refused, name)
		}
	}
	slices.Sort(refused)
	for _, name := range refused {
		k.askToFetch(name, k.known[name])
	}
}

func (k *documents) askToFetch(name string, d *document) {
	k.parsing.last++
	d.askedWhole = k.parsing.last
	k.parsing.waiting = append(k.parsing.waiting, request{name: name, fetch: true})
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

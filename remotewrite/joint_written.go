package remotewrite

import (
	"slices"

	"go.uber.org/zap"
)

// portion is what is known of one contribution to a request that was not written as a whole.
type portion struct {
	*contribution
	sent counts
	// asked: the part was sent again, and the receiver has said that it wrote so much of it, again.
	// series is how much that is if it has all of the part and takes the newest sample of each series
	// once more.
	asked         bool
	again, series counts
	refused       counts
}

// unwritten is how much the receiver has not said that it wrote.
func (p *portion) unwritten(k kind) uint64 { return p.sent[k] - min(p.sent[k], p.again[k]) }

// untaken is how many series there are of which the receiver does not take the newest sample.
func (p *portion) untaken(k kind) uint64 { return p.series[k] - min(p.series[k], p.again[k]) }

// writing finds out whose samples a receiver has refused, when it has said how much it wrote of a
// request of protocol 2.0. If that leaves it open, the parts are sent again: a receiver like
// Prometheus takes the newest sample of a series once more if it is equal, and counts it as written.
// What remains open is counted at somebody, and the log says how much that is.
type writing struct {
	joint    *joint
	portions []portion
	// missing is how much was refused.
	missing counts
	// unclear: some of a kind were refused, and several parts have some.
	unclear [numKinds]bool
	// incomplete: some parts are repeated by their endpoints, and are not among portions any more.
	incomplete bool
	// repeats: the receiver takes samples that it has. newest: of a part alone it has taken the newest
	// sample of each series again, and no other.
	repeats, newest bool
}

// written settles the parts of a request by what the receiver says that it wrote of all of them.
func (j *joint) written(r request, a answer) {
	w := &writing{joint: j, portions: make([]portion, len(r.set))}
	var all counts
	var having [numKinds]int
	for i, c := range r.set {
		w.portions[i] = portion{contribution: c, sent: c.batch.countOf(nil)}
		for k, n := range w.portions[i].sent {
			if all[k] += n; n > 0 {
				having[k]++
			}
		}
	}
	for k := range numKinds {
		w.missing[k] = all[k] - min(all[k], a.written.counts[k])
		w.unclear[k] = w.missing[k] > 0 && w.missing[k] < all[k] && having[k] > 1
	}
	w.ask()
	open := w.charge(floatKind, w.blame(floatKind)) + w.charge(histogramKind, w.blame(histogramKind))
	w.blame(exemplarKind)
	if open > 0 {
		if !w.repeats {
			j.joiner.destination.vague.Store(true)
		}
		r.set[0].endpoint.logger.Warn("receiver refused samples of a common request and does not say whose; they may be counted at another config",
			zap.Uint64("samples", open), zap.String("reason", a.problem))
	}
	for i := range w.portions {
		p := &w.portions[i]
		p.settleWritten(a, r.share(p.contribution))
	}
}

// ask sends halves of the parts that have samples of an unclear kind again, until the answers say
// enough about each part. If a request fails, those of whom nothing is known repeat their parts by
// themselves.
func (w *writing) ask() {
	var asked []*portion
	all := len(w.portions)
	for i := range w.portions {
		p := &w.portions[i]
		if w.unclear[floatKind] && p.sent[floatKind] > 0 || w.unclear[histogramKind] && p.sent[histogramKind] > 0 {
			p.series = p.batch.seriesOf()
			asked = append(asked, p)
		}
	}
	for sets := halves(nil, asked); len(sets) > 0; {
		var set []*portion
		for _, p := range sets[0] {
			if p.present() {
				set = append(set, p)
			}
		}
		if sets = sets[1:]; len(set) == 0 {
			continue
		}
		v, a, answered := w.joint.repeat(set)
		if !answered {
			for _, p := range asked {
				if !p.asked {
					p.later(v, a, true)
				}
			}
			break
		}
		w.repeats = w.repeats || a.written.samples() > 0
		if !w.learn(set, a.written.counts) {
			sets = halves(sets, set)
		}
	}
	w.portions = slices.DeleteFunc(w.portions, func(p portion) bool { return p.series != (counts{}) && !p.asked })
	w.incomplete = len(w.portions) < all
}

// repeat sends parts again as they were. answered is false if that says nothing about what the
// receiver has.
func (j *joint) repeat(set []*portion) (v verdict, a answer, answered bool) {
	parts := make([]*contribution, 0, len(set))
	for _, p := range set {
		parts = append(parts, p.contribution)
		p.endpoint.ledger.repeated(p.sent)
	}
	r, err := j.request(parts)
	if err != nil {
		return retrySoon, answer{problem: err.Error()}, false
	}
	v, a = j.post(r)
	return v, a, v == delivered || v == partly || v == splitPoison
}

// learn notes how much was written of each part of a set, if that follows from how much was written
// of all: everything, nothing, or, of a receiver that is known for it, the newest sample of each series.
func (w *writing) learn(set []*portion, written counts) bool {
	if p := set[0]; len(set) == 1 {
		p.asked, p.again = true, written
		w.newest = w.newest || written.samples() > 0 && equalSamples(written, p.series) && !equalSamples(written, p.sent)
		return true
	}
	hypotheses := []func(p *portion) counts{
		func(p *portion) counts { return p.sent },
		func(*portion) counts { return counts{} },
	}
	if w.newest {
		hypotheses = append(hypotheses, func(p *portion) counts { return p.series })
	}
	for _, ofEach := range hypotheses {
		var sum counts
		for _, p := range set {
			n := ofEach(p)
			sum.add(&n)
		}
		if !equalSamples(sum, written) {
			continue
		}
		for _, p := range set {
			p.asked, p.again = true, ofEach(p)
		}
		return true
	}
	return false
}

func equalSamples(a, b counts) bool {
	return a[floatKind] == b[floatKind] && a[histogramKind] == b[histogramKind]
}

// blame notes how many samples of a kind were refused of each part. It returns how many more were
// refused of parts of which nobody knows.
func (w *writing) blame(k kind) (open uint64) {
	var unwritten, untaken, ofUntaken uint64
	parts := 0
	for i := range w.portions {
		p := &w.portions[i]
		if n := p.unwritten(k); n > 0 {
			unwritten += n
			parts++
		}
		untaken += p.untaken(k)
		ofUntaken += p.ofUntaken(k)
	}
	certain := !w.incomplete || !w.unclear[k]
	var refused func(p *portion) uint64
	switch {
	case unwritten == 0:
		return 0
	case certain && (unwritten <= w.missing[k] || parts == 1):
		// There are no others that could have been refused.
		refused = func(p *portion) uint64 { return min(p.unwritten(k), w.missing[k]) }
	case w.repeats && ofUntaken == w.missing[k]:
		// Such a series is refused as a whole.
		refused = func(p *portion) uint64 { return p.ofUntaken(k) }
	case w.repeats && untaken <= w.missing[k]:
		refused = func(p *portion) uint64 { return p.untaken(k) }
	default:
		return w.missing[k]
	}
	open = w.missing[k]
	for i := range w.portions {
		n := refused(&w.portions[i])
		w.portions[i].refused[k] = n
		open -= min(open, n)
	}
	if w.incomplete || unwritten <= w.missing[k] {
		return 0 // the others book it, or the receiver has taken it now
	}
	return open
}

// charge books samples that were refused, and nobody knows of which part, at the first parts that may
// have had them: a loss that is counted at another config is better than one that is not counted. It
// returns how many it booked.
func (w *writing) charge(k kind, open uint64) (charged uint64) {
	if w.incomplete && w.repeats {
		return 0 // it may be of those who are in doubt now
	}
	for i := range w.portions {
		p := &w.portions[i]
		n := min(open-charged, p.unwritten(k)-min(p.unwritten(k), p.refused[k]))
		p.refused[k] += n
		charged += n
	}
	return charged
}

// ofUntaken is how many samples the untaken series have, if all series have as many.
func (p *portion) ofUntaken(k kind) uint64 {
	return p.untaken(k) * p.sent[k] / max(p.series[k], 1)
}

// settleWritten books the part. Who has something at fault makes its own requests for a while, whose
// answers say exactly what was written. bytes is the part's share of the request.
func (p *portion) settleWritten(a answer, bytes int) {
	p.with(func(e *endpoint) {
		refused := p.refused.samples() > 0
		if refused || p.untaken(floatKind)+p.untaken(histogramKind) > 0 {
			e.stayApart()
		}
		if refused && a.problem != "" {
			e.ledger.noted(a.problem)
			e.sender.losses.example(Rejected, func() (series, problem string) { return "", a.problem })
		}
		var written counts
		for k := range numKinds {
			written[k] = p.sent[k] - p.refused[k]
		}
		p.book(&written, nil, bytes)
	})
}

// seriesOf counts the series of a batch that have samples of each kind.
func (b *batch) seriesOf() (n counts) {
	type key struct {
		hash uint32
		kind kind
	}
	seen := map[key]struct{}{}
	for i := range b.items {
		k := key{b.items[i].hash, b.items[i].kind}
		if _, ok := seen[k]; !ok && k.kind != exemplarKind {
			seen[k] = struct{}{}
			n[k.kind]++
		}
	}
	return n
}

// halves appends the halves of a set; one alone is its only half.
func halves[T any](sets [][]T, set []T) [][]T {
	for _, half := range [][]T{set[:len(set)/2], set[len(set)/2:]} {
		if len(half) > 0 {
			sets = append(sets, half)
		}
	}
	return sets
}

package remotewrite

import "slices"

// portion is what is known of one contribution to a request of protocol 2.0, when the receiver has
// said how much it wrote of the whole.
type portion struct {
	*contribution
	sent counts
	// asked: the part was sent again, and the receiver has said that it wrote so much of it. If the
	// receiver has all of it, that is one sample for each series, the newest; or nothing, if it takes
	// no repetition.
	asked         bool
	again, series counts
	refused       counts
}

// written settles the parts of a request by what the receiver says that it wrote of all of them. If
// that is less than was sent, and leaves open whose samples were refused, the parts are sent again:
// what the receiver has it says to have written, and does not have twice.
func (j *joint) written(r request, a answer) {
	portions := make([]portion, len(r.set))
	var all counts
	var having [numKinds]int
	for i, c := range r.set {
		portions[i] = portion{contribution: c, sent: c.batch.countOf(nil)}
		for k, n := range portions[i].sent {
			if all[k] += n; n > 0 {
				having[k]++
			}
		}
	}
	var missing counts
	var unclear [numKinds]bool
	for k := range numKinds {
		missing[k] = all[k] - min(all[k], a.written.counts[k])
		unclear[k] = missing[k] > 0 && missing[k] < all[k] && having[k] > 1
	}
	complete := j.ask(portions, unclear)
	for k := range numKinds {
		blame(portions, k, missing[k], complete || !unclear[k])
	}
	for i := range portions {
		portions[i].settleWritten(a, r.share(r.set[i]))
	}
}

// ask finds out who has samples that were refused. It sends halves of the parts that have samples of
// an unclear kind again, until the answers say enough about each part. If a request fails, those of
// whom nothing is known yet repeat their parts by themselves, and the answers are not complete.
func (j *joint) ask(portions []portion, unclear [numKinds]bool) (complete bool) {
	var asked []*portion
	for i := range portions {
		p := &portions[i]
		if unclear[floatKind] && p.sent[floatKind] > 0 || unclear[histogramKind] && p.sent[histogramKind] > 0 {
			p.series = p.batch.seriesOf()
			asked = append(asked, p)
		}
	}
	for sets := halves(nil, asked); len(sets) > 0; {
		set := slices.DeleteFunc(sets[0], func(p *portion) bool { return !p.present() })
		sets = sets[1:]
		if len(set) == 0 {
			continue
		}
		v, a, ok := j.askFor(set)
		if !ok {
			for _, p := range asked {
				if !p.asked {
					p.later(v, a, true)
				}
			}
			return false
		}
		if !learn(set, a.written.counts) {
			sets = halves(sets, set)
		}
	}
	return !slices.ContainsFunc(asked, func(p *portion) bool { return !p.asked })
}

// askFor sends the parts again as they were. ok is false if the answer does not say what the receiver has.
func (j *joint) askFor(set []*portion) (v verdict, a answer, ok bool) {
	var parts []*contribution
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

// learn notes what a receiver that wrote so much of a set wrote of each part. It reports false if
// that is open.
func learn(set []*portion, written counts) bool {
	if len(set) == 1 {
		set[0].asked, set[0].again = true, written
		return true
	}
	for _, ofEach := range []func(p *portion) counts{
		func(p *portion) counts { return p.sent },
		func(p *portion) counts { return p.series },
		func(*portion) counts { return counts{} },
	} {
		var sum counts
		for _, p := range set {
			n := ofEach(p)
			sum.add(&n)
		}
		if sum[floatKind] != written[floatKind] || sum[histogramKind] != written[histogramKind] {
			continue
		}
		for _, p := range set {
			p.asked, p.again = true, ofEach(p)
		}
		return true
	}
	return false
}

// blame says how many items of a kind were refused of each part, when so many of all were. Each part
// has as many as it has series of which the receiver takes no sample; then come the other samples of
// such a part. What is left belongs to the other parts, if complete says that no part is missing.
func blame(portions []portion, k kind, refused uint64, complete bool) {
	for _, most := range []func(p *portion) uint64{
		func(p *portion) uint64 { return p.series[k] - min(p.series[k], p.again[k]) },
		func(p *portion) uint64 {
			if !p.suspected() {
				return 0
			}
			return p.sent[k] - min(p.sent[k], p.again[k])
		},
		func(p *portion) uint64 {
			if !complete {
				return 0
			}
			return p.sent[k] - min(p.sent[k], p.again[k])
		},
	} {
		for i := range portions {
			p := &portions[i]
			n := min(refused, max(most(p), p.refused[k])-p.refused[k])
			p.refused[k] += n
			refused -= n
		}
	}
}

// suspected reports whether the receiver takes no sample of some series.
func (p *portion) suspected() bool {
	return p.series[floatKind] > p.again[floatKind] || p.series[histogramKind] > p.again[histogramKind]
}

// settleWritten books the part. Who has something at fault makes its own requests for a while, which
// say exactly what was written. bytes is the part's share of the request.
func (p *portion) settleWritten(a answer, bytes int) {
	p.with(func(e *endpoint) {
		if p.suspected() || p.refused.samples() > 0 {
			e.stayApart()
		}
		if p.refused.samples() > 0 && a.problem != "" {
			e.ledger.noted(a.problem)
			e.sender.losses.example(Rejected, func() (series, problem string) { return "", a.problem })
		}
		var written counts
		for k := range numKinds {
			written[k] = p.sent[k] - p.refused[k]
		}
		p.book(bytes, func(account *tally) { p.batch.settleWritten(nil, written, false, account) })
	})
}

// seriesOf counts the series of a batch that have a sample of each kind.
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

// halves appends the halves of a set; one alone is the only half.
func halves[T any](sets [][]T, set []T) [][]T {
	for _, half := range [][]T{set[:len(set)/2], set[len(set)/2:]} {
		if len(half) > 0 {
			sets = append(sets, half)
		}
	}
	return sets
}

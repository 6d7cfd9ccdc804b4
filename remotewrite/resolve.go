package remotewrite

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
)

// tell is what it says of a batch in doubt when the receiver takes one of its series.
type tell uint8

const (
	// tellsMuch: the receiver takes several samples of the series, and had none of the batch.
	tellsMuch tell = iota
	// tellsLittle: the series has one sample. Prometheus takes the newest sample of a series again
	// if it is equal, so that it may have had it.
	tellsLittle
	// tellsNothing: the series is known to be refused, or has only exemplars.
	tellsNothing
)

// group is a series of a batch in doubt.
type group struct {
	part
	tell
}

// tellOf says what is learned if the receiver takes p, samples of one series.
func (d *delivery) tellOf(p part) tell {
	samples, first := 0, int64(0)
	for _, i := range p {
		it := &d.batch.items[i]
		if it.kind == exemplarKind {
			continue
		}
		if samples++; samples == 1 {
			first = it.t
		} else if it.t != first {
			return tellsMuch
		}
	}
	if samples == 0 {
		return tellsNothing
	}
	return tellsLittle
}

// resolve finds out whether the receiver had all of a batch in doubt, or nothing, when it has
// refused it. It sends some series alone, those first that tell most. What it had is settled; what
// it had not is searched like any other batch.
func (d *delivery) resolve(ctx context.Context, parts []part) error {
	groups := make([]group, 0, len(parts))
	for _, p := range parts {
		g := group{p, d.tellOf(p)}
		if d.sender.suspected(d.key(int(p[0]))) {
			g.tell = tellsNothing
		}
		groups = append(groups, g)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(a.tell, b.tell) })
	refused, taken, err := d.probe(ctx, &groups)
	if err != nil {
		return err
	}
	whole := isNew
	if taken == tellsNothing {
		whole = had
	}
	if taken != tellsMuch && len(refused) > 0 && refused[0].tell == tellsMuch && d.allOrNothing {
		if whole, refused, err = d.resolveByTime(ctx, refused, taken == tellsLittle); err != nil {
			return err
		}
	}
	switch {
	case !d.allOrNothing: // an answer was lost meanwhile, and everything has to be tried
		d.giveUp(refused)
		return d.sendRest(ctx, groups)
	case whole == isNew:
		return d.searchNew(ctx, refused, groups)
	case whole == unclear:
		d.giveUp(refused)
		return d.sendRest(ctx, d.lastOfEach(groups))
	}
	d.giveUp(refused)
	d.giveUp(groups)
	return nil
}

// probe sends series alone until one is taken that tells much, and takes those that it has sent out
// of groups. Those with several samples may all be of one target that is at fault, so that half of
// the attempts are for the others. When one of those is taken, only series that tell more are tried.
func (d *delivery) probe(ctx context.Context, groups *[]group) (refused []group, taken tell, err error) {
	taken = tellsNothing
	if len(*groups) == 1 { // it was refused alone already
		refused, *groups = *groups, nil
		return refused, taken, nil
	}
	for len(*groups) > 0 && len(refused) < hopelessInDoubt && d.allOrNothing {
		next := 0
		if len(refused) >= hopelessInDoubt/2 && taken == tellsNothing {
			next = max(slices.IndexFunc(*groups, func(g group) bool { return g.tell != tellsMuch }), 0)
		}
		g := (*groups)[next]
		if g.tell >= taken && taken != tellsNothing {
			break
		}
		*groups = slices.Delete(*groups, next, next+1)
		v, err := d.send(ctx, g.part)
		switch {
		case err != nil:
			return nil, taken, err
		case v == splitPoison:
			refused = append(refused, g)
		case v != delivered:
			d.drop(g.part, reasonOf(v))
		default:
			if taken = min(taken, g.tell); taken == tellsMuch {
				return refused, taken, nil
			}
		}
	}
	return refused, taken, nil
}

// giveUp leaves series to bookRefused.
func (d *delivery) giveUp(groups []group) {
	for _, g := range groups {
		d.refused = append(d.refused, g.part)
	}
}

// whether the receiver had a batch in doubt.
type whether uint8

const (
	had whether = iota
	// unclear: it takes the very last sample of a series alone. It had it, and takes the newest sample
	// again; or it had nothing of the batch, and all the others are too late.
	unclear
	isNew
)

// resolveByTime looks at series of several samples that were refused, while none like them was taken.
// They are the first of refused; those that it has looked at are taken out.
func (d *delivery) resolveByTime(ctx context.Context, refused []group, othersTaken bool) (whether, []group, error) {
	found, err := d.byItsSamples(ctx, refused[0].part, othersTaken)
	refused = refused[1:]
	for err == nil && found == unclear && len(refused) > 0 && refused[0].tell == tellsMuch && d.allOrNothing {
		var next whether
		next, err = d.byItsSamples(ctx, refused[0].part, false)
		found, refused = max(found, next), refused[1:]
	}
	return found, refused, err
}

// byItsSamples looks at one series. If the receiver takes the end of it, it is only late, and new. If
// it takes nothing of it but other series, it is poison.
func (d *delivery) byItsSamples(ctx context.Context, p part, othersTaken bool) (whether, error) {
	before := len(d.refused)
	if _, err := d.searchTime(ctx, p, 2*(bits.Len(uint(len(p)))-1)); err != nil {
		return had, err
	}
	left := map[int32]bool{}
	for _, r := range d.refused[before:] {
		for _, i := range r {
			left[i] = true
		}
	}
	var taken part
	for _, i := range p {
		if !left[i] {
			taken = append(taken, i)
		}
	}
	switch {
	case d.tellOf(taken) == tellsMuch:
		return isNew, nil
	case len(taken) > 0:
		return unclear, nil
	}
	v, err := d.send(ctx, d.lastOf(p))
	switch {
	case err != nil:
		return had, err
	case v == delivered:
		return unclear, nil
	case v != splitPoison || !othersTaken:
		return had, nil
	}
	d.sender.suspect(d.key(int(p[0])))
	return isNew, nil
}

// lastOf is the last sample of a series.
func (d *delivery) lastOf(p part) part {
	i := len(p) - 1
	for i > 0 && d.batch.items[p[i]].kind == exemplarKind {
		i--
	}
	return p[i : i+1]
}

// lastOfEach is what of groups has to be sent when it is unclear whether the receiver had the batch:
// a repetition costs nothing. Of several samples that is the last: those before are refused with it
// if they are too late or repeated, and to find that out for each series takes too many requests.
func (d *delivery) lastOfEach(groups []group) []group {
	var rest []group
	for _, g := range groups {
		if g.tell == tellsMuch {
			d.giveUp([]group{g})
			g.part = d.lastOf(g.part)
		}
		rest = append(rest, g)
	}
	return rest
}

// searchNew searches a batch of which it is known now that the receiver had nothing. refused were
// refused alone.
func (d *delivery) searchNew(ctx context.Context, refused, untried []group) error {
	d.allOrNothing = false
	d.batch.certain()
	for _, g := range refused {
		if err := d.alone(ctx, g.part); err != nil {
			return err
		}
	}
	return d.sendRest(ctx, untried)
}

// sendRest sends series that were not tried alone, and searches them if they are refused.
func (d *delivery) sendRest(ctx context.Context, untried []group) error {
	var rest []part
	for _, g := range untried {
		rest = append(rest, g.part)
	}
	if len(rest) == 0 {
		return nil
	}
	p := merge(rest)
	v, err := d.send(ctx, p)
	switch {
	case err != nil:
		return err
	case v == splitPoison:
		return d.search(ctx, rest)
	case v == splitSize:
		return d.shrink(ctx, p)
	case v != delivered:
		d.drop(p, reasonOf(v))
	}
	return nil
}

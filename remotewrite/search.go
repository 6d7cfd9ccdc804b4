package remotewrite

import (
	"context"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// hopeless is how many series in a row are refused alone, while nothing of the batch was
	// accepted, until the receiver is taken to refuse everything. Series are tried in random order:
	// with half of them poison, a good batch is given up once in 65,536.
	hopeless = 16
	// hopelessInDoubt is how many series of a batch in doubt are refused alone until the receiver is
	// taken to have it. They are sent as they are, not found by halving: with half of the series
	// poison, a batch that the receiver does not have is taken for one that it has once in 4,096.
	hopelessInDoubt = 12
)

// delivery is the work on one batch: from its first request until every item was acknowledged or
// dropped. A batch that is refused is searched by series, so that a series at fault takes no other
// with it, and costs at most two requests per halving.
type delivery struct {
	sender  *sender
	batch   *batch
	account *tally

	// attempt is the number of requests in a row that have failed.
	attempt int
	// divided is called before a part of the batch is sent alone.
	divided func()
	// allOrNothing: the receiver may have the batch, and then it has all of it.
	allOrNothing bool
	// touched: something final was answered, so that the batch can't be read again from the log and
	// sent as it was.
	touched bool
	// accepted: something of the batch was acknowledged.
	accepted bool
	troubled bool
	// written is what the receiver said of the last request that it took.
	written confirmation
	// refused are what was refused alone and is not booked yet: series, or parts of one. inVain is of
	// how many series nothing was taken.
	refused []part
	inVain  int
}

// all sends the batch. The error is the context's, a laterError, or says that the batch itself is
// broken.
func (d *delivery) all(ctx context.Context) error {
	d.allOrNothing = d.batch.doubt && !d.batch.parts
	apart, condemned, rest, err := d.divide()
	if err != nil {
		return err
	}
	// The rest comes first: after a kill it is what the receiver has of the batch, if it has anything.
	if rest != nil || apart == nil && condemned == nil {
		if err := d.sendPart(ctx, rest); err != nil {
			return err
		}
	}
	if apart != nil {
		if err := d.sendPart(ctx, apart); err != nil {
			return err
		}
	}
	if condemned != nil {
		if err := d.sendCondemned(ctx, condemned); err != nil {
			return err
		}
	}
	d.bookRefused()
	return nil
}

// divide separates suspects from the rest. All are nil if there are none.
func (d *delivery) divide() (apart, condemned, rest part, err error) {
	s := d.sender
	now := time.Now()
	s.mu.Lock()
	suspected := s.suspects.among(d.batch, now)
	s.mu.Unlock()
	if !suspected || d.batch.doubt {
		return nil, nil, nil, nil
	}
	if err := d.batch.uncompress(); err != nil {
		return nil, nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.batch.each(nil, func(i int) {
		to := &rest
		if _, ok := s.suspects.short[d.batch.items[i].hash]; ok {
			if k, ok := s.suspects.known[d.key(i)]; ok && k.condemned {
				to = &condemned
			} else if ok {
				to = &apart
			}
		}
		*to = append(*to, int32(i))
	})
	return apart, condemned, rest, nil
}

// key identifies the series of item i. The batch must be uncompressed.
func (d *delivery) key(i int) uint64 { return seriesKey(d.batch.protocol.labelsOf(d.batch, i)) }

// sendCondemned sends the series that were refused more than once. They are not searched, but what
// the receiver takes again is found out: one of them travels alone, and the others in two halves if
// they are refused together, so that a series at fault holds those that are not any more for a few
// batches at most.
func (d *delivery) sendCondemned(ctx context.Context, p part) error {
	groups := d.groups(p)
	rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	others := groups[1:]
	sets := [][]part{groups[:1], others}
	for len(sets) > 0 {
		set := sets[0]
		sets = sets[1:]
		if len(set) == 0 {
			continue
		}
		p := merge(set)
		v, err := d.send(ctx, p)
		switch {
		case err != nil:
			return err
		case v == delivered:
			for _, g := range set {
				d.sender.forgive(d.key(int(g[0])))
			}
		case v == splitPoison && len(set) > 1 && len(set) == len(others):
			middle := len(set) / 2
			sets = append(sets, set[:middle], set[middle:])
		default:
			d.drop(p, reasonOf(v))
		}
	}
	return nil
}

// sendPart sends some items and looks for what is at fault in them. nil is the whole batch.
func (d *delivery) sendPart(ctx context.Context, p part) error {
	v, err := d.send(ctx, p)
	if err != nil {
		return err
	}
	switch v {
	case splitPoison:
		if n := d.batch.countOf(p); d.batch.protocol.attaches && n.samples() == 0 {
			// Exemplars without their samples; the series are none the worse for it.
			d.drop(p, Rejected)
			return nil
		}
		if err := d.batch.uncompress(); err != nil {
			return err
		}
		d.begunInParts()
		groups := d.groups(p)
		rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		if d.allOrNothing {
			return d.resolve(ctx, groups)
		}
		return d.search(ctx, groups)
	case splitSize:
		d.begunInParts()
		return d.shrink(ctx, p)
	case dropLimited, final:
		d.drop(p, reasonOf(v))
	}
	return nil
}

// begunInParts is called before a part of the batch is sent alone.
func (d *delivery) begunInParts() {
	if d.divided != nil && !d.batch.parts {
		d.divided()
		d.divided = nil
	}
}

// search finds the series at fault among groups, which were refused together.
func (d *delivery) search(ctx context.Context, groups []part) error {
	if len(groups) == 1 {
		return d.alone(ctx, groups[0])
	}
	middle := len(groups) / 2
	for _, half := range [][]part{groups[:middle], groups[middle:]} {
		if d.isHopeless() {
			d.refused = append(d.refused, merge(half))
			continue
		}
		p := merge(half)
		v, err := d.send(ctx, p)
		if err != nil {
			return err
		}
		switch v {
		case splitPoison:
			err = d.search(ctx, half)
		case splitSize:
			err = d.shrink(ctx, p)
		case dropLimited:
			d.drop(p, RateLimited)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *delivery) isHopeless() bool {
	return !d.accepted && !d.batch.parts && d.inVain >= d.sender.hopelessAfter()
}

// alone deals with one series that was refused. Several of its samples are halved in order of time,
// since only some may be at fault: samples that the receiver has already, or that are older than
// what it has.
func (d *delivery) alone(ctx context.Context, p part) error {
	key := d.key(int(p[0]))
	budget := 2 * (bits.Len(uint(len(p))) - 1)
	switch {
	case d.batch.parts:
		budget = math.MaxInt / 2
	case d.sender.suspected(key):
		budget = 0
	}
	someAccepted, err := d.searchTime(ctx, p, budget)
	if err != nil || someAccepted {
		return err
	}
	d.inVain++
	if !d.batch.doubt {
		d.sender.suspect(key)
	}
	return nil
}

// searchTime halves the samples of one series, which was refused, with so many requests. It says
// whether some were accepted.
func (d *delivery) searchTime(ctx context.Context, p part, budget int) (someAccepted bool, err error) {
	before := d.accepted
	d.accepted = false
	err = d.byTime(ctx, p, &budget, 0)
	someAccepted = d.accepted
	d.accepted = someAccepted || before
	return someAccepted, err
}

// byTime keeps reserve of its budget for the later halves of those who call it: samples that are too
// old come first, and whatever they cost, none behind them is given up untried. A later half is
// never tried before the earlier one, which would be too old after it. With the first samples that
// the receiver takes, the budget grows.
func (d *delivery) byTime(ctx context.Context, p part, budget *int, reserve int) error {
	middle := len(p) / 2
	for i, half := range []part{p[:middle], p[middle:]} {
		later := reserve + 1 - i
		if len(p) == 1 || *budget <= later {
			if len(half) > 0 {
				d.refused = append(d.refused, half)
			}
			continue
		}
		*budget--
		before := d.accepted
		v, err := d.send(ctx, half)
		switch {
		case err != nil:
			return err
		case v == splitPoison:
			if err := d.byTime(ctx, half, budget, later); err != nil {
				return err
			}
		case v != delivered:
			d.drop(half, reasonOf(v))
		case !before && d.accepted:
			*budget += 2 * bits.Len(uint(len(p)))
		}
	}
	return nil
}

// shrink halves what is too large, in order.
func (d *delivery) shrink(ctx context.Context, p part) error {
	indices := d.indices(p)
	if len(indices) == 1 {
		d.drop(indices, TooLarge)
		return nil
	}
	d.sender.size.learn(d.batch.sizeOf(indices))
	middle := len(indices) / 2
	for _, half := range []part{indices[:middle], indices[middle:]} {
		if err := d.sendPart(ctx, half); err != nil {
			return err
		}
	}
	return nil
}

// uncertain notes that the receiver may have what was sent last. If that was a part of the batch,
// refusals say nothing about the other parts any more, so that all of it has to be searched.
func (d *delivery) uncertain() {
	if d.touched {
		d.allOrNothing, d.batch.parts = false, true
	}
}

// send posts a part until there is a final answer, and settles what was delivered.
func (d *delivery) send(ctx context.Context, p part) (verdict, error) {
	v, retried, err := d.sender.send(ctx, d, p)
	d.troubled = d.troubled || retried
	if err == nil && v == splitPoison {
		d.touched = true
	}
	if err != nil || v != delivered && v != partly {
		return v, err
	}
	d.touched = true
	if n := d.batch.countOf(p); n.samples() > 0 { // exemplars without samples are taken from everybody
		d.accepted = true
	}
	if d.written.said {
		had := d.batch.doubt && (!d.allOrNothing || !d.batch.isNew(p, d.written.samples()))
		d.batch.settleWritten(p, d.written.counts, had, d.account)
	} else {
		d.batch.settle(p, nil, d.account)
	}
	return delivered, nil
}

func (d *delivery) drop(p part, reason Reason) {
	d.touched = true
	d.sender.dropped(d.batch, p, reason)
	d.batch.settle(p, &reason, d.account)
}

// bookRefused decides what became of the refused series. What the receiver may have had before is
// taken to be there.
func (d *delivery) bookRefused() {
	if len(d.refused) == 0 {
		return
	}
	d.sender.searched(!d.accepted && !d.batch.doubt)
	for _, p := range d.refused {
		var had, refused part
		d.batch.each(p, func(i int) {
			if d.batch.items[i].maybe {
				had = append(had, int32(i))
			} else {
				refused = append(refused, int32(i))
			}
		})
		if had != nil {
			n := d.batch.countOf(had)
			d.account.had += n.samples()
			d.batch.settle(had, nil, d.account)
		}
		if refused != nil {
			d.drop(refused, Rejected)
		}
	}
}

// groups sorts the items of p by series, in the order of their first items. The batch must be
// uncompressed.
func (d *delivery) groups(p part) []part {
	var groups []part
	of := map[string]int{}
	d.batch.each(p, func(i int) {
		ls := d.batch.protocol.labelsOf(d.batch, i)
		g, ok := of[string(ls)]
		if !ok {
			g = len(groups)
			of[string(ls)] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], int32(i))
	})
	return groups
}

func (d *delivery) indices(p part) part {
	out := part{}
	d.batch.each(p, func(i int) { out = append(out, int32(i)) })
	return out
}

// merge returns the items of several series in the order of the batch.
func merge(groups []part) part {
	all := part{}
	for _, g := range groups {
		all = append(all, g...)
	}
	slices.Sort(all)
	return all
}

func reasonOf(v verdict) Reason {
	switch v {
	case dropLimited:
		return RateLimited
	case splitSize:
		return TooLarge
	}
	return Rejected
}

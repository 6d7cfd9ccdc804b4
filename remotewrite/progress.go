package remotewrite

import "encoding/binary"

// maxTogether is how many samples an endpoint has in a common request at most. It may be sent
// without a word in the cursor.
const maxTogether = 10_000

// maxProgress is how many bytes of progress a Source can save: about a hundred lanes.
const maxProgress = 400

// mark is how far a lane is. Sample numbers are those of Position.Seq.
type mark struct {
	// settled: every sample of the lane with a smaller number was acknowledged or dropped.
	settled uint64
	// doubt: what has a number from settled to below doubt may have reached the receiver, in a
	// request whose answer is not known. It is sent again in requests of its own, so that a refused
	// repetition costs no other sample.
	doubt uint64
	// parts: what is in doubt was sent in several requests. Otherwise the receiver has all of it or
	// nothing. With records, it is the first of them of which that is true.
	parts bool
	// records: what is in doubt was sent record by record, or the first of its records in one
	// request: the receiver has some of the first records, each as a whole. What it takes of one
	// that is sent alone says that it has none behind it.
	records bool
	// attempts is the number of requests in a row that failed at this place. It is not saved.
	attempts int
}

// progress is what an endpoint has done behind its cursor.
type progress struct {
	marks []mark
	// ahead is the number of samples behind the cursor that are settled.
	ahead uint64
	// mapping identifies how series are assigned to lanes. Under another mapping the marks mean
	// nothing.
	mapping uint64
}

// freshProgress is that of n lanes that have done nothing behind position seq.
func freshProgress(n int, seq, mapping uint64) progress {
	p := progress{marks: make([]mark, n), mapping: mapping}
	p.advance(seq, 0)
	return p
}

// advance moves all lanes to seq at least: everything before it is settled, and ahead samples
// behind it.
func (p *progress) advance(seq, ahead uint64) {
	for i := range p.marks {
		m := &p.marks[i]
		if m.settled < seq {
			m.settled, m.attempts = seq, 0
		}
		m.trim()
	}
	p.ahead = ahead
}

// trim forgets what is in doubt when all of it is settled.
func (m *mark) trim() {
	if m.doubt <= m.settled {
		m.doubt, m.parts, m.records = m.settled, false, false
	}
}

// bound takes back what the progress says of samples that the log does not have: after a loss of
// power the disk may have it, and not the samples. Their numbers are given out again.
func (p *progress) bound(seq, end uint64) {
	for i := range p.marks {
		m := &p.marks[i]
		m.settled, m.doubt = min(m.settled, end), min(m.doubt, end)
		m.trim()
	}
	p.ahead = min(p.ahead, end-min(seq, end))
}

// level reports whether no lane is further than seq.
func (p *progress) level(seq uint64) bool {
	for _, m := range p.marks {
		if m.settled > seq {
			return false
		}
	}
	return true
}

// resize changes the number of lanes, all of which are at seq.
func (p *progress) resize(n int, seq uint64) {
	doubt, records := seq, true
	for _, m := range p.marks {
		doubt = max(doubt, m.doubt)
		records = records && m.records && !m.parts
	}
	p.marks = make([]mark, n)
	for i := range p.marks {
		p.marks[i] = mark{settled: seq, doubt: doubt, parts: doubt > seq && !records, records: doubt > seq && records}
	}
}

// floating is the progress of one lane at seq that does not say what it sends: after a kill, the
// first records behind seq are in doubt.
func floating(seq, mapping uint64) []byte {
	p := progress{marks: []mark{{settled: seq, doubt: seq, records: true}}, mapping: mapping}
	return p.append(nil, seq)
}

// done reports whether nothing behind seq was begun.
func (p *progress) done(seq uint64) bool {
	for _, m := range p.marks {
		if m.settled != seq || m.doubt > seq || m.records {
			return false
		}
	}
	return p.ahead == 0
}

// append encodes the progress behind base: the mapping, the number of lanes, ahead, and two
// distances per lane, of which the second is shifted by a bit that says parts. Parts of nothing
// mean records.
func (p *progress) append(dst []byte, base uint64) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, p.mapping)
	dst = binary.AppendUvarint(dst, uint64(len(p.marks)))
	dst = binary.AppendUvarint(dst, p.ahead)
	doubt := base
	for _, m := range p.marks {
		dst = binary.AppendUvarint(dst, m.settled-base)
		distance := (max(m.doubt, m.settled) - m.settled) << 1
		switch {
		case m.parts: // also if it is the first of the records
			distance |= 1
		case m.records:
			distance = 1
		}
		dst = binary.AppendUvarint(dst, distance)
		doubt = max(doubt, m.doubt)
	}
	if len(dst)-start <= maxProgress {
		return dst
	}
	// Too many lanes: all that was begun is in doubt.
	coarse := progress{marks: []mark{{settled: base, doubt: doubt, parts: true}}}
	return coarse.append(dst[:start], base)
}

// parseProgress decodes what append wrote. Under another mapping, or if it is damaged, all that was
// begun is in doubt, as far as that is known.
func parseProgress(b []byte, base, mapping uint64) progress {
	if len(b) < 8 {
		return freshProgress(1, base, mapping)
	}
	saved := binary.LittleEndian.Uint64(b)
	b = b[8:]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[max(0, n):]
		return v
	}
	lanes, ahead := next(), next()
	p := freshProgress(int(min(max(lanes, 1), maxProgress)), base, mapping)
	p.ahead = ahead
	doubt := base
	for i := range p.marks {
		settled := base + next()
		distance := next()
		p.marks[i] = mark{settled: settled, doubt: settled + distance>>1, parts: distance > 1 && distance&1 != 0, records: distance == 1}
		if distance == 1 {
			p.marks[i].doubt += maxTogether
		}
		doubt = max(doubt, p.marks[i].doubt)
	}
	if saved == mapping {
		return p
	}
	return progress{marks: []mark{{settled: base, doubt: doubt, parts: doubt > base}}, mapping: mapping}
}

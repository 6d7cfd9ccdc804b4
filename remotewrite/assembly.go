package remotewrite

import "math"

// assembly puts what endpoints have read into common requests, in the order in which they come. The
// body of a request is what the endpoints' own would be, one after another. If the protocol has a
// table of strings, all of them write with one encoder, in which the table grows.
type assembly struct {
	joiner   *joiner
	press    *press
	protocol *protocol
	limit    int // bytes, uncompressed
	open     *joint
	// table is how many bytes of the table the open request needs. What follows was added by
	// somebody who is not part of it.
	table    int
	requests []*joint
}

func newAssembly(j *joiner, p *press, spoken *protocol) *assembly {
	a := &assembly{joiner: j, press: p, protocol: spoken, limit: maxBatchBytes}
	if learned := j.size.get(); learned > 0 {
		a.limit = min(a.limit, learned)
	}
	a.begin()
	return a
}

// begin opens a request.
func (a *assembly) begin() {
	a.open = &joint{joiner: a.joiner, most: math.MaxInt}
	a.press.joined = a.press.joined[:0]
	a.press.shared.reset()
	a.table = a.press.shared.overhead()
}

// read has an endpoint read what it has, which is part of a request then, unless the endpoint is
// settled or sends by itself.
func (a *assembly) read(c *contribution) {
	shared := &a.press.shared
	shared.forget()
	switch {
	case c.read(a.press, a.protocol):
		a.add(c)
	case shared.overhead() > a.table:
		a.next() // its strings are in the table
	}
}

func (a *assembly) add(c *contribution) {
	p := a.press
	raw := p.raws[0][:c.size]
	// Exemplars are items too, and more may have been committed since it was taken.
	items, most := a.open.items+len(c.batch.items), c.endpoint.perSend()
	size := len(p.joined) + len(raw)
	if a.protocol.tabled {
		size += p.shared.overhead()
	}
	if len(a.open.contributions) > 0 && (size > a.limit || items > min(most, a.open.most)) {
		strings := p.shared.strings()
		a.next()
		if a.protocol.tabled {
			raw = p.shared.rewrite(raw, strings)
		}
		items = len(c.batch.items)
	}
	a.open.items, a.open.most = items, min(most, a.open.most)
	a.table = p.shared.overhead()
	c.from, c.size = len(p.joined), len(raw)
	p.joined = append(p.joined, raw...)
	a.open.contributions = append(a.open.contributions, c)
}

// next ends the open request and opens another.
func (a *assembly) next() {
	if len(a.open.contributions) > 0 {
		a.seal()
		a.requests = append(a.requests, a.open)
	}
	a.begin()
}

// seal compresses what is in the press.
func (a *assembly) seal() {
	p, raw, head := a.press, a.press.joined, 0
	if a.protocol.tabled {
		p.headed = p.shared.symbols.appendFirst(p.headed[:0], a.table)
		head = len(p.headed)
		p.headed = append(p.headed, raw...)
		raw = p.headed
	}
	a.open.body.protocol = a.protocol
	p.scratch = a.open.body.seal(raw, head, p.scratch)
}

// end returns the requests.
func (a *assembly) end() []*joint {
	a.next()
	return a.requests
}

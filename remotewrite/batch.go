package remotewrite

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/s2"
)

// item is one sample, histogram or exemplar of a batch.
type item struct {
	t    int64
	end  uint32 // where it ends in the batch's uncompressed bytes; it begins where the one before ends
	hash uint32 // of the series' labels as they are sent
	kind kind
	gone bool // settled: dropped, or delivered in a part of the batch
	// maybe: the receiver may have it.
	maybe bool
	// exemplars is the number of exemplars that are part of the item, if the protocol attaches them.
	exemplars uint16
}

// add counts the item and what is part of it.
func (it *item) add(c *counts) {
	c[it.kind]++
	c[exemplarKind] += uint64(it.exemplars)
}

// dropFrom books the loss of the item.
func (it *item) dropFrom(account *tally, reason Reason) {
	account.drop(reason, it.kind, 1, it.t)
	account.drop(reason, exemplarKind, uint64(it.exemplars), it.t)
}

// itemBytes is the size of an item in memory.
const itemBytes = 24

// batch is one request body and the list of what is in it. It is kept compressed only: a body that
// has to be cut, because the receiver refused it or a part of it became too old, is decompressed
// again, which is rare.
type batch struct {
	// protocol is the one in which the body is written.
	protocol *protocol
	items    []item
	body     []byte
	// head is the length of what precedes the items in the uncompressed body, size the length of
	// the items.
	head, size int
	// last is behind the number of the last sample.
	last uint64
	// old counts items that were too old when they were read. They are not among items.
	old counts
	// unsupported counts histograms that the protocol can't carry, which are not among items
	// either, and unsupportedAt is when they were.
	unsupported   uint64
	unsupportedAt extent
	// doubt: the receiver may have it already; all of it or nothing, unless parts is set.
	doubt, parts bool
	// readers counts the readers of the body that the HTTP transport hasn't closed: it may still
	// read after a request has failed.
	readers atomic.Int32
	// plain is the uncompressed body, once something had to be cut out of it, and strings the table
	// that precedes the items.
	plain   []byte
	strings [][]byte
}

// seal compresses raw, which begins with head bytes for all items, into the batch. scratch is
// reused and returned.
func (b *batch) seal(raw []byte, head int, scratch []byte) []byte {
	scratch = s2.EncodeSnappy(scratch[:cap(scratch)], raw)
	b.body = append(b.body[:0], scratch...)
	b.head, b.size = head, len(raw)-head
	return scratch
}

// reset empties the batch for reuse. The body is left to the transport if that still reads it.
func (b *batch) reset() {
	if b.readers.Load() != 0 {
		b.body = nil
	}
	b.items, b.body, b.plain, b.strings = b.items[:0], b.body[:0], nil, nil
	b.head, b.size, b.last, b.doubt, b.parts = 0, 0, 0, false, false
	b.old, b.unsupported, b.unsupportedAt = counts{}, 0, extent{}
}

// part is some of a batch's items, as ascending indices. nil is all of them.
type part []int32

// each calls f with the index of each item of p that isn't gone.
func (b *batch) each(p part, f func(i int)) {
	if p == nil {
		for i := range b.items {
			if !b.items[i].gone {
				f(i)
			}
		}
		return
	}
	for _, i := range p {
		if !b.items[i].gone {
			f(int(i))
		}
	}
}

// bodyOf is the compressed body with the items of p that aren't gone, and their number.
func (b *batch) bodyOf(p part) (body []byte, n int, err error) {
	b.each(p, func(int) { n++ })
	if n == len(b.items) || n == 0 {
		return b.body, n, nil
	}
	if err := b.uncompress(); err != nil {
		return nil, 0, err
	}
	var raw []byte
	b.each(p, func(i int) { raw = append(raw, b.item(i)...) })
	return s2.EncodeSnappy(nil, b.protocol.bodyOf(b, raw)), n, nil
}

func (b *batch) uncompress() (err error) {
	if b.plain != nil {
		return nil
	}
	if b.plain, err = s2.Decode(nil, b.body); err != nil {
		return fmt.Errorf("decompress a batch to cut it: %w", err)
	}
	return nil
}

// countOf counts the items of p that aren't gone.
func (b *batch) countOf(p part) (c counts) {
	b.each(p, func(i int) { b.items[i].add(&c) })
	return c
}

// sizeOf is the number of uncompressed bytes of the items of p that aren't gone, with their share
// of what precedes all items.
func (b *batch) sizeOf(p part) (size int) {
	n := 0
	b.each(p, func(i int) {
		size += int(b.items[i].end) - b.start(i)
		n++
	})
	return size + b.head*n/max(1, len(b.items))
}

func (b *batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return int(b.items[i-1].end)
}

// item is the uncompressed bytes of item i. uncompress must have succeeded.
func (b *batch) item(i int) []byte {
	return b.plain[b.head+b.start(i) : b.head+int(b.items[i].end)]
}

// samples is the number of floats and histograms that the batch answers for.
func (b *batch) samples() (n uint64) {
	for i := range b.items {
		if b.items[i].kind != exemplarKind {
			n++
		}
	}
	return n + b.old.samples() + b.unsupported
}

// bookLeftOut books what the batch answers for and never had among its items.
func (b *batch) bookLeftOut(account *tally) {
	for k := range numKinds {
		account.drop(TooOld, k, b.old[k], 0)
	}
	account.drop(UnsupportedHistogram, histogramKind, b.unsupported, b.unsupportedAt.from)
	account.times[UnsupportedHistogram].include(b.unsupportedAt.from, b.unsupportedAt.to)
}

// expire drops the items of p that are older than limit (milliseconds).
func (b *batch) expire(p part, limit int64, account *tally) {
	b.each(p, func(i int) {
		if it := &b.items[i]; it.t < limit {
			it.gone = true
			it.dropFrom(account, TooOld)
		}
	})
}

// settleWritten books the items of p that aren't gone when the receiver has said how many of each
// kind it wrote. It doesn't say which, so the time of a loss is that of the newest item. had: what
// it didn't write now it has from an earlier request.
func (b *batch) settleWritten(p part, written counts, had bool, account *tally) {
	var all counts
	var newest int64
	b.each(p, func(i int) {
		b.items[i].gone = true
		b.items[i].add(&all)
		newest = max(newest, b.items[i].t)
	})
	for k := range numKinds {
		n := min(written[k], all[k])
		if missing := all[k] - n; had {
			n = all[k]
			if k != exemplarKind {
				account.had += missing
			}
		}
		account.sent[k] += n
		account.drop(Rejected, k, all[k]-n, newest)
		if n > 0 {
			account.highestSent = max(account.highestSent, newest)
		}
	}
}

// certain ends the doubt about the batch: the receiver has nothing of it.
func (b *batch) certain() {
	b.doubt, b.parts = false, false
	for i := range b.items {
		b.items[i].maybe = false
	}
}

// isNew reports whether a receiver that wrote so many samples of p had none of them before. Of what
// it had, it takes at most the newest sample of each series again.
func (b *batch) isNew(p part, written uint64) bool {
	series, samples := map[uint32]struct{}{}, 0
	b.each(p, func(i int) {
		if it := &b.items[i]; it.kind != exemplarKind {
			series[it.hash] = struct{}{}
			samples++
		}
	})
	if samples == len(series) {
		return written > 0
	}
	return written > uint64(len(series))
}

// settle books the items of p that aren't gone: as sent if reason is nil. They are gone then.
func (b *batch) settle(p part, reason *Reason, account *tally) {
	b.each(p, func(i int) {
		it := &b.items[i]
		it.gone = true
		if reason != nil {
			it.dropFrom(account, *reason)
			return
		}
		it.add(&account.sent)
		account.highestSent = max(account.highestSent, it.t)
	})
}

// open returns a reader of body that counts as open until it is closed.
func (b *batch) open(body []byte) io.ReadCloser {
	b.readers.Add(1)
	return &bodyReader{Reader: bytes.NewReader(body), batch: b}
}

type bodyReader struct {
	*bytes.Reader
	batch  *batch
	closed atomic.Bool
}

func (r *bodyReader) Close() error {
	if r.closed.CompareAndSwap(false, true) {
		r.batch.readers.Add(-1)
	}
	return nil
}

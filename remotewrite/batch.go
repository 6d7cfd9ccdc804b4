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
	kind kind
	gone bool // dropped while the batch waited
}

// itemBytes is the size of an item in memory.
const itemBytes = 16

// span is a range of a batch's items.
type span struct{ from, to int }

// batch is one request body and the list of what is in it. It is kept compressed only: a body that has to be cut, because the receiver
// refused it or a part of it became too old, is decompressed again, which is rare.
type batch struct {
	items []item
	body  []byte
	// size is the length of the uncompressed items, without the trailer.
	size int
	// readers counts the readers of the body that the HTTP transport hasn't closed: it may still read after a request has failed.
	readers atomic.Int32
	// plain is the uncompressed body, once something had to be cut out of it.
	plain []byte
}

// seal compresses raw, which ends in a trailer, into the batch. scratch is reused and returned.
func (b *batch) seal(raw []byte, scratch []byte) []byte {
	scratch = s2.EncodeSnappy(scratch[:cap(scratch)], raw)
	b.body = append(b.body[:0], scratch...)
	return scratch
}

// reset empties the batch for reuse. The body is left to the transport if that still reads it.
func (b *batch) reset() {
	if b.readers.Load() != 0 {
		b.body = nil
	}
	b.items, b.body, b.plain, b.size = b.items[:0], b.body[:0], nil, 0
}

// bodyOf is the compressed body with the items of s that aren't gone, and their number.
func (b *batch) bodyOf(s span) (body []byte, n int, err error) {
	for _, it := range b.items[s.from:s.to] {
		if !it.gone {
			n++
		}
	}
	if n == len(b.items) || n == 0 {
		return b.body, n, nil
	}
	if err := b.uncompress(); err != nil {
		return nil, 0, err
	}
	var raw []byte
	for i := s.from; i < s.to; i++ {
		if !b.items[i].gone {
			raw = append(raw, b.item(i)...)
		}
	}
	raw = append(raw, b.plain[b.size:]...)
	return s2.EncodeSnappy(nil, raw), n, nil
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

// countOf counts the items of s that aren't gone.
func (b *batch) countOf(s span) (c counts) {
	for _, it := range b.items[s.from:s.to] {
		if !it.gone {
			c[it.kind]++
		}
	}
	return c
}

// item is the uncompressed bytes of item i. uncompress must have succeeded.
func (b *batch) item(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.items[i-1].end
	}
	return b.plain[start:b.items[i].end]
}

// expire drops the items of s that are older than limit (milliseconds).
func (b *batch) expire(s span, limit int64, account *tally) {
	for i := s.from; i < s.to; i++ {
		if it := &b.items[i]; !it.gone && it.t < limit {
			it.gone = true
			account.drop(TooOld, it.kind, 1)
		}
	}
}

// settle books the items of s that aren't gone: as sent if reason is nil.
func (b *batch) settle(s span, reason *Reason, account *tally) {
	for _, it := range b.items[s.from:s.to] {
		switch {
		case it.gone:
		case reason != nil:
			account.drop(*reason, it.kind, 1)
		default:
			account.sent[it.kind]++
			account.highestSent = max(account.highestSent, it.t)
		}
	}
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

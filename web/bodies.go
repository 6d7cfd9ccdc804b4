package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxBodyBytes is how much of all remote-write requests together is held before they are complete.
	maxBodyBytes = 64 << 20
	// bodyChunk is how much is read at once, and bodyPause how long that may take: a sender that is
	// slower is cut off.
	bodyChunk = 64 << 10
	bodyPause = 10 * time.Second
)

var (
	errBodyTooLarge = errors.New("request is too large")
	errBodiesFull   = errors.New("too many requests are being received")
)

// bodies is the pool of bytes that bodies being read are taken from.
type bodies struct {
	held atomic.Int64
	most int64
}

// body is one request's, in chunks: only what has arrived takes memory.
type body struct {
	pool   *bodies
	chunks [][]byte
	size   int64
}

// read takes a body of at most limit bytes. Release it, also after an error: errBodyTooLarge,
// errBodiesFull, or that of the connection.
func (p *bodies) read(w http.ResponseWriter, r *http.Request, limit int64) (*body, error) {
	b := &body{pool: p}
	control := http.NewResponseController(w)
	for {
		// Not every writer has deadlines; the server's own holds then.
		_ = control.SetReadDeadline(time.Now().Add(bodyPause))
		chunk := make([]byte, min(bodyChunk, limit-b.size+1))
		if p.held.Add(int64(len(chunk))) > p.most {
			p.held.Add(-int64(len(chunk)))
			return b, errBodiesFull
		}
		n, err := fill(chunk, r.Body)
		p.held.Add(int64(n - len(chunk)))
		b.chunks, b.size = append(b.chunks, chunk[:n]), b.size+int64(n)
		switch {
		case b.size > limit:
			return b, errBodyTooLarge
		case errors.Is(err, io.EOF):
			_ = control.SetReadDeadline(time.Time{})
			return b, nil
		case err != nil:
			return b, fmt.Errorf("read body: %w", err)
		}
	}
}

// fill reads until chunk is full. io.EOF, and no other error, is the end of a whole body.
func fill(chunk []byte, from io.Reader) (n int, err error) {
	for n < len(chunk) && err == nil {
		var more int
		more, err = from.Read(chunk[n:])
		n += more
	}
	return n, err
}

// release gives the bytes back.
func (b *body) release() {
	b.pool.held.Add(-b.size)
	b.chunks, b.size = nil, 0
}

// head is the beginning of the body, enough for the length that snappy writes there.
func (b *body) head() []byte {
	if len(b.chunks) == 0 {
		return nil
	}
	return b.chunks[0]
}

func (b *body) reader() io.Reader {
	readers := make([]io.Reader, len(b.chunks))
	for i, chunk := range b.chunks {
		readers[i] = bytes.NewReader(chunk)
	}
	return io.MultiReader(readers...)
}

package scrape

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxBody is the limit on a body where none is configured. Prometheus has none, and dies of a
	// compressed gigabyte.
	maxBody = 256 << 20
	// maxDrain is what is read of an unwanted rest of a response to keep the connection. More costs
	// more than a new one.
	maxDrain = 64 << 10
	// zstdWindow bounds what a decoder allocates because a target says so; Prometheus' value.
	zstdWindow = 8 << 20
	// Bodies are pooled by capacity, the powers of two from smallestBody to largestBody; larger
	// ones are not kept.
	smallestBody = 12 // 4 KiB
	largestBody  = 25 // 32 MiB
	// packedBytes is how much of a compressed body is read at once: a scrape gives its place up for
	// each read.
	packedBytes = 64 << 10
)

var (
	errBodySizeLimit  = errors.New("body size limit exceeded")
	errZstdNotEnabled = errors.New(`received a zstd-compressed response, but the "zstd-scrape" feature flag is not enabled`)
)

// body is a response's, uncompressed.
type body struct{ bytes []byte }

// bodyPool keeps bodies between scrapes of all targets.
type bodyPool struct {
	classes [largestBody - smallestBody + 1]sync.Pool
}

// get returns an empty body with room for size bytes.
func (p *bodyPool) get(size int) *body {
	class := max(bits.Len(uint(max(size, 1)-1))-smallestBody, 0)
	if class >= len(p.classes) {
		return &body{make([]byte, 0, size)}
	}
	if b, ok := p.classes[class].Get().(*body); ok {
		return b
	}
	return &body{make([]byte, 0, 1<<(class+smallestBody))}
}

// put takes a body back.
func (p *bodyPool) put(b *body) {
	class := bits.Len(uint(cap(b.bytes))) - 1 - smallestBody
	if class >= 0 && class < len(p.classes) {
		b.bytes = b.bytes[:0]
		p.classes[class].Put(b)
	}
}

// read fills a body, of about the expected size, from r. Like Prometheus it refuses a body of just
// limit bytes. Its memory is reserved before it is taken.
func (p *bodyPool) read(r io.Reader, expected int, limit int64, reserved *reservation) (*body, error) {
	b := p.get(expected + 512) // room to see the end without growing
	if err := reserved.take(cap(b.bytes)); err != nil {
		p.put(b)
		return nil, err
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := reserved.take(cap(b.bytes)); err != nil {
				p.put(b)
				return nil, err
			}
			grown := p.get(2 * cap(b.bytes))
			grown.bytes = append(grown.bytes, b.bytes...)
			p.put(b)
			b = grown
		}
		room := b.bytes[len(b.bytes):cap(b.bytes)]
		if left := limit - int64(len(b.bytes)); int64(len(room)) > left {
			room = room[:left]
		}
		n, err := r.Read(room)
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case errors.Is(err, io.EOF) && int64(len(b.bytes)) < limit:
			return b, nil
		case err != nil && !errors.Is(err, io.EOF):
			p.put(b)
			return nil, err
		case int64(len(b.bytes)) >= limit:
			p.put(b)
			return nil, errBodySizeLimit
		}
	}
}

// response is what a target answered.
type response struct {
	*body
	contentType string
}

// fetch asks a target. The body is to be given back to the pool.
func (r *attempt) fetch() (response, error) {
	answer, err := r.ask()
	if err == nil {
		return answer, nil
	}
	if over := r.reserved.cutOff(); over != nil {
		err = over
	}
	return response{}, err
}

func (r *attempt) ask() (response, error) {
	s, t := r.job.options.Shared, r.target
	if t.urlErr != nil {
		return response{}, t.urlErr
	}
	header := r.job.header(t.timeout)
	request := scrapeRequest(t.url, header.Header)
	var answer *http.Response
	var err error
	if wrap := r.job.options.Wrap; wrap != nil {
		transport := r.client.Transport
		if r.direct != nil {
			transport = &redirected{direct: r.direct}
		}
		client := &http.Client{Transport: wrap(transport), CheckRedirect: r.client.CheckRedirect}
		answer, err = client.Do(request.WithContext(r.ctx))
	} else if r.direct != nil {
		answer, err = r.direct.get(r.ctx, request, header)
	} else {
		answer, err = r.client.Do(request.WithContext(r.ctx))
	}
	if err != nil {
		return response{}, err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, answer.Body, maxDrain)
		answer.Body.Close()
	}()
	if answer.StatusCode != http.StatusOK {
		return response{}, fmt.Errorf("server returned HTTP status %s", answer.Status)
	}
	b, err := s.decompress(answer, r, r.loop.bodySize)
	if err != nil {
		return response{}, err
	}
	return response{b, answer.Header.Get("Content-Type")}, nil
}

func (s *Shared) decompress(answer *http.Response, r *attempt, expected int) (*body, error) {
	j, reserved := r.job, &r.reserved
	defer r.turn.end()
	source := &worked{body: answer.Body, turn: &r.turn}
	limit := int64(j.config.BodySizeLimit)
	if limit <= 0 {
		limit = maxBody
	}
	switch answer.Header.Get("Content-Encoding") {
	case "gzip":
		return s.gunzip(source, expected, limit, reserved)
	case "zstd":
		if !j.options.ZstdScrape {
			return nil, errZstdNotEnabled
		}
		return s.unzstd(source, expected, limit, reserved)
	default:
		source.free = freeBytes
		return s.bodies.read(source, expected, limit, reserved)
	}
}

type gzipReader struct {
	buffered *bufio.Reader
	unzipped *gzip.Reader
}

func (s *Shared) gunzip(r io.Reader, expected int, limit int64, reserved *reservation) (*body, error) {
	g, ok := s.gzips.Get().(*gzipReader)
	if !ok {
		g = &gzipReader{bufio.NewReaderSize(nil, packedBytes), new(gzip.Reader)}
	}
	defer func() {
		g.buffered.Reset(nil)
		s.gzips.Put(g)
	}()
	g.buffered.Reset(r)
	if err := g.unzipped.Reset(g.buffered); err != nil {
		return nil, err
	}
	return s.bodies.read(g.unzipped, expected, limit, reserved)
}

type zstdReader struct {
	buffered *bufio.Reader
	unpacked *zstd.Decoder
}

func (s *Shared) unzstd(r io.Reader, expected int, limit int64, reserved *reservation) (*body, error) {
	z, ok := s.zstds.Get().(*zstdReader)
	if !ok {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		z = &zstdReader{bufio.NewReaderSize(nil, packedBytes), d}
	}
	defer func() {
		z.buffered.Reset(nil)
		_ = z.unpacked.Reset(nil)
		s.zstds.Put(z)
	}()
	z.buffered.Reset(r)
	if err := z.unpacked.Reset(z.buffered); err != nil {
		return nil, err
	}
	return s.bodies.read(z.unpacked, expected, limit, reserved)
}

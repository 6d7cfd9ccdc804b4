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
	// maxBody is the limit on a body where none is configured. Prometheus has none, and dies of a compressed gigabyte.
	maxBody = 256 << 20
	// maxDrain is what is read of an unwanted rest of a response to keep the connection. More costs more than a new one.
	maxDrain = 64 << 10
	// zstdWindow bounds what a decoder allocates because a target says so; Prometheus' value.
	zstdWindow = 8 << 20
	// Bodies are pooled by capacity, the powers of two from smallestBody to largestBody; larger ones are not kept.
	smallestBody = 12 // 4 KiB
	largestBody  = 25 // 32 MiB
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

// read fills a body, of about the expected size, from r. Like Prometheus it refuses a body of just limit bytes.
func (p *bodyPool) read(r io.Reader, expected int, limit int64) (*body, error) {
	b := p.get(expected + 512) // room to see the end without growing
	for {
		if len(b.bytes) == cap(b.bytes) {
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
	s, t := r.job.options.Shared, r.target
	if t.urlErr != nil {
		return response{}, t.urlErr
	}
	request := &http.Request{
		Method: http.MethodGet, URL: t.url, Host: t.url.Host, Header: r.job.header(t.timeout), Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	client := r.client.Client
	if r.direct != nil {
		client = &http.Client{Transport: r.direct, CheckRedirect: client.CheckRedirect}
	}
	answer, err := client.Do(request.WithContext(r.ctx))
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
	b, err := s.decompress(answer, r.job, r.loop.bodySize)
	if err != nil {
		return response{}, err
	}
	return response{b, answer.Header.Get("Content-Type")}, nil
}

func (s *Shared) decompress(answer *http.Response, j *job, expected int) (*body, error) {
	limit := int64(j.config.BodySizeLimit)
	if limit <= 0 {
		limit = maxBody
	}
	switch answer.Header.Get("Content-Encoding") {
	case "gzip":
		return s.gunzip(answer.Body, expected, limit)
	case "zstd":
		if !j.options.ZstdScrape {
			return nil, errZstdNotEnabled
		}
		return s.unzstd(answer.Body, expected, limit)
	default:
		return s.bodies.read(answer.Body, expected, limit)
	}
}

type gzipReader struct {
	buffered *bufio.Reader
	unzipped *gzip.Reader
}

func (s *Shared) gunzip(r io.Reader, expected int, limit int64) (*body, error) {
	g, ok := s.gzips.Get().(*gzipReader)
	if !ok {
		g = &gzipReader{bufio.NewReader(nil), new(gzip.Reader)}
	}
	defer func() {
		g.buffered.Reset(nil)
		s.gzips.Put(g)
	}()
	g.buffered.Reset(r)
	if err := g.unzipped.Reset(g.buffered); err != nil {
		return nil, err
	}
	return s.bodies.read(g.unzipped, expected, limit)
}

func (s *Shared) unzstd(r io.Reader, expected int, limit int64) (*body, error) {
	d, ok := s.zstds.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow)); err != nil {
			return nil, err
		}
	}
	defer func() {
		_ = d.Reset(nil)
		s.zstds.Put(d)
	}()
	if err := d.Reset(r); err != nil {
		return nil, err
	}
	return s.bodies.read(d, expected, limit)
}

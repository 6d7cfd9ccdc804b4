package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// ErrNoTarget says that there is no such target, or none any more.
var ErrNoTarget = errors.New("there is no such target")

// Glance is what a target answered to a request that is not a scrape.
type Glance struct {
	// Err is why a scrape with this answer would fail; nil: it would not.
	Err      error
	Status   string
	Header   http.Header
	Duration time.Duration
	// Size is that of the body, unpacked. Samples is how many it has. Parsed: it could be read to
	// its end.
	Size, Samples int
	Parsed        bool
	// Exceeded are the limits that the answer exceeds, in words.
	Exceeded []string
	// Body is the beginning of the body, up to the bytes that were asked for.
	Body []byte
}

// Glance asks a target, which Targets names, with what a scrape would send, and stores nothing. It
// is not a tick. The error is ErrNoTarget, or nil. Any goroutine may call it.
func (s *Scraper) Glance(ctx context.Context, job string, id uint64, most int) (Glance, error) {
	s.mu.Lock()
	p := s.pools[job]
	var l *loop
	if p != nil {
		l = p.loops[id]
	}
	s.mu.Unlock()
	if l == nil {
		return Glance{}, ErrNoTarget
	}
	l.mu.Lock()
	r := &attempt{loop: l, target: l.target, job: l.job, client: l.client}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.target.timeout)
	defer cancel()
	r.reserved = reservation{meter: s.meter, cancel: cancel}
	defer r.reserved.release()
	r.ctx, r.began = ctx, time.Now()
	g := Glance{}
	g.Err = r.glance(&g, most)
	g.Duration = time.Since(r.began)
	return g, nil
}

// glance fills in what came back; the error is why a scrape would fail.
func (r *attempt) glance(g *Glance, most int) error {
	t := r.target
	if t.urlErr != nil {
		return t.urlErr
	}
	request := scrapeRequest(t.url, r.job.header(t.timeout).Clone())
	answer, err := r.client.Do(request.WithContext(r.ctx))
	if err != nil {
		return err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, answer.Body, maxDrain)
		answer.Body.Close()
	}()
	g.Status, g.Header = answer.Status, answer.Header
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("server returned HTTP status %s", answer.Status)
	}
	shared := r.job.options.Shared
	b, err := shared.decompress(answer, r, 0)
	if errors.Is(err, errBodySizeLimit) {
		g.Exceeded = append(g.Exceeded, fmt.Sprintf("body_size_limit %s: the body is larger, so nothing of it is kept.", r.job.config.BodySizeLimit))
	}
	if err != nil {
		return err
	}
	defer shared.bodies.put(b)
	g.Size = len(b.bytes)
	if g.Samples, err = r.countSamples(b.bytes, answer.Header.Get("Content-Type")); err != nil {
		return err
	}
	g.Parsed = true
	g.Body = append(g.Body, b.bytes[:min(len(b.bytes), most)]...)
	if limit := r.job.config.SampleLimit; limit > 0 && uint(g.Samples) > limit { //nolint:gosec // a count
		g.Exceeded = append(g.Exceeded, fmt.Sprintf("sample_limit %d: there are %d samples before metric_relabel_configs.", limit, g.Samples))
	}
	return nil
}

// countSamples reads a body to its end.
func (r *attempt) countSamples(body []byte, contentType string) (n int, err error) {
	in := &ingester{}
	in.job, in.target = r.job, r.target
	parser, err := in.parser(body, contentType)
	if parser == nil {
		return 0, err
	}
	var ls labels.Labels
	for {
		entry, err := parser.Next()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case entry == textparse.EntrySeries || entry == textparse.EntryHistogram:
			parser.Labels(&ls)
			n++
		}
	}
}

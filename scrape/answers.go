package scrape

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/prometheus/discovery"
)

// deepestClient is how many structs and pointers lie between a discoverer and its HTTP client at most.
const deepestClient = 8

// boundAnswers makes the HTTP clients of a discoverer refuse answers that are longer than the
// instance's budget allows. Discoveries make their clients themselves, of their configuration
// alone, so that there is no other way to them than to look for them. payer says whose budget that
// is, at each request; nil: nobody's. It returns how many clients it has found.
func boundAnswers(d discovery.Discoverer, payer func() *meter) (found int) {
	seen := map[*http.Client]bool{}
	visitClients(reflect.ValueOf(d), deepestClient, map[visit]bool{}, func(c *http.Client) {
		if !seen[c] && c != http.DefaultClient {
			seen[c] = true
			next := c.Transport
			if next == nil {
				next = http.DefaultTransport
			}
			c.Transport = &boundTransport{next: next, payer: payer}
		}
	})
	return len(seen)
}

// visit is a value that was looked into.
type visit struct {
	at uintptr
	t  reflect.Type
}

var (
	clientType  = reflect.TypeFor[http.Client]()
	libraryCode = []string{"log/slog", "sync", "context", "regexp", "net", "crypto/", "time", "github.com/prometheus/client_golang/"}
)

// visitClients calls found with every client that can be reached from v.
func visitClients(v reflect.Value, depth int, visited map[visit]bool, found func(*http.Client)) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			visitClients(v.Elem(), depth, visited, found)
		}
	case reflect.Pointer:
		at := visit{v.Pointer(), v.Type()}
		if v.IsNil() || depth == 0 || visited[at] {
			return
		}
		visited[at] = true
		visitClients(v.Elem(), depth-1, visited, found)
	case reflect.Struct:
		if v.Type() == clientType {
			if v.CanAddr() {
				found((*http.Client)(v.Addr().UnsafePointer()))
			}
			return
		}
		for _, path := range libraryCode {
			if strings.HasPrefix(v.Type().PkgPath(), path) && v.Type().PkgPath() != "net/http" {
				return
			}
		}
		for i := range v.NumField() {
			visitClients(v.Field(i), depth, visited, found)
		}
	}
}

// boundTransport refuses answers that are too long.
type boundTransport struct {
	next  http.RoundTripper
	payer func() *meter
}

// RoundTrip implements http.RoundTripper.
func (t *boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	m := t.payer()
	if m == nil {
		return t.next.RoundTrip(r)
	}
	if over := m.cpu(time.Now()); over != nil {
		m.note(over, time.Now())
		return nil, over
	}
	ctx, cancel := context.WithCancel(r.Context())
	answer, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	answer.Body = &boundBody{ReadCloser: answer.Body, meter: m, reserved: reservation{meter: m, cancel: cancel}}
	return answer, nil
}

// CloseIdleConnections is what http.Client looks for.
func (t *boundTransport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// boundBody is an answer whose bytes are counted.
type boundBody struct {
	io.ReadCloser
	meter    *meter
	reserved reservation
	length   int64
	err      error
}

// Read implements io.Reader.
func (b *boundBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.length += int64(n)
	b.meter.charge(time.Duration(n)*costOfDiscovery, time.Now())
	over := b.reserved.take(n)
	if limit := b.meter.inForce().DiscoveryBytes; limit > 0 && b.length > limit {
		over = exceeded(overDiscovery, "an answer to a service discovery is longer than %d bytes", limit)
	}
	if over != nil {
		b.err = over
		b.meter.note(over, time.Now())
		return 0, over
	}
	return n, err
}

// Close implements io.Closer.
func (b *boundBody) Close() error {
	b.reserved.release()
	err := b.ReadCloser.Close()
	b.reserved.cancel()
	return err
}

var _ io.ReadCloser = (*boundBody)(nil)

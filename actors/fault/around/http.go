package around

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"

	"github.com/ringmaster-agent/ringmaster/actors/fault"
)

// Receivers is put around the transport of requests to receivers; nil without rules.
func Receivers(rules *fault.Registry) func(http.RoundTripper) http.RoundTripper {
	return transports(rules, fault.RemoteWrite, "")
}

// Targets is put around the transport of requests to the targets of a unit; nil without rules.
func Targets(rules *fault.Registry, unit string) func(http.RoundTripper) http.RoundTripper {
	return transports(rules, fault.Scrape, unit)
}

func transports(rules *fault.Registry, p fault.Point, unit string) func(http.RoundTripper) http.RoundTripper {
	if rules == nil {
		return nil
	}
	return func(next http.RoundTripper) http.RoundTripper { return &transport{next, rules, p, unit} }
}

type transport struct {
	next  http.RoundTripper
	rules *fault.Registry
	point fault.Point
	unit  string
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.rules.Watches(t.point) {
		return t.next.RoundTrip(r)
	}
	v := t.rules.Decide(fault.Event{Point: t.point, Unit: t.unit, Peer: r.URL.Host})
	switch v.Action {
	case "":
		return t.next.RoundTrip(r)
	case fault.Panic:
		closeBody(r)
		panic(v.Err)
	case fault.Hang:
		closeBody(r)
		return nil, hang(r.Context(), v)
	case fault.Delay:
		if err := delay(r.Context(), v, v.Delay); err != nil {
			closeBody(r)
			return nil, err
		}
		return t.next.RoundTrip(r)
	case fault.Refuse, fault.Reset:
		closeBody(r)
		return nil, fmt.Errorf("%w (fault %q)", map[fault.Action]syscall.Errno{fault.Refuse: syscall.ECONNREFUSED, fault.Reset: syscall.ECONNRESET}[v.Action], v.Rule)
	case fault.Status:
		closeBody(r)
		return answer(r, v.Status, "injected by fault "+strconv.Quote(v.Rule)), nil
	case fault.Redirect:
		closeBody(r)
		redirect := answer(r, http.StatusFound, "")
		redirect.Header.Set("Location", r.URL.String())
		return redirect, nil
	case fault.Garbage:
		closeBody(r)
		return answer(r, http.StatusOK, "{ \x00 this is no metric\n"), nil
	}
	return t.after(r, v)
}

// after spoils the answer to a request that is made.
func (t *transport) after(r *http.Request, v fault.Verdict) (*http.Response, error) {
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch v.Action {
	case fault.LoseAnswer:
		_ = response.Body.Close()
		return nil, fmt.Errorf("%w (fault %q)", io.ErrUnexpectedEOF, v.Rule)
	case fault.Half:
		whole, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), broken{}))
	}
	return response, nil
}

// broken is where a body ends that has more to come.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

func answer(r *http.Request, status int, text string) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain; version=0.0.4"}}, Body: io.NopCloser(bytes.NewReader([]byte(text))),
		ContentLength: int64(len(text)), Request: r,
	}
}

// CloseIdleConnections passes on what an http.Client asks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
)

// writeSamples takes remote write (1.0 and 2.0) into a running instance's log. Negotiation of
// protocol and encoding and the answer's headers are those of Prometheus' own library; so are its
// errors: plain text, as senders expect and log it.
func (s *Server) writeSamples(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	appendable, ok := s.opts.Instances.Appendable(name)
	if !ok {
		s.writeElsewhere(w, r, name)
		return
	}
	if r.ContentLength > s.opts.MaxWriteBytes {
		refuseBody(w, errBodyTooLarge, s.opts.MaxWriteBytes)
		return
	}
	// The body is read before a place is taken, so that slow senders can't keep the others out.
	body, err := s.bodies.read(w, r, s.opts.MaxWriteBytes)
	defer body.release()
	if err != nil {
		refuseBody(w, err, s.opts.MaxWriteBytes)
		return
	}
	if n, err := snappy.DecodedLen(body.head()); err == nil && int64(n) > s.opts.MaxWriteBytes {
		failAPI(w, http.StatusRequestEntityTooLarge, problem{Error: fmt.Sprintf("request is larger than %d bytes after decompression", s.opts.MaxWriteBytes)})
		return
	}
	select {
	case s.writes <- struct{}{}:
		defer func() { <-s.writes }()
	case <-r.Context().Done():
		return
	}
	r.Body = io.NopCloser(body.reader())
	if canonical, ok := canonicalType(r.Header.Get("Content-Type")); ok {
		r.Header.Set("Content-Type", canonical)
	}
	accepted := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	remoteapi.NewWriteHandler(&ingest{
		appendable: appendable,
		log:        s.log,
		instance:   name,
		now:        s.opts.Now,
	}, accepted).ServeHTTP(w, r)
}

// canonicalType is a media type as Prometheus' library reads it, which takes a blank or a quote
// that others write for a part of a name, and what it doesn't understand for protocol 1.0. In 1.0 a
// body of 2.0 is an empty request.
func canonicalType(header string) (string, bool) {
	media, parameters, err := mime.ParseMediaType(header)
	message, named := parameters["proto"]
	if err != nil || !named {
		return "", false
	}
	return media + ";proto=" + message, true
}

// refuseBody answers a sender whose body was not read to its end.
func refuseBody(w http.ResponseWriter, err error, limit int64) {
	switch {
	case errors.Is(err, errBodyTooLarge):
		failAPI(w, http.StatusRequestEntityTooLarge, problem{Error: fmt.Sprintf("request is larger than %d bytes", limit)})
	case errors.Is(err, errBodiesFull):
		because(w, refusedPool)
		w.Header().Set("Retry-After", "1")
		failAPI(w, http.StatusServiceUnavailable, problem{Error: err.Error()})
	case errors.Is(err, os.ErrDeadlineExceeded):
		because(w, refusedSlow)
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
	default:
		failAPI(w, http.StatusBadRequest, problem{Error: err.Error()})
	}
}

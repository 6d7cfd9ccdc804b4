package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
)

// writeSamples takes remote write (1.0 and 2.0) into a running instance's log. Negotiation of protocol and encoding and
// the answer's headers are those of Prometheus' own library; so are its errors: plain text, as senders expect and log it.
func (s *Server) writeSamples(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	appendable, ok := s.opts.Instances.Appendable(name)
	if !ok {
		failAPI(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("no instance %q is running here", name)})
		return
	}
	// The body is read before a place is taken, so that slow senders can't keep the others out.
	body, ok := s.writeBody(w, r)
	if !ok {
		return
	}
	select {
	case s.writes <- struct{}{}:
		defer func() { <-s.writes }()
	case <-r.Context().Done():
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	accepted := remoteapi.MessageTypes{remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType}
	remoteapi.NewWriteHandler(&ingest{
		appendable: appendable,
		log:        s.log,
		instance:   name,
		now:        s.opts.Now,
	}, accepted).ServeHTTP(w, r)
}

// writeBody reads a compressed body whose size, before and after decompression, is within the cap. What is not snappy is
// left for the protocol's handler to refuse.
func (s *Server) writeBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	limit := s.opts.MaxWriteBytes
	tooLarge := problem{Error: fmt.Sprintf("request is larger than %d bytes", limit)}
	if r.ContentLength > limit {
		failAPI(w, http.StatusRequestEntityTooLarge, tooLarge)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if errors.As(err, new(*http.MaxBytesError)) {
		failAPI(w, http.StatusRequestEntityTooLarge, tooLarge)
		return nil, false
	}
	if err != nil {
		failAPI(w, http.StatusBadRequest, problem{Error: "read body: " + err.Error()})
		return nil, false
	}
	if n, err := snappy.DecodedLen(body); err == nil && int64(n) > limit {
		tooLarge.Error = fmt.Sprintf("request is larger than %d bytes after decompression", limit)
		failAPI(w, http.StatusRequestEntityTooLarge, tooLarge)
		return nil, false
	}
	return body, true
}

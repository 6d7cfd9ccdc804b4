package web

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/redact"
)

// maxScrapesNow bounds how many targets are asked at the same time because people want to see what
// they answer.
const maxScrapesNow = 2

// maxShownBody is how much of a body is shown.
const maxShownBody = 32 << 10

// Answer is what a target answered when a person wanted to see it. Nothing of it is stored.
type Answer struct {
	// Error is why the answer would count as a failed scrape. Empty: it would not.
	Error  string `json:"error,omitempty"`
	Status string `json:"status,omitempty"`
	// Headers are those that may be shown.
	Headers []AnswerHeader `json:"headers,omitempty"`
	Seconds float64        `json:"seconds"`
	// Bytes is the size of the body, unpacked. Samples is how many it has; Parsed: it is one that
	// can be read to its end.
	Bytes   uint64 `json:"bytes"`
	Samples int    `json:"samples"`
	Parsed  bool   `json:"parsed"`
	// Limits are those that the answer exceeds, in words.
	Limits []string `json:"limits,omitempty"`
	// Body is the beginning of a body that was parsed. What is no metrics is not shown: a config
	// may name any address that the node reaches.
	Body string `json:"body,omitempty"`
	// Note says what is left out of the body.
	Note string `json:"note,omitempty"`
}

// AnswerHeader is one header of an answer.
type AnswerHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// scrapeNow asks a target of this node.
func (s *Server) scrapeNow(r *http.Request, t *clusterTarget) (*Answer, *refusal) {
	select {
	case s.scraping <- struct{}{}:
		defer func() { <-s.scraping }()
	default:
		return nil, &refusal{http.StatusTooManyRequests, "other targets are being asked at the moment; try again in a few seconds"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.PeerTimeout)
	defer cancel()
	s.log.Info("target is scraped for a person to see", zap.String("instance", t.Instance), zap.String("target", t.Endpoint))
	answer, err := s.opts.Inspector.Scrape(ctx, t.Target)
	if err != nil {
		return nil, refuseWith(http.StatusInternalServerError, "scrape target", err)
	}
	answer.Error = redact.Text(answer.Error)
	for i, h := range answer.Headers {
		answer.Headers[i].Value = redact.Header(h.Name, h.Value)
	}
	switch {
	case !answer.Parsed:
		answer.Body = ""
		if answer.Bytes > 0 {
			answer.Note = "The body is not shown, since it is no metrics."
		}
	case len(answer.Body) > maxShownBody:
		answer.Body = answer.Body[:maxShownBody]
		answer.Note = "This is the beginning of the body."
	}
	answer.Body = redact.Text(answer.Body)
	return &answer, nil
}

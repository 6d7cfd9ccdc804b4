package scrape

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// trace begins the span of a scrape, if there is a tracer and it samples this one.
func (s *Scraper) trace(r *attempt) {
	if s.options.Tracer == nil {
		return
	}
	ctx, span := s.options.Tracer.Start(r.ctx, "scrape")
	if !span.IsRecording() {
		return
	}
	r.ctx, r.span = ctx, span
	span.SetAttributes(attribute.String("instance_name", s.options.Instance), attribute.String("job", r.job.config.JobName),
		attribute.String("target", r.target.address()), attribute.Int64("tick", r.tick))
}

// traced ends the span of a scrape. One that was aborted, because its config or the agent ends, says
// nothing about the target.
func (r *attempt) traced(o *outcome, aborted bool) {
	if r.span == nil {
		return
	}
	r.span.SetAttributes(attribute.Int("samples", o.scraped), attribute.Int("body_bytes", o.bytes))
	switch {
	case aborted:
		r.span.SetAttributes(attribute.Bool("aborted", true))
	case o.err != nil:
		r.span.SetStatus(codes.Error, o.err.Error())
	}
	r.span.End()
	r.span = nil
}

// traceCommit begins the span of a scrape's commit; nil if the scrape is not traced.
func (s *Scraper) traceCommit(r *attempt) trace.Span {
	if r.span == nil {
		return nil
	}
	_, span := s.options.Tracer.Start(r.ctx, "commit")
	return span
}

// tracedCommit ends it. A commit that was called off is no error.
func tracedCommit(span trace.Span, samples int, committed bool, err error) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.Int("samples", samples), attribute.Bool("committed", committed))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

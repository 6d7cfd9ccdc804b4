package remotewrite

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traced makes one request with a span, which the receiver is told in the header traceparent. A
// common request of several instances has the span of one of them.
func (s *sender) traced(ctx context.Context, b *batch, body []byte, attempt int) answer {
	ctx, span := s.tracer.Start(ctx, "remote write", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	a := s.request(ctx, b, body, attempt)
	if !span.IsRecording() {
		return a
	}
	span.SetAttributes(attribute.String("instance_name", s.instance), attribute.String("remote_name", s.name), attribute.Int("items", len(b.items)),
		attribute.Int("http.request.body.size", len(body)), attribute.Int("http.request.resend_count", attempt),
		attribute.Int("http.response.status_code", a.status))
	if a.problem != "" {
		span.SetStatus(codes.Error, a.problem)
	}
	return a
}

package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracer is what makes the spans of a pipeline; nil if nothing is traced.
func (f *Factory) tracer(p *Pipeline) trace.Tracer {
	if f.options.Tracer == nil {
		return nil
	}
	return scrubbedTracer{f.options.Tracer, &p.scrub}
}

// scrubbedTracer keeps the secrets of a config out of its spans: out of the errors, and out of what
// they are about.
type scrubbedTracer struct {
	trace.Tracer
	scrub *scrubber
}

// Start implements trace.Tracer.
func (t scrubbedTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.Tracer.Start(ctx, name, options...)
	return ctx, scrubbedSpan{span, t.scrub}
}

type scrubbedSpan struct {
	trace.Span
	scrub *scrubber
}

// SetStatus implements trace.Span.
func (s scrubbedSpan) SetStatus(code codes.Code, description string) {
	s.Span.SetStatus(code, s.scrub.text(description))
}

// SetAttributes implements trace.Span.
func (s scrubbedSpan) SetAttributes(all ...attribute.KeyValue) {
	for i, a := range all {
		if a.Value.Type() == attribute.STRING {
			all[i].Value = attribute.StringValue(s.scrub.text(a.Value.AsString()))
		}
	}
	s.Span.SetAttributes(all...)
}

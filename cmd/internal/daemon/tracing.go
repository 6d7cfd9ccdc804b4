package daemon

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	promcommon "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	tracesdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
)

const (
	// tracerName is the instrumentation scope of all spans.
	tracerName = "github.com/ringmaster-agent/ringmaster"
	// lastSpans bounds how long the end of the process waits for the last spans; Prometheus' value.
	lastSpans = 5 * time.Second
)

// openTracing sends spans to where the block tracing says, and does nothing without it.
func (d *daemon) openTracing(ctx context.Context) (func(), error) {
	c := d.settings.agent().Tracing
	if c == nil {
		return func() {}, nil
	}
	client, err := tracingClient(c)
	if err != nil {
		return nil, fmt.Errorf("apply tracing: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("apply tracing: %w", err)
	}
	service := d.settings.agent().Metrics.ScrapingService
	provider := tracesdk.NewTracerProvider(
		tracesdk.WithBatcher(&spanExporter{SpanExporter: exporter, logger: d.Logger.Logger}),
		tracesdk.WithSampler(tracesdk.ParentBased(tracesdk.TraceIDRatioBased(c.SamplingFraction))),
		tracesdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "ringmaster"),
			attribute.String("service.version", d.Version),
			attribute.String("service.instance.id", nodeName(service.Lifecycler, d.Hostname)),
		)),
	)
	d.tracer = provider.Tracer(tracerName)
	d.Logger.Info("tracing", zap.String("endpoint", c.Endpoint), zap.Float64("sampling_fraction", c.SamplingFraction))
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			d.Logger.Warn("the last spans were not sent", zap.Error(err))
		}
	}, nil
}

// tracingClient speaks OTLP over gRPC or HTTP, with the settings that Prometheus has for it.
func tracingClient(c *promconfig.TracingConfig) (otlptrace.Client, error) {
	settings, err := promcommon.NewTLSConfig(&c.TLSConfig)
	if err != nil {
		return nil, err
	}
	if c.ClientType == promconfig.TracingClientHTTP {
		options := []otlptracehttp.Option{otlptracehttp.WithEndpoint(c.Endpoint), otlptracehttp.WithHeaders(c.Headers)}
		if c.Insecure {
			options = append(options, otlptracehttp.WithInsecure())
		} else {
			options = append(options, otlptracehttp.WithTLSClientConfig(settings))
		}
		if c.Compression == promconfig.GzipCompression {
			options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		}
		if c.Timeout != 0 {
			options = append(options, otlptracehttp.WithTimeout(time.Duration(c.Timeout)))
		}
		return otlptracehttp.NewClient(options...), nil
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithHeaders(c.Headers)}
	if c.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	} else {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(settings)))
	}
	if c.Compression != "" {
		options = append(options, otlptracegrpc.WithCompressor(c.Compression))
	}
	if c.Timeout != 0 {
		options = append(options, otlptracegrpc.WithTimeout(time.Duration(c.Timeout)))
	}
	return otlptracegrpc.NewClient(options...), nil
}

// spanExporter logs when spans can't be sent, and when they can be again. OpenTelemetry itself tells
// a handler that is the process' and not the agent's.
type spanExporter struct {
	tracesdk.SpanExporter
	logger  *zap.Logger
	failing atomic.Bool
}

// ExportSpans implements tracesdk.SpanExporter. Spans that can't be sent are lost.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []tracesdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch failing := err != nil; {
	case failing == e.failing.Swap(failing):
	case failing:
		e.logger.Warn("spans can't be sent and are lost", zap.Error(err))
	default:
		e.logger.Info("spans are sent again")
	}
	return nil
}

// Package telemetry sets up logs and traces. Nothing that names a person, no
// address and no text, ever enters either: contacts appear as keyed hashes,
// inside job ids.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// NewLogger returns a logger that writes lines to w, as text or JSON, with
// the trace id of the context that a line is logged under.
func NewLogger(w io.Writer, json bool, level slog.Leveler) *slog.Logger {
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	if json {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.New(traced{h})
}

// traced adds the trace id to what another handler writes.
type traced struct{ slog.Handler }

// Handle adds trace_id where the context has one.
func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs keeps the trace id in derived loggers.
func (t traced) WithAttrs(as []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(as)} }

// WithGroup keeps the trace id in derived loggers.
func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }

// Traces makes spans. Without an exporter they are not recorded, but they
// still carry ids, so that ledger, dead letters and log lines name one trace.
type Traces struct{ provider *sdktrace.TracerProvider }

// stopTimeout bounds how long the last spans may take to leave.
const stopTimeout = 3 * time.Second

// OpenTraces exports spans by OTLP over HTTP when the standard environment
// variables name an endpoint.
func OpenTraces(ctx context.Context, service string) (*Traces, error) {
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service)))}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		opts = append(opts, sdktrace.WithSampler(sdktrace.NeverSample()))
		return &Traces{sdktrace.NewTracerProvider(opts...)}, nil
	}
	exp, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	opts = append(opts, sdktrace.WithBatcher(exp), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	return &Traces{sdktrace.NewTracerProvider(opts...)}, nil
}

// Tracer returns the tracer of everything in this process.
func (t *Traces) Tracer() trace.Tracer { return t.provider.Tracer("github.com/carillon-dev/carillon") }

// Close lets the last spans leave.
func (t *Traces) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}

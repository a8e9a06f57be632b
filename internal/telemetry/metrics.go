package telemetry

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Metrics are the figures of a process, for whoever scrapes them.
type Metrics struct {
	provider *sdkmetric.MeterProvider
	registry *prometheus.Registry
}

// OpenMetrics returns metrics that are read by pulling, in Prometheus' format.
func OpenMetrics() (*Metrics, error) {
	reg := prometheus.NewRegistry() // not the library's own, which is one for the process
	exp, err := otelprom.New(otelprom.WithRegisterer(reg), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Metrics{sdkmetric.NewMeterProvider(sdkmetric.WithReader(exp)), reg}, nil
}

// Gauge registers a figure that is taken when it is read. Where take says
// false there is none just now.
func (m *Metrics) Gauge(name, unit, means string, take func(context.Context) (float64, bool)) error {
	_, err := m.meter().Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(means),
		metric.WithFloat64Callback(func(ctx context.Context, o metric.Float64Observer) error {
			if v, ok := take(ctx); ok {
				o.Observe(v)
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("metric %s: %w", name, err)
	}
	return nil
}

// Counter registers a figure that only grows, taken when it is read.
func (m *Metrics) Counter(name, means string, take func() int64) error {
	_, err := m.meter().Int64ObservableCounter(name, metric.WithDescription(means),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(take()); return nil }))
	if err != nil {
		return fmt.Errorf("metric %s: %w", name, err)
	}
	return nil
}

// CounterBy registers a figure that only grows, one for each value of a label,
// taken when they are read. There must be few values.
func (m *Metrics) CounterBy(name, means, label string, take func() map[string]int64) error {
	_, err := m.meter().Int64ObservableCounter(name, metric.WithDescription(means),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for value, n := range take() {
				o.Observe(n, metric.WithAttributes(attribute.String(label, value)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("metric %s: %w", name, err)
	}
	return nil
}

func (m *Metrics) meter() metric.Meter {
	return m.provider.Meter("github.com/carillon-dev/carillon")
}

// Handler answers who scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

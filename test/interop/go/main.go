// The stock Go SDK sends what interop.test.ts expects, and ends; an error of any exporter ends it with code 1.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	ctx := context.Background()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(must))
	spans, points, records := exporters(ctx)

	// A queue that holds all, since Go's drops what comes faster than it is sent.
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans, sdktrace.WithMaxQueueSize(4096)))
	tracer := traces.Tracer("interop")
	start := time.Now().Add(-10 * time.Second)
	for n := range 600 {
		_, span := tracer.Start(ctx, "GET /orders", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(start))
		if n%100 == 0 {
			span.SetStatus(codes.Error, "no more orders")
		}
		span.End(trace.WithTimestamp(start.Add(250 * time.Millisecond)))
	}
	must(traces.Shutdown(ctx))

	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points)))
	meter := metrics.Meter("interop")
	orders, err := meter.Int64Counter("interop.orders", metric.WithUnit("{order}"))
	must(err)
	for shop, count := range map[string]int64{"north": 10, "south": 20, "west": 30} {
		orders.Add(ctx, count, metric.WithAttributes(attribute.String("shop", shop)))
	}
	wait, err := meter.Float64Histogram("interop.wait", metric.WithUnit("s"))
	must(err)
	for _, seconds := range []float64{0.25, 0.5, 2} {
		wait.Record(ctx, seconds)
	}
	_, err = meter.Int64ObservableGauge("interop.queue", metric.WithInt64Callback(
		func(_ context.Context, queue metric.Int64Observer) error {
			queue.Observe(7)
			return nil
		}))
	must(err)
	must(metrics.Shutdown(ctx))

	logs := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(records)))
	logger := logs.Logger("interop")
	for n := range 300 {
		var record log.Record
		record.SetSeverity(log.SeverityInfo)
		if n%3 == 0 {
			record.SetSeverity(log.SeverityError)
		}
		record.SetBody(attribute.StringValue(fmt.Sprintf("order %d", n)))
		record.AddAttributes(attribute.Int("order", n))
		logger.Emit(ctx, record)
	}
	must(logs.Shutdown(ctx))
}

// Endpoint and compression come from the environment; the protocol is a choice of packages in Go.
func exporters(ctx context.Context) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter) {
	// A program that names its exporter does not look at the protocol.
	if os.Getenv("INTEROP_EXPORTER") == "grpc" || os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
		spans, err := otlptracegrpc.New(ctx)
		must(err)
		points, err := otlpmetricgrpc.New(ctx)
		must(err)
		records, err := otlploggrpc.New(ctx)
		must(err)
		return spans, points, records
	}
	spans, err := otlptracehttp.New(ctx)
	must(err)
	points, err := otlpmetrichttp.New(ctx)
	must(err)
	records, err := otlploghttp.New(ctx)
	must(err)
	return spans, points, records
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

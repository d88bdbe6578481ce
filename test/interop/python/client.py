"""The stock Python SDK sends what `interop.test.ts` expects, and ends. Its exporters log what went wrong to stderr."""

import logging
import os
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

# A program that names its exporter does not look at the protocol.
if "grpc" in (os.environ.get("INTEROP_EXPORTER"), os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]):
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

logging.basicConfig(level=logging.WARNING)

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = traces.get_tracer("interop")
start = time.time_ns() - 10_000_000_000
for n in range(600):
    span = tracer.start_span("GET /orders", kind=SpanKind.SERVER, start_time=start)
    if n % 100 == 0:
        span.set_status(Status(StatusCode.ERROR, "no more orders"))
    span.end(start + 250_000_000)
traces.shutdown()

metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
meter = metrics.get_meter("interop")
orders = meter.create_counter("interop.orders", unit="{order}")
for shop, count in {"north": 10, "south": 20, "west": 30}.items():
    orders.add(count, {"shop": shop})
wait = meter.create_histogram("interop.wait", unit="s")
for seconds in (0.25, 0.5, 2):
    wait.record(seconds)
meter.create_observable_gauge("interop.queue", [lambda _: [Observation(7)]])
metrics.shutdown()

logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logger = logs.get_logger("interop")
for n in range(300):
    severity = SeverityNumber.ERROR if n % 3 == 0 else SeverityNumber.INFO
    logger.emit(LogRecord(severity_number=severity, body=f"order {n}", attributes={"order": n}))
logs.shutdown()

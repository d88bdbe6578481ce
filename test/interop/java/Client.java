// The stock Java SDK, configured by its environment variables alone, sends what interop.test.ts expects, and ends. It
// logs what went wrong to stderr.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.Aggregation;
import io.opentelemetry.sdk.metrics.InstrumentSelector;
import io.opentelemetry.sdk.metrics.View;
import java.time.Instant;
import java.util.Map;

public class Client {
  public static void main(String[] args) {
    try (var sdk = AutoConfiguredOpenTelemetrySdk.builder()
        // It would close a second time what `try` closes.
        .disableShutdownHook()
        // The SDK's metrics of itself depend on its threads, and would make the number of points a matter of luck.
        .addMeterProviderCustomizer((meters, config) -> meters
            .registerView(InstrumentSelector.builder().setName("*").build(),
                View.builder().setAggregation(Aggregation.drop()).build())
            .registerView(InstrumentSelector.builder().setName("interop.*").build(), View.builder().build()))
        .build().getOpenTelemetrySdk()) {
      var tracer = sdk.getTracer("interop");
      var start = Instant.now().minusSeconds(10);
      for (int n = 0; n < 600; n++) {
        var span = tracer.spanBuilder("GET /orders").setSpanKind(SpanKind.SERVER).setStartTimestamp(start).startSpan();
        if (n % 100 == 0) span.setStatus(StatusCode.ERROR, "no more orders");
        span.end(start.plusMillis(250));
      }

      var meter = sdk.getMeter("interop");
      var orders = meter.counterBuilder("interop.orders").setUnit("{order}").build();
      Map.of("north", 10, "south", 20, "west", 30)
          .forEach((shop, count) -> orders.add(count, Attributes.of(AttributeKey.stringKey("shop"), shop)));
      var wait = meter.histogramBuilder("interop.wait").setUnit("s").build();
      for (double seconds : new double[] {0.25, 0.5, 2}) wait.record(seconds);
      meter.gaugeBuilder("interop.queue").ofLongs().buildWithCallback(queue -> queue.record(7));

      var logger = sdk.getLogsBridge().get("interop");
      for (int n = 0; n < 300; n++) {
        var severity = n % 3 == 0 ? Severity.ERROR : Severity.INFO;
        logger.logRecordBuilder().setSeverity(severity).setBody("order " + n)
            .setAttribute(AttributeKey.longKey("order"), (long) n).emit();
      }
    }
  }
}

// An application with Micrometer, as Spring Boot has it: sends what micrometer.test.ts expects by its OTLP registry, and ends.
//
//   java Orders.java URL cumulative|delta

import io.micrometer.core.instrument.Clock;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Timer;
import io.micrometer.registry.otlp.AggregationTemporality;
import io.micrometer.registry.otlp.OtlpConfig;
import io.micrometer.registry.otlp.OtlpMeterRegistry;
import java.time.Duration;
import java.util.Map;

public class Orders {
  public static void main(String[] args) throws Exception {
    var config = new OtlpConfig() {
      public String get(String key) {
        return null;
      }

      public String url() {
        return args[0];
      }

      public Duration step() {
        return Duration.ofSeconds(1);
      }

      public AggregationTemporality aggregationTemporality() {
        return AggregationTemporality.valueOf(args[1].toUpperCase());
      }

      public Map<String, String> resourceAttributes() {
        return Map.of("service.name", "shop", "service.instance.id", args[1]);
      }
    };
    var registry = new OtlpMeterRegistry(config, Clock.SYSTEM);
    var north = Counter.builder("orders").baseUnit("orders").tag("shop", "north").register(registry);
    var wait = Timer.builder("wait").serviceLevelObjectives(Duration.ofMillis(100), Duration.ofSeconds(1))
        .register(registry);
    var size = DistributionSummary.builder("size").baseUnit("bytes").register(registry);
    Gauge.builder("queue", () -> 7).register(registry);
    // Over several steps, so that several requests are sent.
    for (int n = 0; n < 30; n++) {
      north.increment(2);
      wait.record(Duration.ofMillis(n % 3 == 0 ? 50 : 500));
      size.record(1000);
      Thread.sleep(100);
    }
    registry.close();
  }
}

// grpc-java over Netty in the ways that applications use it, without an SDK in between. Prints the number of calls by their code.
//
//   Calls HOST:PORT FOLDER SCENARIO

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

public final class Calls {
  private static final Map<Integer, Integer> CODES = new ConcurrentSkipListMap<>();
  private static final String NAME = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

  /** Messages are bytes already. */
  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        }
      };

  private static final MethodDescriptor<byte[], byte[]> EXPORT =
      MethodDescriptor.newBuilder(RAW, RAW).setFullMethodName(NAME).setType(MethodDescriptor.MethodType.UNARY).build();

  private static void count(Status status) {
    CODES.merge(status.getCode().value(), 1, Integer::sum);
  }

  private static void call(Channel channel, byte[] message, CallOptions options, long cutAfterMs) throws Exception {
    var call = channel.newCall(EXPORT, options);
    var answer = ClientCalls.futureUnaryCall(call, message);
    if (cutAfterMs >= 0) {
      Thread.sleep(cutAfterMs);
      answer.cancel(true);
    }
    try {
      answer.get();
      count(Status.OK);
    } catch (CancellationException cancelled) {
      count(Status.CANCELLED);
    } catch (ExecutionException failed) {
      count(((StatusRuntimeException) failed.getCause()).getStatus());
    }
  }

  private interface Each {
    void run() throws Exception;
  }

  private static void atOnce(int times, int workers, Each each) throws Exception {
    try (var closing = new AutoClosing()) {
      var turns = new Semaphore(times);
      for (int i = 0; i < workers; i++)
        closing.pool.submit(
            () -> {
              while (turns.tryAcquire()) each.run();
              return null;
            });
    }
  }

  private static final class AutoClosing implements AutoCloseable {
    final java.util.concurrent.ExecutorService pool = Executors.newCachedThreadPool();

    @Override
    public void close() throws InterruptedException {
      pool.shutdown();
      pool.awaitTermination(1, TimeUnit.MINUTES);
    }
  }

  public static void main(String[] args) throws Exception {
    var folder = Path.of(args[1]);
    var scenario = args[2];
    var builder = NettyChannelBuilder.forTarget(args[0]).disableRetry();
    if (!scenario.equals("tls")) builder.usePlaintext();
    ManagedChannel channel = builder.build();
    var one = Files.readAllBytes(folder.resolve("one"));
    var four = Files.readAllBytes(folder.resolve("four"));
    var plain = CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS);
    switch (scenario) {
      case "many" -> atOnce(2000, 300, () -> call(channel, one, plain, -1));
      case "sizes" -> {
        call(channel, Files.readAllBytes(folder.resolve("mib")), plain, -1);
        call(channel, four, plain, -1);
        call(channel, four, plain.withCompression("gzip"), -1);
        call(channel, Files.readAllBytes(folder.resolve("over")), plain, -1);
      }
      case "deadline" -> {
        atOnce(20, 5, () -> call(channel, four, CallOptions.DEFAULT.withDeadlineAfter(2, TimeUnit.MILLISECONDS), -1));
        call(channel, one, plain, -1);
      }
      case "cancel" -> {
        atOnce(60, 10, () -> call(channel, four, plain, ThreadLocalRandom.current().nextLong(10)));
        call(channel, one, plain, -1);
      }
      case "metadata" -> {
        for (int size : new int[] {8000, 20000}) {
          var fields = new Metadata();
          fields.put(Metadata.Key.of("x-large", Metadata.ASCII_STRING_MARSHALLER), "a".repeat(size));
          call(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(fields)), one, plain, -1);
        }
        call(channel, one, plain, -1);
      }
      case "going" -> {
        long end = System.nanoTime() + 4_000_000_000L;
        atOnce(
            8,
            8,
            () -> {
              while (System.nanoTime() < end) {
                call(channel, one, plain, -1);
                Thread.sleep(1);
              }
            });
      }
      case "tls" -> call(channel, one, plain, -1);
      default -> throw new IllegalArgumentException(scenario);
    }
    channel.shutdownNow();
    System.out.println(
        CODES.entrySet().stream()
            .map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue())
            .collect(Collectors.joining(",", "{", "}")));
  }
}

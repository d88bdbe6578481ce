// An application that is given faults, in Java. See node.mjs for what it does.

import com.sun.net.httpserver.HttpServer;
import java.io.RandomAccessFile;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Instant;
import java.util.ArrayList;
import java.util.concurrent.Executors;

public class App {
  static final String DEPENDENCY = System.getenv("DEPENDENCY");
  static final String FOLDER = System.getenv("FOLDER");
  static final HttpClient client = HttpClient.newHttpClient();
  static final Object lock = new Object();
  static volatile long sink = 0;
  static long rounds = 100_000;

  static String now() {
    Instant now = Instant.now();
    return Long.toString(now.getEpochSecond() * 1_000_000_000L + now.getNano());
  }

  static void compute(long ms) {
    long sum = sink;
    for (long i = 0; i < ms * rounds; i++) sum = sum * 31 + i;
    sink = sum;
  }

  static void hold(int ms) throws Exception {
    synchronized (lock) {
      Thread.sleep(ms);
    }
  }

  static void fault(String name) throws Exception {
    switch (name) {
      case "own_cpu" -> compute(60);
      case "lock" -> {
        Thread holder = new Thread(() -> {
          try {
            hold(60);
          } catch (Exception ignored) {
          }
        });
        holder.start();
        Thread.sleep(1);
        synchronized (lock) {
          sink++;
        }
        holder.join();
      }
      case "gc" -> {
        var kept = new ArrayList<byte[]>();
        for (int i = 0; i < 120_000; i++) kept.add(new byte[512]);
        sink += kept.size();
        System.gc();
      }
      case "disk" -> {
        try (var file = new RandomAccessFile(FOLDER + "/java.data", "rwd")) {
          byte[] bytes = new byte[1 << 20];
          for (long end = System.nanoTime() + 80_000_000; System.nanoTime() < end; ) {
            file.seek(0);
            file.write(bytes);
          }
        }
      }
      default -> {}
    }
  }

  public static void main(String[] args) throws Exception {
    var threads = java.lang.management.ManagementFactory.getThreadMXBean();
    for (int i = 0; i < 12; i++) {
      long before = threads.getCurrentThreadCpuTime();
      compute(20);
      rounds = Math.max(1, rounds * 20_000_000 / Math.max(1, threads.getCurrentThreadCpuTime() - before));
    }
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 64);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/work", exchange -> {
      try {
        String query = exchange.getRequestURI().getQuery();
        String fault = query == null ? "" : query.replace("fault=", "");
        String start = now();
        compute(8);
        fault(fault);
        String before = now();
        int ms = fault.equals("dependency") ? 80 : 2;
        client.send(HttpRequest.newBuilder(URI.create(DEPENDENCY + "?ms=" + ms)).build(), HttpResponse.BodyHandlers.discarding());
        String after = now();
        byte[] body = ("{\"start\":\"" + start + "\",\"dep\":[\"" + before + "\",\"" + after + "\"],\"end\":\"" + now() + "\"}").getBytes();
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
      } catch (Exception error) {
        error.printStackTrace();
      } finally {
        exchange.close();
      }
    });
    server.start();
    System.out.println("port " + server.getAddress().getPort());
  }
}

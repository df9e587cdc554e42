import com.google.protobuf.Duration;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.TlsServerCredentials.ClientAuth;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import livequery.v1.LiveQueryServiceGrpc.LiveQueryServiceImplBase;
import livequery.v1.Livequery.DeltaBatch;
import livequery.v1.Livequery.Heartbeat;
import livequery.v1.Livequery.Started;
import livequery.v1.Livequery.SubscribeRequest;
import livequery.v1.Livequery.SubscribeResponse;

/** A tier on grpc-java. Reanchor: UNIMPLEMENTED, which is fine. */
public final class Tier extends LiveQueryServiceImplBase {
  /** Batches that wait for a consumer; then its stream is given up. */
  private static final int PENDING = 1000;

  private final Ticks ticks;
  private final AtomicLong names = new AtomicLong();
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(work -> {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    return thread;
  });

  private Tier(Ticks ticks) {
    this.ticks = ticks;
  }

  @Override
  public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> observer) {
    Ticks.Query query;
    try {
      query = new Ticks.Query(request.getQuery());
    } catch (RuntimeException refused) {
      observer.onError(refused);
      return;
    }
    long wish = request.getHeartbeatInterval().getSeconds();
    long seconds = wish == 0 ? 15 : Math.min(Math.max(wish, 1), 60);
    Started started =
        Started.newBuilder()
            .setSubscriptionId("s" + names.incrementAndGet())
            .setHeartbeatInterval(Duration.newBuilder().setSeconds(seconds))
            .build();
    Stream stream = new Stream((ServerCallStreamObserver<SubscribeResponse>) observer);
    stream.call.setOnReadyHandler(stream::drain);
    stream.call.setOnCancelHandler(stream::close); // the unsubscribe
    observer.onNext(SubscribeResponse.newBuilder().setStarted(started).build());
    stream.unsubscribe = ticks.subscribe(query, stream);
    stream.heartbeat = timer.scheduleAtFixedRate(stream::beat, seconds, seconds, TimeUnit.SECONDS);
  }

  /** One call. A ServerCallStreamObserver is not thread-safe: all writes hold this lock. */
  private static final class Stream implements Ticks.Consumer {
    final ServerCallStreamObserver<SubscribeResponse> call;
    volatile Runnable unsubscribe = () -> {};
    volatile ScheduledFuture<?> heartbeat;
    private final Queue<DeltaBatch> pending = new ArrayDeque<>();
    private Status end;
    private boolean over;
    private long lastSeq;

    Stream(ServerCallStreamObserver<SubscribeResponse> call) {
      this.call = call;
    }

    @Override
    public synchronized void batch(DeltaBatch batch) {
      if (pending.size() < PENDING) {
        pending.add(batch);
        drain();
      } else {
        end(Status.ABORTED.withDescription("the consumer does not read"));
      }
    }

    @Override
    public synchronized void end(Status status) {
      end = end == null ? status : end;
      pending.clear();
      drain();
    }

    /** Writes as much as the consumer has room for: onNext itself would buffer without bound. */
    synchronized void drain() {
      while (!over && call.isReady() && !pending.isEmpty()) {
        DeltaBatch batch = pending.remove();
        lastSeq = batch.getFirstSeq() + batch.getDeltasCount() - 1;
        call.onNext(SubscribeResponse.newBuilder().setBatch(batch).build());
      }
      if (end != null && !over) {
        over = true;
        call.onError(end.asRuntimeException());
      }
    }

    void beat() {
      if (!writeBeat()) {
        close();
      }
    }

    private synchronized boolean writeBeat() {
      if (!over && call.isReady() && pending.isEmpty()) {
        Heartbeat beat = Heartbeat.newBuilder().setEpoch(1).setLastSeq(lastSeq).build();
        call.onNext(SubscribeResponse.newBuilder().setHeartbeat(beat).build());
      }
      return !over;
    }

    /** Not synchronized: the table's lock is always taken before this one. */
    void close() {
      unsubscribe.run();
      if (heartbeat != null) {
        heartbeat.cancel(false);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new HashMap<>(
        Map.of("--listen", "127.0.0.1:50051", "--changes-per-second", "1"));
    for (int at = 0; at + 1 < arguments.length; at += 2) {
      options.put(arguments[at], arguments[at + 1]);
    }
    String listen = options.get("--listen");
    String host = listen.substring(0, listen.lastIndexOf(':'));
    SocketAddress address =
        new InetSocketAddress(host, Integer.parseInt(listen.substring(host.length() + 1)));
    ServerCredentials credentials = InsecureServerCredentials.create();
    if (options.containsKey("--cert")) {
      TlsServerCredentials.Builder tls =
          TlsServerCredentials.newBuilder()
              .keyManager(new File(options.get("--cert")), new File(options.get("--key")));
      if (options.containsKey("--client-ca")) {
        tls.trustManager(new File(options.get("--client-ca"))).clientAuth(ClientAuth.REQUIRE);
      }
      credentials = tls.build();
    }
    Ticks ticks = new Ticks(Double.parseDouble(options.get("--changes-per-second")));
    HealthStatusManager health = new HealthStatusManager();
    Server server =
        NettyServerBuilder.forAddress(address, credentials)
            .addService(new Tier(ticks))
            .addService(health.getHealthService())
            .build()
            .start();
    health.setStatus("livequery.v1.LiveQueryService", ServingStatus.SERVING);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      health.enterTerminalState(); // first: nobody is sent here any more
      ticks.stop();
      try {
        // The health service's streams have no end: a limit, then the axe.
        if (!server.shutdown().awaitTermination(2, TimeUnit.SECONDS)) {
          server.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
        }
      } catch (InterruptedException stop) {
        server.shutdownNow();
      }
    }));
    System.out.println("listening on " + host + ":" + server.getPort());
    ticks.run();
    server.awaitTermination();
  }
}

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import io.grpc.Status;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.function.Predicate;
import livequery.v1.Livequery.Comparison;
import livequery.v1.Livequery.Condition;
import livequery.v1.Livequery.Cursor;
import livequery.v1.Livequery.DeltaBatch;
import livequery.v1.Livequery.DeltaOp;
import livequery.v1.Livequery.LiveDelta;
import livequery.v1.Livequery.LiveQuery;
import livequery.v1.Livequery.Mode;
import livequery.v1.Livequery.ResetInfo;
import livequery.v1.Livequery.ResetReason;
import livequery.v1.Livequery.SortKey;
import livequery.v1.Livequery.Value;

/**
 * The table and the windows over it: what stands here for your engine. Knows no gRPC server.
 *
 * <p>Invariant: a change is applied under this object's lock, and its group is made and numbered
 * right there, so nothing between here and the bridge can lose a delta unseen.
 */
final class Ticks {
  private static final String[] SYMBOLS = {"ACME", "BOLT", "CORE", "DUNE"};

  record Row(long version, String id, String symbol, long price, long size) {
    /** A String or a Double, which holds all integers of this table exactly; null: no column. */
    Comparable<?> column(String name) {
      return switch (name) {
        case "id" -> id;
        case "symbol" -> symbol;
        case "price" -> (double) price;
        case "size" -> (double) size;
        default -> null;
      };
    }

    ByteString json() {
      return ByteString.copyFromUtf8(
          "{\"id\":%s,\"symbol\":%s,\"price\":%d,\"size\":%d}"
              .formatted(quoted(id), quoted(symbol), price, size));
    }

    private static String quoted(String text) {
      return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
  }

  private static final Row NO_ROW = new Row(0, "", "", 0, 0);

  /** Whoever gets a window's batches, in order, with the lock held: it must not wait. */
  interface Consumer {
    void batch(DeltaBatch batch);

    void end(Status status);
  }

  static RuntimeException bad(String text) {
    return Status.INVALID_ARGUMENT.withDescription(text).asRuntimeException();
  }

  /** A LiveQuery, checked: which rows, in what order, from where, how many. */
  static final class Query {
    final int limit;
    private final List<SortKey> sort;
    private final List<Predicate<Row>> where = new ArrayList<>();
    private final List<Comparable<?>> after = new ArrayList<>();

    Query(LiveQuery query) {
      if (!query.getEntity().equals("ticks")) {
        throw Status.NOT_FOUND.withDescription("there is only ticks").asRuntimeException();
      }
      if (query.getMode() == Mode.MODE_STREAMED || query.getLimit() < 1) {
        throw bad("maintained windows of at least one row only");
      }
      limit = query.getLimit();
      sort = new ArrayList<>(query.getSortList());
      sort.add(SortKey.newBuilder().setColumn("id").build());
      sort.forEach(key -> known(key.getColumn()));
      query.getWhereList().forEach(condition -> where.add(condition(condition)));
      List<Value> cursor = query.getCursor().getValuesList();
      if (!cursor.isEmpty() && cursor.size() != sort.size()) {
        throw bad("cursor: one value per sort key, then the id");
      }
      for (int at = 0; at < cursor.size(); at++) {
        after.add(plain(sort.get(at).getColumn(), cursor.get(at)));
      }
    }

    List<Row> window(Iterable<Row> rows) {
      List<Row> found = new ArrayList<>();
      for (Row row : rows) {
        boolean behind = after.isEmpty() || compare(key(row), after) > 0;
        if (behind && where.stream().allMatch(test -> test.test(row))) {
          found.add(row);
        }
      }
      found.sort(Comparator.comparing(this::key, this::compare));
      return List.copyOf(found.subList(0, Math.min(limit, found.size())));
    }

    List<Comparable<?>> key(Row row) {
      List<Comparable<?>> values = new ArrayList<>();
      sort.forEach(key -> values.add(row.column(key.getColumn())));
      return values;
    }

    int compare(List<Comparable<?>> a, List<Comparable<?>> b) {
      for (int at = 0; at < sort.size(); at++) {
        int order = order(a.get(at), b.get(at));
        if (order != 0) {
          return sort.get(at).getDesc() ? -order : order;
        }
      }
      return 0;
    }

    @SuppressWarnings("unchecked")
    private static int order(Comparable<?> a, Comparable<?> b) {
      return ((Comparable<Object>) a).compareTo(b);
    }

    private static String known(String column) {
      if (NO_ROW.column(column) == null) {
        throw bad("no column " + column);
      }
      return column;
    }

    /** Numbers compare by value, whatever their kind on the wire. */
    private static Comparable<?> plain(String column, Value value) {
      Comparable<?> got =
          switch (value.getKindCase()) {
            case STRING_VALUE -> value.getStringValue();
            case INT_VALUE -> (double) value.getIntValue();
            case UINT_VALUE -> (double) (value.getUintValue() >>> 1) * 2; // above 2^63: inexact is enough
            case DOUBLE_VALUE -> value.getDoubleValue() + 0.0; // -0.0 is 0.0
            default -> null;
          };
      if (got == null || got.getClass() != NO_ROW.column(column).getClass()) {
        throw bad(column + " is compared with another type");
      }
      return got;
    }

    private static Predicate<Row> condition(Condition condition) {
      if (condition.hasOrGroup()) {
        List<Predicate<Row>> members = new ArrayList<>();
        condition.getOrGroup().getConditionsList().forEach(member -> members.add(condition(member)));
        return row -> members.stream().anyMatch(test -> test.test(row));
      }
      Comparison leaf = condition.getComparison();
      String column = known(leaf.getColumn());
      switch (leaf.getOperator()) {
        case OPERATOR_IN, OPERATOR_NOT_IN -> {
          List<Comparable<?>> listed = new ArrayList<>();
          leaf.getList().getValuesList().forEach(value -> listed.add(plain(column, value)));
          boolean wanted = leaf.getOperator() == livequery.v1.Livequery.Operator.OPERATOR_IN;
          return row -> listed.contains(row.column(column)) == wanted;
        }
        default -> {
          IntPredicate test =
              switch (leaf.getOperator()) {
                case OPERATOR_EQ -> order -> order == 0;
                case OPERATOR_NE -> order -> order != 0;
                case OPERATOR_GT -> order -> order > 0;
                case OPERATOR_GTE -> order -> order >= 0;
                case OPERATOR_LT -> order -> order < 0;
                case OPERATOR_LTE -> order -> order <= 0;
                default -> throw bad("operator " + leaf.getOperator() + " is not implemented");
              };
          Comparable<?> value = plain(column, leaf.getValue());
          return row -> test.test(order(row.column(column), value));
        }
      }
    }
  }

  private final class Subscription {
    final Query query;
    final Consumer consumer;
    private List<Row> window;
    private long seq;

    Subscription(Query query, Consumer consumer) {
      this.query = query;
      this.consumer = consumer;
      window = query.window(rows.values());
      List<LiveDelta.Builder> deltas = new ArrayList<>();
      deltas.add(
          LiveDelta.newBuilder()
              .setOp(DeltaOp.DELTA_OP_RESET)
              .setReset(
                  ResetInfo.newBuilder()
                      .setReason(ResetReason.RESET_REASON_INITIAL)
                      .setRowCount(window.size())));
      for (int at = 0; at < window.size(); at++) {
        deltas.add(delta(DeltaOp.DELTA_OP_ENTER, window.get(at), -1, at));
      }
      push(deltas, true);
    }

    /** Send the group of one changed row: exactly the forms of docs/semantics.md. */
    void change(String id, String streamId) {
      List<Row> old = window;
      window = query.window(rows.values());
      int was = index(old, id);
      int now = index(window, id);
      List<LiveDelta.Builder> deltas = new ArrayList<>();
      if (was >= 0 && now >= 0) {
        boolean moved = query.compare(query.key(old.get(was)), query.key(window.get(now))) != 0;
        DeltaOp op = moved ? DeltaOp.DELTA_OP_MOVE : DeltaOp.DELTA_OP_UPDATE;
        deltas.add(delta(op, window.get(now), was, now));
      } else if (was >= 0) {
        deltas.add(leave(id, was));
        int last = window.size() - 1;
        if (window.size() == old.size()) { // the next row is promoted
          deltas.add(delta(DeltaOp.DELTA_OP_ENTER, window.get(last), -1, last));
        }
      } else if (now >= 0) {
        deltas.add(delta(DeltaOp.DELTA_OP_ENTER, window.get(now), -1, now));
        if (old.size() == query.limit) { // at this moment there is one row more than the limit
          deltas.add(leave(old.get(old.size() - 1).id(), old.size()));
        }
      }
      Instant at = Instant.now();
      Timestamp.Builder time = Timestamp.newBuilder().setSeconds(at.getEpochSecond()).setNanos(at.getNano());
      deltas.forEach(delta -> delta.setStreamId(streamId).setAt(time));
      if (!deltas.isEmpty()) {
        push(deltas, false);
      }
    }

    private void push(List<LiveDelta.Builder> deltas, boolean complete) {
      DeltaBatch.Builder batch =
          DeltaBatch.newBuilder().setEpoch(1).setFirstSeq(seq + 1).setSnapshotComplete(complete);
      deltas.forEach(batch::addDeltas);
      seq += deltas.size(); // counts deltas, not batches
      consumer.batch(batch.build());
    }

    private LiveDelta.Builder leave(String id, int at) {
      return LiveDelta.newBuilder()
          .setOp(DeltaOp.DELTA_OP_LEAVE).setAggId(id).setOldIndex(at).setNewIndex(-1);
    }

    private LiveDelta.Builder delta(DeltaOp op, Row row, int old, int now) {
      Cursor.Builder cursor = Cursor.newBuilder();
      for (Comparable<?> value : query.key(row)) {
        cursor.addValues(
            value instanceof String text
                ? Value.newBuilder().setStringValue(text)
                : Value.newBuilder().setIntValue(((Double) value).longValue()));
      }
      return LiveDelta.newBuilder()
          .setOp(op).setAggId(row.id()).setVersion(row.version()).setRow(row.json())
          .setOldIndex(old).setNewIndex(now).setCursor(cursor);
    }

    private static int index(List<Row> window, String id) {
      for (int at = 0; at < window.size(); at++) {
        if (window.get(at).id().equals(id)) {
          return at;
        }
      }
      return -1;
    }
  }

  private final Map<String, Row> rows = new HashMap<>();
  private final Set<Subscription> subscriptions = new HashSet<>();
  private final Random random = new Random();
  // In milliseconds, so that versions and stream ids go up over a restart too.
  private final long start = System.currentTimeMillis();
  private long changes;
  private int made;
  private volatile double rate;

  Ticks(double rate) {
    this.rate = rate;
    for (int at = 0; at < 36; at++) {
      putNew();
    }
  }

  /** Hands the consumer the snapshot, then every change; returns the unsubscribe. */
  synchronized Runnable subscribe(Query query, Consumer consumer) {
    Subscription subscription = new Subscription(query, consumer);
    subscriptions.add(subscription);
    return () -> {
      synchronized (this) {
        subscriptions.remove(subscription);
      }
    };
  }

  /** Ends all streams with UNAVAILABLE. OK would end the browsers' streams for good. */
  synchronized void stop() {
    subscriptions.forEach(each -> each.consumer.end(Status.UNAVAILABLE.withDescription("stopping")));
    subscriptions.clear();
  }

  synchronized void put(String id, String symbol, long price, long size) {
    rows.put(id, new Row(start + ++changes, id, symbol, price, size));
    changed(id);
  }

  synchronized void delete(String id) {
    if (rows.remove(id) != null) {
      changes++;
      changed(id);
    }
  }

  private void changed(String id) {
    subscriptions.forEach(each -> each.change(id, start + "-" + changes));
  }

  private void putNew() {
    put("t" + ++made, SYMBOLS[random.nextInt(4)], 100 + random.nextInt(900), 1 + random.nextInt(99));
  }

  /** Mostly prices; now and then a row comes or goes. */
  private synchronized void changeSomething() {
    double dice = random.nextDouble();
    Row row = List.copyOf(rows.values()).get(random.nextInt(rows.size()));
    int step = random.nextInt(41) - 20;
    if (dice < 0.1 && rows.size() < 48) {
      putNew();
    } else if (dice < 0.2 && rows.size() > 24) {
      delete(row.id());
    } else if (dice < 0.4) {
      put(row.id(), row.symbol(), row.price(), Math.max(1, row.size() + step));
    } else {
      put(row.id(), row.symbol(), Math.max(1, row.price() + step), row.size());
    }
  }

  /** Changes by itself, and by commands on stdin, in two threads. */
  void run() {
    Thread clock = new Thread(() -> {
      try {
        while (true) {
          Thread.sleep(rate > 0 ? Math.max(1, (long) (1000 / rate)) : 50);
          if (rate > 0) {
            changeSomething();
          }
        }
      } catch (InterruptedException stop) {
        return;
      }
    });
    Thread commands = new Thread(() -> {
      try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in))) {
        for (String line; (line = lines.readLine()) != null; ) {
          String[] words = line.trim().split("\\s+");
          switch (words[0]) {
            case "rate" -> rate = Double.parseDouble(words[1]);
            case "delete" -> delete(words[1]);
            case "put" -> put(words[1], words[2], Long.parseLong(words[3]), Long.parseLong(words[4]));
            default -> System.err.println("unknown command " + words[0]);
          }
        }
      } catch (IOException end) {
        return;
      }
    });
    for (Thread thread : List.of(clock, commands)) {
      thread.setDaemon(true);
      thread.start();
    }
  }
}

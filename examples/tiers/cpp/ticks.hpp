// The table and the windows over it: what stands here for your engine. Knows no gRPC server.
//
// Invariant: a change is applied under the table's lock, and its group is made and numbered right
// there, so nothing between here and the bridge can lose a delta unseen. Nobody waits for a
// consumer: it is handed each batch, and must not block.

#pragma once

#include <google/protobuf/util/time_util.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "livequery/v1/livequery.pb.h"

namespace ticks {

namespace pb = livequery::v1;

struct Row {
  std::string id, symbol;
  int64_t price = 0, size = 0, version = 0;
};

// A double holds all integers of this table exactly.
using Val = std::variant<std::string, double>;

inline std::optional<Val> column(const Row& row, const std::string& name) {
  if (name == "id") return row.id;
  if (name == "symbol") return row.symbol;
  if (name == "price") return static_cast<double>(row.price);
  if (name == "size") return static_cast<double>(row.size);
  return std::nullopt;
}

inline grpc::Status bad(const std::string& text) {
  return {grpc::StatusCode::INVALID_ARGUMENT, text};
}

inline std::string known(const std::string& name) {
  if (!column(Row{}, name)) throw bad("no such column");
  return name;
}

// Numbers compare by value, whatever their kind on the wire.
inline Val plain(const std::string& name, const pb::Value& value) {
  std::optional<Val> got;
  switch (value.kind_case()) {
    case pb::Value::kStringValue: got = value.string_value(); break;
    case pb::Value::kIntValue: got = static_cast<double>(value.int_value()); break;
    case pb::Value::kUintValue: got = static_cast<double>(value.uint_value()); break;
    case pb::Value::kDoubleValue: got = value.double_value(); break;
    default: break;
  }
  if (!got || got->index() != column(Row{}, name)->index()) throw bad("compared with another type");
  return *got;
}

using Test = std::function<bool(const Row&)>;

inline Test condition(const pb::Condition& condition) {
  if (condition.has_or_group()) {
    std::vector<Test> members;
    for (const auto& member : condition.or_group().conditions()) members.push_back(ticks::condition(member));
    return [members](const Row& row) {
      return std::any_of(members.begin(), members.end(), [&](const Test& test) { return test(row); });
    };
  }
  const pb::Comparison& leaf = condition.comparison();
  const std::string name = known(leaf.column());
  std::vector<Val> values;
  for (const auto& value : leaf.list().values()) values.push_back(plain(name, value));
  if (leaf.has_value()) values.push_back(plain(name, leaf.value()));
  Test listed = [name, values](const Row& row) {  // one value: equal
    return std::find(values.begin(), values.end(), *column(row, name)) != values.end();
  };
  const pb::Operator op = leaf.operator_();
  if (op == pb::OPERATOR_EQ || op == pb::OPERATOR_IN) return listed;
  if (op == pb::OPERATOR_NE || op == pb::OPERATOR_NOT_IN) return [listed](const Row& row) { return !listed(row); };
  if (values.size() != 1) throw bad("operator is not implemented");
  const Val value = values[0];
  switch (op) {
    case pb::OPERATOR_GT: return [name, value](const Row& row) { return *column(row, name) > value; };
    case pb::OPERATOR_GTE: return [name, value](const Row& row) { return *column(row, name) >= value; };
    case pb::OPERATOR_LT: return [name, value](const Row& row) { return *column(row, name) < value; };
    case pb::OPERATOR_LTE: return [name, value](const Row& row) { return *column(row, name) <= value; };
    default: throw bad("operator is not implemented");
  }
}

// A LiveQuery, checked: which rows, in what order, from where, how many. Throws grpc::Status.
class Query {
 public:
  explicit Query(const pb::LiveQuery& query) : limit(query.limit()) {
    if (query.entity() != "ticks") throw grpc::Status(grpc::StatusCode::NOT_FOUND, "there is only ticks");
    if (query.mode() == pb::MODE_STREAMED || query.limit() < 1) throw bad("maintained windows of at least one row only");
    for (const auto& each : query.where()) tests_.push_back(condition(each));
    for (const auto& key : query.sort()) sort_.emplace_back(known(key.column()), key.desc());
    sort_.emplace_back("id", false);
    const auto& values = query.cursor().values();
    if (values.empty()) return;
    if (values.size() != static_cast<int>(sort_.size())) throw bad("cursor: one value per sort key, then the id");
    for (int at = 0; at < values.size(); at++) after_.push_back(plain(sort_[at].first, values[at]));
  }

  std::vector<Row> window(const std::map<std::string, Row>& rows) const {
    std::vector<Row> found;
    for (const auto& [id, row] : rows) {
      const bool matches = std::all_of(tests_.begin(), tests_.end(), [&](const Test& test) { return test(row); });
      if (matches && (after_.empty() || order(key(row), after_) > 0)) found.push_back(row);
    }
    std::sort(found.begin(), found.end(), [&](const Row& a, const Row& b) { return order(key(a), key(b)) < 0; });
    if (found.size() > limit) found.resize(limit);
    return found;
  }

  std::vector<Val> key(const Row& row) const {
    std::vector<Val> values;
    for (const auto& [name, desc] : sort_) values.push_back(*column(row, name));
    return values;
  }

  int order(const std::vector<Val>& a, const std::vector<Val>& b) const {
    for (size_t at = 0; at < sort_.size(); at++)
      if (a[at] != b[at]) return (a[at] < b[at]) != sort_[at].second ? -1 : 1;
    return 0;
  }

  const size_t limit;

 private:
  std::vector<Test> tests_;
  std::vector<std::pair<std::string, bool>> sort_;  // with the id as the last
  std::vector<Val> after_;
};

// Who watches a window. Both are called under the table's lock.
class Consumer {
 public:
  virtual ~Consumer() = default;
  virtual void on_batch(const pb::DeltaBatch& batch) = 0;
  virtual void on_end(const grpc::Status& status) = 0;
};

// One window. All of it belongs to the table's lock.
class Subscription {
 public:
  Subscription(Query query, const std::map<std::string, Row>& rows, Consumer* consumer)
      : consumer(consumer), query_(std::move(query)), window_(query_.window(rows)) {
    pb::DeltaBatch batch;
    pb::LiveDelta* reset = batch.add_deltas();
    reset->set_op(pb::DELTA_OP_RESET);
    reset->mutable_reset()->set_reason(pb::RESET_REASON_INITIAL);
    reset->mutable_reset()->set_row_count(static_cast<int>(window_.size()));
    for (size_t at = 0; at < window_.size(); at++) add(batch, pb::DELTA_OP_ENTER, window_[at], -1, static_cast<int>(at));
    batch.set_snapshot_complete(true);
    push(batch);
  }

  // Send the group of one changed row: exactly the forms of docs/semantics.md.
  void change(const std::map<std::string, Row>& rows, const std::string& id, const std::string& stream_id) {
    const std::vector<Row> old = std::exchange(window_, query_.window(rows));
    const int was = index(old, id), at = index(window_, id), last = static_cast<int>(window_.size()) - 1;
    pb::DeltaBatch batch;
    if (was >= 0 && at >= 0) {
      const bool moved = query_.order(query_.key(old[was]), query_.key(window_[at])) != 0;
      add(batch, moved ? pb::DELTA_OP_MOVE : pb::DELTA_OP_UPDATE, window_[at], was, at);
    } else if (was >= 0) {
      leave(batch, id, was);
      if (window_.size() == old.size()) add(batch, pb::DELTA_OP_ENTER, window_[last], -1, last);  // the next row is promoted
    } else if (at >= 0) {
      add(batch, pb::DELTA_OP_ENTER, window_[at], -1, at);
      // At this moment there is one row more than the limit.
      if (old.size() == query_.limit) leave(batch, old.back().id, static_cast<int>(old.size()));
    }
    for (auto& delta : *batch.mutable_deltas()) {
      delta.set_stream_id(stream_id);
      *delta.mutable_at() = google::protobuf::util::TimeUtil::GetCurrentTime();
    }
    if (batch.deltas_size() > 0) push(batch);
  }

  Consumer* const consumer;

 private:
  static int index(const std::vector<Row>& window, const std::string& id) {
    const auto found = std::find_if(window.begin(), window.end(), [&](const Row& row) { return row.id == id; });
    return found == window.end() ? -1 : static_cast<int>(found - window.begin());
  }

  static void leave(pb::DeltaBatch& batch, const std::string& id, int old_index) {
    pb::LiveDelta* delta = batch.add_deltas();
    delta->set_op(pb::DELTA_OP_LEAVE);
    delta->set_agg_id(id);
    delta->set_old_index(old_index);
    delta->set_new_index(-1);
  }

  void add(pb::DeltaBatch& batch, pb::DeltaOp op, const Row& row, int old_index, int new_index) const {
    pb::LiveDelta* delta = batch.add_deltas();
    delta->set_op(op);
    delta->set_agg_id(row.id);
    delta->set_version(row.version);
    delta->set_row(json(row));
    delta->set_old_index(old_index);
    delta->set_new_index(new_index);
    for (const Val& value : query_.key(row)) {
      pb::Value* cell = delta->mutable_cursor()->add_values();
      if (const auto* text = std::get_if<std::string>(&value)) cell->set_string_value(*text);
      else cell->set_int_value(static_cast<int64_t>(std::get<double>(value)));
    }
  }

  static std::string json(const Row& row) {
    const auto quoted = [](const std::string& text) {
      std::string escaped = "\"";
      for (const char c : text) (c == '"' || c == '\\' ? escaped += '\\' : escaped) += c;
      return escaped + "\"";
    };
    return "{\"id\":" + quoted(row.id) + ",\"symbol\":" + quoted(row.symbol) +
           ",\"price\":" + std::to_string(row.price) + ",\"size\":" + std::to_string(row.size) + "}";
  }

  void push(pb::DeltaBatch& batch) {
    batch.set_epoch(1);
    batch.set_first_seq(seq_ + 1);
    seq_ += batch.deltas_size();  // counts deltas, not batches
    consumer->on_batch(batch);
  }

  const Query query_;
  std::vector<Row> window_;
  uint64_t seq_ = 0;
};

// Rows, and everybody who watches them.
class Table {
 public:
  Table() {
    for (int at = 0; at < 36; at++) put(new_row());
  }

  // Returns the name to unsubscribe by.
  uint64_t subscribe(Query query, Consumer* consumer) {
    const std::lock_guard lock(mutex_);
    subscriptions_.emplace(++names_, std::make_unique<Subscription>(std::move(query), rows_, consumer));
    return names_;
  }

  // The consumer is not called any more once this returns.
  void unsubscribe(uint64_t name) {
    const std::lock_guard lock(mutex_);
    subscriptions_.erase(name);
  }

  // End all streams with UNAVAILABLE. OK would end the browsers' streams for good.
  void stop() {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, subscription] : subscriptions_)
      subscription->consumer->on_end({grpc::StatusCode::UNAVAILABLE, "stopping"});
  }

  // Change by itself, and by commands on stdin, in two threads.
  void run(double rate) {
    rate_ = rate;
    std::thread([this] {
      while (true) {
        const double now = rate_;
        std::this_thread::sleep_for(std::chrono::duration<double>(now > 0 ? 1 / now : 0.05));
        if (rate_ > 0) change_something();
      }
    }).detach();
    std::thread([this] {
      for (std::string line; std::getline(std::cin, line);) obey(line);
    }).detach();
  }

 private:
  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string command, id, symbol;
    int64_t price, size;
    double rate;
    words >> command;
    const std::lock_guard lock(mutex_);
    if (command == "rate" && words >> rate) rate_ = rate;
    else if (command == "delete" && words >> id) remove(id);
    else if (command == "put" && words >> id >> symbol >> price >> size) put({id, symbol, price, size});
    else std::cerr << "not understood: " << line << std::endl;
  }

  // Mostly prices; now and then a row comes or goes.
  void change_something() {
    const std::lock_guard lock(mutex_);
    const int64_t dice = below(10), step = below(41) - 20;
    Row row = std::next(rows_.begin(), below(static_cast<int64_t>(rows_.size())))->second;
    if (dice == 0 && rows_.size() < 48) return put(new_row());
    if (dice == 1 && rows_.size() > 24) return remove(row.id);
    int64_t& cell = dice < 4 ? row.size : row.price;
    cell = std::max<int64_t>(1, cell + step);
    put(row);
  }

  void put(Row row) {
    row.version = start_ + ++changes_;
    rows_[row.id] = row;
    changed(row.id);
  }

  void remove(const std::string id) {  // a copy: the row goes
    if (rows_.erase(id) == 0) return;
    changes_++;
    changed(id);
  }

  void changed(const std::string& id) {
    const std::string stream_id = std::to_string(start_) + "-" + std::to_string(changes_);
    for (const auto& [name, subscription] : subscriptions_) subscription->change(rows_, id, stream_id);
  }

  Row new_row() {
    static const char* const symbols[] = {"ACME", "BOLT", "CORE", "DUNE"};
    return {"t" + std::to_string(++made_), symbols[below(4)], 100 + below(900), 1 + below(99)};
  }

  int64_t below(int64_t number) { return std::uniform_int_distribution<int64_t>(0, number - 1)(random_); }

  std::mutex mutex_;
  std::mt19937_64 random_{std::random_device{}()};
  std::map<std::string, Row> rows_;
  std::map<uint64_t, std::unique_ptr<Subscription>> subscriptions_;
  // In milliseconds, so that versions and stream ids go up over a restart too.
  const int64_t start_ = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch()).count();
  int64_t changes_ = 0;
  uint64_t names_ = 0;
  int made_ = 0;
  std::atomic<double> rate_{0};
};

}  // namespace ticks

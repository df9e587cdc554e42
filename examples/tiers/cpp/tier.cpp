// A tier on gRPC's C++ callback API: tier --listen 127.0.0.1:50051. A stream costs no thread.
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <signal.h>

#include <deque>
#include <fstream>

#include "livequery/v1/livequery.grpc.pb.h"
#include "ticks.hpp"

namespace pb = livequery::v1;

constexpr size_t kPending = 1000;  // batches that wait for a consumer; then its stream is given up
constexpr char kService[] = "livequery.v1.LiveQueryService";

// One call. It deletes itself in OnDone, after which nothing of it is called. The table's lock is
// always taken before this one's.
class Stream final : public grpc::ServerWriteReactor<pb::SubscribeResponse>, public ticks::Consumer {
 public:
  Stream(ticks::Table& table, const pb::SubscribeRequest& request) : table_(table) {
    const int64_t wish = request.heartbeat_interval().seconds();
    seconds_ = wish == 0 ? 15 : std::clamp<int64_t>(wish, 1, 60);
    try {
      ticks::Query query(request.query());
      static std::atomic<uint64_t> names{0};
      pb::SubscribeResponse started;
      started.mutable_started()->set_subscription_id("s" + std::to_string(++names));
      started.mutable_started()->mutable_heartbeat_interval()->set_seconds(seconds_);
      push(std::move(started));
      name_ = table_.subscribe(std::move(query), this);
      wait_to_beat();
    } catch (const grpc::Status& refused) {
      on_end(refused);
    }
  }

  void on_batch(const pb::DeltaBatch& batch) override {
    pb::SubscribeResponse response;
    *response.mutable_batch() = batch;
    push(std::move(response));
  }

  void on_end(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    finish(status);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    pending_.pop_front();
    writing_ = false;
    if (!ok) finish(grpc::Status::CANCELLED);
    write();
  }

  void OnCancel() override {  // the unsubscribe
    const std::lock_guard lock(mutex_);
    finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    if (name_) table_.unsubscribe(*name_);
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
      if (beating_) return alarm_.Cancel();  // its last call deletes this
    }
    delete this;
  }

 private:
  void push(pb::SubscribeResponse response) {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (pending_.size() >= kPending) return finish({grpc::StatusCode::ABORTED, "the consumer does not read"});
    if (response.has_batch()) last_seq_ = response.batch().first_seq() + response.batch().deltas_size() - 1;
    pending_.push_back(std::move(response));
    write();
  }

  void write() {
    if (writing_ || finished_ || pending_.empty()) return;
    writing_ = true;
    StartWrite(&pending_.front());
  }

  void finish(const grpc::Status& status) {
    if (!finished_) Finish(status);
    finished_ = true;
  }

  void wait_to_beat() {
    const std::lock_guard lock(mutex_);
    beating_ = true;
    alarm_.Set(std::chrono::system_clock::now() + std::chrono::seconds(seconds_), [this](bool) { beat(); });
  }

  void beat() {
    {
      const std::unique_lock lock(mutex_);
      beating_ = false;
      if (!done_) {
        if (!finished_ && pending_.empty()) {
          pb::SubscribeResponse response;
          response.mutable_heartbeat()->set_epoch(1);
          response.mutable_heartbeat()->set_last_seq(last_seq_);
          pending_.push_back(std::move(response));
          write();
        }
        beating_ = true;
        alarm_.Set(std::chrono::system_clock::now() + std::chrono::seconds(seconds_), [this](bool) { beat(); });
        return;
      }
    }
    delete this;
  }

  ticks::Table& table_;
  std::optional<uint64_t> name_;
  int64_t seconds_;
  std::mutex mutex_;
  grpc::Alarm alarm_;
  std::deque<pb::SubscribeResponse> pending_;  // the first of them is being written
  uint64_t last_seq_ = 0;
  bool writing_ = false, finished_ = false, beating_ = false, done_ = false;
};

class Tier final : public pb::LiveQueryService::CallbackService {  // Reanchor: UNIMPLEMENTED, which is fine
 public:
  explicit Tier(ticks::Table& table) : table_(table) {}

  grpc::ServerWriteReactor<pb::SubscribeResponse>* Subscribe(
      grpc::CallbackServerContext*, const pb::SubscribeRequest* request) override {
    return new Stream(table_, *request);
  }

 private:
  ticks::Table& table_;
};

std::string read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("can't read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

int main(int count, char** words) {
  std::map<std::string, std::string> options{{"--listen", "127.0.0.1:50051"}, {"--changes-per-second", "1"}};
  for (int at = 1; at + 1 < count; at += 2) options[words[at]] = words[at + 1];
  sigset_t signals;  // no thread is interrupted: this one waits for them
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (options.contains("--cert")) {
    const bool mutual = options.contains("--client-ca");
    grpc::SslServerCredentialsOptions tls(mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                 : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    tls.pem_key_cert_pairs.push_back({read(options["--key"]), read(options["--cert"])});
    if (mutual) tls.pem_root_certs = read(options["--client-ca"]);
    credentials = grpc::SslServerCredentials(tls);
  }
  ticks::Table table;
  Tier tier(table);
  int port = 0;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(options["--listen"], credentials, &port);
  builder.RegisterService(&tier);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return 1;
  server->GetHealthCheckService()->SetServingStatus(kService, true);
  const std::string& listen = options["--listen"];
  std::cout << "listening on " << listen.substr(0, listen.rfind(':')) << ":" << port << std::endl;
  table.run(std::stod(options["--changes-per-second"]));

  int number;
  sigwait(&signals, &number);
  server->GetHealthCheckService()->SetServingStatus(false);  // first: nobody is sent here any more
  table.stop();
  // Streams of the health service have no end: a limit.
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  _exit(0);  // threads that change the table still run
}

// Command tier is a live-query tier on grpc-go, with Reanchor.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "example.com/tier/livequerypb"
)

type tier struct {
	pb.UnimplementedLiveQueryServiceServer
	table    *table
	stopping context.Context
}

func (t *tier) Subscribe(request *pb.SubscribeRequest, stream pb.LiveQueryService_SubscribeServer) error {
	q, err := parse(request.GetQuery())
	if err != nil {
		return err
	}
	interval := 15 * time.Second
	if wish := request.GetHeartbeatInterval().AsDuration(); wish > 0 {
		interval = min(max(wish, time.Second), time.Minute)
	}
	s := &subscription{query: q, batches: make(chan *pb.DeltaBatch, pending), slow: make(chan struct{})}
	t.table.mu.Lock()
	t.table.names++
	id := fmt.Sprintf("s%d", t.table.names)
	t.table.subscriptions[id] = s
	s.reset(t.table.rows, pb.ResetReason_RESET_REASON_INITIAL, "")
	t.table.mu.Unlock()
	defer func() {
		t.table.mu.Lock()
		delete(t.table.subscriptions, id)
		t.table.mu.Unlock()
	}()

	if err := stream.Send(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_Started{Started: &pb.Started{
		SubscriptionId: id, HeartbeatInterval: durationpb.New(interval)}}}); err != nil {
		return err
	}
	var epoch, lastSeq uint64
	silence := time.NewTimer(interval)
	defer silence.Stop()
	for {
		message := &pb.SubscribeResponse{}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err() // the unsubscribe
		case <-t.stopping.Done():
			return status.Error(codes.Unavailable, "stopping") // never nil: that ends the browsers' streams
		case <-s.slow:
			return status.Error(codes.Aborted, "the consumer does not read")
		case batch := <-s.batches:
			epoch, lastSeq = batch.GetEpoch(), batch.GetFirstSeq()+uint64(len(batch.GetDeltas()))-1
			message.Message = &pb.SubscribeResponse_Batch{Batch: batch}
		case <-silence.C:
			message.Message = &pb.SubscribeResponse_Heartbeat{Heartbeat: &pb.Heartbeat{
				At: timestamppb.Now(), Epoch: epoch, LastSeq: lastSeq}}
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		silence.Reset(interval)
	}
}

// Reanchor slides an open window: a reset of the next epoch on its stream, and this answer.
func (t *tier) Reanchor(_ context.Context, request *pb.ReanchorRequest) (*pb.ReanchorResponse, error) {
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	s := t.table.subscriptions[request.GetSubscriptionId()]
	if s == nil {
		return nil, status.Error(codes.NotFound, "no such subscription")
	}
	next := *s.query
	if err := next.anchor(request.GetCursor()); err != nil {
		return nil, err
	}
	if request.GetLimit() > 0 {
		next.limit = int(request.GetLimit())
	}
	s.query = &next
	s.reset(t.table.rows, pb.ResetReason_RESET_REASON_REANCHOR, request.GetRequestId())
	return &pb.ReanchorResponse{Epoch: s.epoch}, nil
}

func tlsConfig(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", clientCA)
		}
	}
	return config, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:50051", "HOST:PORT")
	cert := flag.String("cert", "", "certificate, in PEM form: TLS")
	key := flag.String("key", "", "its private key")
	clientCA := flag.String("client-ca", "", "who must have signed the client's certificate")
	age := flag.Duration("max-connection-age", 0, "of a connection; 0 is none")
	streams := flag.Uint("max-streams", 0, "on one connection; 0 is grpc-go's default")
	rate := flag.Float64("changes-per-second", 1, "0: only what stdin says")
	flag.Parse()

	var options []grpc.ServerOption
	if *cert != "" {
		config, err := tlsConfig(*cert, *key, *clientCA)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	if *age > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: *age, MaxConnectionAgeGrace: time.Second}))
	}
	if *streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(*streams)))
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	t := newTable()
	server, checks := grpc.NewServer(options...), health.NewServer()
	pb.RegisterLiveQueryServiceServer(server, &tier{table: t, stopping: stopping})
	healthpb.RegisterHealthServer(server, checks)
	checks.SetServingStatus("livequery.v1.LiveQueryService", healthpb.HealthCheckResponse_SERVING)
	fmt.Println("listening on", listener.Addr())
	go t.run(*rate)

	over := make(chan struct{})
	go func() {
		<-stopping.Done()
		checks.Shutdown() // first: nobody is sent here any more
		// GracefulStop waits for all streams, and those of the health service have no end.
		late := time.AfterFunc(2*time.Second, server.Stop)
		server.GracefulStop()
		late.Stop()
		close(over)
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
	<-over
}

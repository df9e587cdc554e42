// Command fabriq stands for fabriq's own server in `make interop`: its wire, its engine's habits,
// over grpc-go. It is no part of fabriq.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
)

type server struct{ table *table }

func (s *server) liveQuery(stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	asked, err := parseRequest(message)
	if err != nil {
		return err
	}
	var q liveQuery
	if err := json.Unmarshal(asked.query, &q); err != nil {
		return stream.SendMsg(errorFrame(fmt.Errorf("remote: decode live query: %w", err)))
	}
	if err := q.validate(); err != nil {
		return stream.SendMsg(errorFrame(err))
	}
	t, sub := s.table, &subscription{query: &q, deltas: make(chan liveDelta, pending)}
	t.mu.Lock()
	first := sub.snapshot(t.rows, "s1")
	t.subscriptions[sub] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.subscriptions, sub)
		t.mu.Unlock()
	}()
	if err := stream.SendMsg(frame(1, first)); err != nil {
		return err
	}
	requests, gone := make(chan request), make(chan struct{})
	defer close(gone)
	go receive(stream, requests, gone)
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case asked, open := <-requests:
			if !open {
				return nil // a half-close ends the subscription
			}
			if err := stream.SendMsg(s.reanchor(sub, asked)); err != nil {
				return err
			}
		case delta := <-sub.deltas:
			if err := stream.SendMsg(frame(2, delta)); err != nil {
				return err
			}
		}
	}
}

func receive(stream grpc.ServerStream, requests chan<- request, gone <-chan struct{}) {
	defer close(requests)
	for {
		var message []byte
		if stream.RecvMsg(&message) != nil {
			return
		}
		if asked, err := parseRequest(message); err == nil && asked.reanchor {
			select {
			case requests <- asked:
			case <-gone:
				return
			}
		}
	}
}

// reanchor returns the frame that answers: a snapshot, or an error after which the old window stands.
// What was queued of the old window is dropped with it.
func (s *server) reanchor(sub *subscription, asked request) []byte {
	next := *sub.query
	next.Cursor = nil
	if len(asked.cursor) > 0 {
		if err := json.Unmarshal(asked.cursor, &next.Cursor); err != nil {
			return errorFrame(fmt.Errorf("remote: decode cursor: %w", err))
		}
	}
	if asked.limit != 0 {
		next.Limit = asked.limit
	}
	if err := next.validate(); err != nil {
		return errorFrame(err)
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	for len(sub.deltas) > 0 {
		<-sub.deltas
	}
	sub.query = &next
	return frame(1, sub.snapshot(s.table.rows, "s1"))
}

func description() *grpc.ServiceDesc {
	handler := func(srv any, stream grpc.ServerStream) error { return srv.(*server).liveQuery(stream) }
	return &grpc.ServiceDesc{
		ServiceName: "fabriq.v1.Fabriq",
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "LiveQuery", Handler: handler, ServerStreams: true, ClientStreams: true}},
	}
}

func transport(cert, key, clientCA string) (grpc.ServerOption, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
	}
	return grpc.Creds(credentials.NewTLS(config)), nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:7000", "HOST:PORT")
	cert := flag.String("cert", "", "certificate, in PEM form: TLS")
	key := flag.String("key", "", "its private key")
	clientCA := flag.String("client-ca", "", "who must have signed the client's certificate")
	rate := flag.Int64("changes-per-second", 1, "0: only what stdin says")
	flag.Parse()

	var options []grpc.ServerOption
	if *cert != "" {
		option, err := transport(*cert, *key, *clientCA)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, option)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	encoding.RegisterCodec(bytesCodec{})
	s := grpc.NewServer(options...)
	t := newTable()
	t.rate.Store(*rate)
	s.RegisterService(description(), &server{t})
	fmt.Println("listening on", listener.Addr())
	go t.run()
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-stopping.Done()
		time.AfterFunc(time.Second, s.Stop) // fabriq's own would wait for all streams
		s.GracefulStop()
	}()
	if err := s.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

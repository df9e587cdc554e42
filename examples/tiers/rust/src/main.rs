//! A live-query tier on tonic: tier --listen 127.0.0.1:50051.

mod ticks;

pub mod pb {
    tonic::include_proto!("livequery.v1");
}

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pb::live_query_service_server::{LiveQueryService, LiveQueryServiceServer};
use pb::subscribe_response::Message;
use pb::{Heartbeat, Started, SubscribeRequest, SubscribeResponse};
use tokio::net::TcpListener;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

struct Tier {
    table: Arc<Mutex<ticks::Table>>,
}

#[tonic::async_trait]
impl LiveQueryService for Tier {
    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<BoxStream<SubscribeResponse>>, Status> {
        let request = request.into_inner();
        let query = ticks::Query::new(&request.query.unwrap_or_default())?;
        let seconds = match request.heartbeat_interval.map_or(0, |wish| wish.seconds) {
            0 => 15,
            wish => wish.clamp(1, 60),
        };
        let batches = self.table.lock().expect("no panic").subscribe(query);
        let (answers, stream) = mpsc::channel(16);
        tokio::spawn(write(self.table.clone(), batches, answers, seconds));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Write one call until its client is gone, which is the unsubscribe, or the table ends it.
async fn write(
    table: Arc<Mutex<ticks::Table>>,
    mut from: ticks::Batches,
    answers: mpsc::Sender<Result<SubscribeResponse, Status>>,
    seconds: i64,
) {
    let heartbeat_interval = Some(prost_types::Duration { seconds, nanos: 0 });
    let subscription_id = format!("s{}", from.id);
    let mut message = Message::Started(Started { subscription_id, heartbeat_interval, ..Default::default() });
    let mut last_seq = 0;
    loop {
        let answer = SubscribeResponse { message: Some(message) };
        if answers.send(Ok(answer)).await.is_err() {
            break;
        }
        let next = tokio::select! {
            next = timeout(Duration::from_secs(seconds as u64), from.batches.recv()) => next,
            () = answers.closed() => break,
        };
        message = match next {
            Ok(Some(batch)) => {
                last_seq = batch.first_seq + batch.deltas.len() as u64 - 1;
                Message::Batch(batch)
            }
            Ok(None) => {
                let end = from.end.get().cloned().unwrap_or_else(|| Status::unavailable("stopping"));
                let _ = answers.send(Err(end)).await;
                break;
            }
            Err(_silence) => Message::Heartbeat(Heartbeat { epoch: 1, last_seq, ..Default::default() }),
        };
    }
    table.lock().expect("no panic").unsubscribe(from.id);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> = words.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..])).collect();
    let listen = options.get("--listen").copied().unwrap_or("127.0.0.1:50051");
    let rate = options.get("--changes-per-second").map_or(Ok(1.0), |rate| rate.parse())?;

    let mut server = Server::builder();
    if let (Some(cert), Some(key)) = (options.get("--cert"), options.get("--key")) {
        let identity = Identity::from_pem(std::fs::read(cert)?, std::fs::read(key)?);
        let mut tls = ServerTlsConfig::new().identity(identity);
        if let Some(ca) = options.get("--client-ca") {
            tls = tls.client_ca_root(Certificate::from_pem(std::fs::read(ca)?)); // and demands one
        }
        server = server.tls_config(tls)?;
    }
    let listener = TcpListener::bind(listen).await?;
    let table = Arc::new(Mutex::new(ticks::Table::new(rate)));
    let (health, checks) = tonic_health::server::health_reporter();
    health.set_serving::<LiveQueryServiceServer<Tier>>().await;
    println!("listening on {}", listener.local_addr()?);
    ticks::run(table.clone());

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stopped, stopping) = tokio::sync::oneshot::channel();
    let stop = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        health.set_not_serving::<LiveQueryServiceServer<Tier>>().await; // first: nobody is sent here any more
        table.lock().expect("no panic").stop();
        let _ = stopped.send(());
    };
    let serve = server
        .add_service(checks)
        .add_service(LiveQueryServiceServer::new(Tier { table: table.clone() }))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop);
    tokio::select! {
        done = serve => done?,
        // It waits for all streams, and those of the health service have no end.
        () = async { let _ = stopping.await; tokio::time::sleep(Duration::from_secs(2)).await } => {}
    }
    Ok(())
}

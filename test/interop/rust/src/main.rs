//! tonic's calls in the ways that applications make them. Prints the number of calls by their code.
//!
//! calls HOST:PORT FOLDER SCENARIO

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Messages are bytes already.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

type Codes = Arc<Mutex<BTreeMap<i32, usize>>>;

#[derive(Clone)]
struct Caller {
    channel: Channel,
    codes: Codes,
}

impl Caller {
    fn count(&self, code: Code) {
        *self.codes.lock().unwrap().entry(code as i32).or_insert(0) += 1;
    }

    async fn send(&self, message: Bytes, gzip: bool, metadata: usize, timeout: Option<Duration>) -> Code {
        let mut grpc = Grpc::new(self.channel.clone());
        if gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        if let Err(error) = grpc.ready().await {
            return Status::from_error(Box::new(error)).code();
        }
        let mut request = Request::new(message);
        if metadata > 0 {
            request.metadata_mut().insert("x-large", "a".repeat(metadata).parse().unwrap());
        }
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let path = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        match grpc.unary(request, path, Raw).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    }

    async fn call(&self, message: Bytes) {
        let code = self.send(message, false, 0, None).await;
        self.count(code);
    }
}

async fn at_once<F, T>(times: usize, workers: usize, each: F)
where
    F: Fn(usize) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send,
{
    let (each, next) = (Arc::new(each), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let (each, next) = (each.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= times {
                        return;
                    }
                    each(turn).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let body = |name: &str| Bytes::from(std::fs::read(Path::new(&args[2]).join(name)).unwrap());
    let scenario = args[3].as_str();
    let mut endpoint = Endpoint::from_shared(format!("http://{}", args[1])).unwrap();
    if scenario == "keepalive" {
        endpoint = endpoint
            .http2_keep_alive_interval(Duration::from_millis(200))
            .keep_alive_timeout(Duration::from_secs(1))
            .keep_alive_while_idle(true);
    }
    let caller = Caller { channel: endpoint.connect_lazy(), codes: Codes::default() };
    let (one, four) = (body("one"), body("four"));
    let with = |message: &Bytes| (caller.clone(), message.clone());
    match scenario {
        "many" => {
            let (caller, one) = with(&one);
            at_once(2000, 300, move |_| {
                let (caller, one) = (caller.clone(), one.clone());
                async move { caller.call(one).await }
            })
            .await;
        }
        "sizes" => {
            caller.call(body("mib")).await;
            caller.call(four.clone()).await;
            let code = caller.send(four, true, 0, None).await;
            caller.count(code);
            caller.call(body("over")).await;
        }
        "deadline" => {
            let (other, four) = with(&four);
            at_once(20, 5, move |_| {
                let (caller, four) = (other.clone(), four.clone());
                async move {
                    let code = caller.send(four, false, 0, Some(Duration::from_millis(2))).await;
                    caller.count(code);
                }
            })
            .await;
            caller.call(one).await;
        }
        "cancel" => {
            let (other, four) = with(&four);
            at_once(60, 10, move |turn| {
                let (caller, four) = (other.clone(), four.clone());
                async move {
                    let after = Duration::from_millis((turn % 10) as u64);
                    // A call whose future is dropped is reset.
                    match tokio::time::timeout(after, caller.send(four, false, 0, None)).await {
                        Ok(code) => caller.count(code),
                        Err(_) => caller.count(Code::Cancelled),
                    }
                }
            })
            .await;
            caller.call(one).await;
        }
        "metadata" => {
            for size in [8000, 20000] {
                let code = caller.send(one.clone(), false, size, None).await;
                caller.count(code);
            }
            caller.call(one).await;
        }
        "keepalive" => {
            caller.call(one.clone()).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            caller.call(one).await;
        }
        "going" => {
            let (caller, one) = with(&one);
            let end = Instant::now() + Duration::from_secs(4);
            at_once(8, 8, move |_| {
                let (caller, one) = (caller.clone(), one.clone());
                async move {
                    while Instant::now() < end {
                        caller.call(one.clone()).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
            .await;
        }
        _ => panic!("{scenario}"),
    }
    let codes: Vec<String> = caller.codes.lock().unwrap().iter().map(|(code, n)| format!("\"{code}\":{n}")).collect();
    println!("{{{}}}", codes.join(","));
}

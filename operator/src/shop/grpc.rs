//! gRPC on the application's ports: any method of any service, over opaque messages.
//!
//! A method whose name begins with `Watch` streams a counter without end; every other method answers with the message that
//! it received. No proto file: the mesh must not care what is inside. Only `grpc.health.v1.Health/Check` means something: that
//! the application serves, whatever service is asked about.

use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use futures::future::{Ready, ready};
use futures::stream::BoxStream;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, ServerStreamingService, UnaryService};

use super::http::{Body, TICK};

/// Whether a request is a gRPC call.
pub(super) fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(hyper::header::HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Answers a gRPC call.
pub(super) async fn answer(request: Request<Incoming>, stop: CancellationToken) -> Response<Body> {
    if request.uri().path() == HEALTH {
        return Grpc::new(Opaque).unary(Serving, request).await;
    }
    let method = request.uri().path().rsplit('/').next().unwrap_or_default();
    if method.starts_with("Watch") {
        Grpc::new(Opaque).server_streaming(Ticks(stop), request).await
    } else {
        Grpc::new(Opaque).unary(Echo, request).await
    }
}

/// What the kubelet's gRPC probes ask.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// A `HealthCheckResponse` with `status: SERVING`.
const SERVING: &[u8] = &[8, 1];

struct Serving;

impl UnaryService<Bytes> for Serving {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        ready(Ok(tonic::Response::new(Bytes::from_static(SERVING))))
    }
}

struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

struct Ticks(CancellationToken);

impl ServerStreamingService<Bytes> for Ticks {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        let ticks = IntervalStream::new(tokio::time::interval(TICK)).enumerate();
        let messages = ticks.map(|(number, _)| Ok(Bytes::from(number.to_string())));
        ready(Ok(tonic::Response::new(
            messages.take_until(self.0.clone().cancelled_owned()).boxed(),
        )))
    }
}

/// The codec of messages as they are, undecoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl Codec for Opaque {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

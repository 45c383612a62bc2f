//! OTLP/gRPC: `tonic`'s framing and status over our client, with bodies that are encoded already.

use super::{Answer, Broken, Connector, Service, taken, unanswered};
use bytes::{Buf, BufMut, Bytes};
use http::header::{HeaderMap, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client;
use std::error::Error;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A client for one service at one address.
#[derive(Debug)]
pub(super) struct Grpc {
    client: Client<Connector, tonic::body::Body>,
    origin: Uri,
    path: PathAndQuery,
    headers: HeaderMap,
    gzip: bool,
}

impl Grpc {
    pub(super) fn new(
        client: Client<Connector, tonic::body::Body>,
        origin: Uri,
        mut headers: HeaderMap,
        gzip: bool,
        service: Service,
    ) -> Self {
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(super::super::resource::USER_AGENT));
        let path = PathAndQuery::from_static(match service {
            Service::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Service::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        });
        Self { client, origin, path, headers, gzip }
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Answer, Broken> {
        let mut grpc = tonic::client::Grpc::with_origin(self.client.clone(), self.origin.clone());
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        }
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        if let Err(error) = grpc.ready().await {
            return unanswered(&error);
        }
        match grpc.unary(request, self.path.clone(), Encoded).await {
            Ok(response) => Ok(taken(response.into_inner())),
            // Without a cause it is the server's own word; with one it was made here, and the way to it broke.
            Err(status) => status.source().map_or_else(|| Ok(failed(&status)), unanswered),
        }
    }
}

/// What a failure means, by the specification's table.
fn failed(status: &Status) -> Answer {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let why = match status.message() {
        "" => status.code().description().to_owned(),
        message => format!("{}: {}", status.code().description(), crate::model::redact::name(message)),
    };
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
            Answer::Later { after, why }
        }
        // Only a server that says when it recovers says that it will.
        Code::ResourceExhausted if after.is_some() => Answer::Later { after, why },
        _ => Answer::Refused { why },
    }
}

/// Messages as their bytes.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic_types::ErrorDetails;

    #[test]
    fn an_exhausted_server_is_asked_again_only_when_it_says_when() {
        let delay = Duration::from_millis(1500);
        let told = Status::with_error_details(Code::ResourceExhausted, "", ErrorDetails::with_retry_info(Some(delay)));
        assert!(matches!(failed(&told), Answer::Later { after: Some(after), .. } if after == delay));
        assert!(matches!(failed(&Status::resource_exhausted("")), Answer::Refused { .. }));
    }

    #[test]
    fn what_no_retry_can_help_is_not_tried_again() {
        assert!(matches!(failed(&Status::unavailable("")), Answer::Later { after: None, .. }));
        assert!(matches!(failed(&Status::invalid_argument("")), Answer::Refused { .. }));
        assert!(matches!(failed(&Status::unauthenticated("")), Answer::Refused { .. }));
    }
}

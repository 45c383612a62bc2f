//! Requests put together from spans that are encoded already.
//!
//! Spans wait as bytes: about a third of what they take as messages, and a retry sends the same bytes again. Protobuf lets a
//! message be written field by field, so a request is its head and the spans in a row.

use super::resource::{SCOPE, resource};
use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// Field numbers of `opentelemetry.proto.trace.v1`.
const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPANS: u32 = 2;

/// Encodes one span.
pub(super) fn encode(span: &Span) -> Bytes {
    span.encode_to_vec().into()
}

/// What all requests of an exporter have in common.
#[derive(Debug)]
pub(super) struct Envelope {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Envelope {
    /// Of a service described by these attributes.
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let resource = ResourceSpans { resource: Some((&resource(attributes)).into()), ..ResourceSpans::default() };
        let scope = InstrumentationScope {
            name: SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope = ScopeSpans { scope: Some(scope), ..ScopeSpans::default() };
        Self { resource: resource.encode_to_vec(), scope: scope.encode_to_vec() }
    }

    /// The request that carries these spans: an `ExportTraceServiceRequest`.
    pub(super) fn request(&self, spans: &[Bytes]) -> Bytes {
        let scope_len = self.scope.len() + spans.iter().map(|span| field_len(SPANS, span.len())).sum::<usize>();
        let resource_len = self.resource.len() + field_len(SCOPE_SPANS, scope_len);
        let mut out = BytesMut::with_capacity(field_len(RESOURCE_SPANS, resource_len));
        head(RESOURCE_SPANS, resource_len, &mut out);
        out.put_slice(&self.resource);
        head(SCOPE_SPANS, scope_len, &mut out);
        out.put_slice(&self.scope);
        for span in spans {
            head(SPANS, span.len(), &mut out);
            out.put_slice(span);
        }
        out.freeze()
    }
}

fn field_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

fn head(field: u32, len: usize, out: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    #[test]
    fn what_is_put_together_reads_as_one_request() {
        let span = |n: u64| Span { name: format!("span {n}"), start_time_unix_nano: n, ..Span::default() };
        let spans: Vec<_> = (0..300).map(span).collect();
        let encoded: Vec<_> = spans.iter().map(encode).collect();
        let body = Envelope::new(&[("service.name".to_owned(), "shop".to_owned())]).request(&encoded);
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let [resource] = &*request.resource_spans else { panic!("one resource: {request:?}") };
        let [scope] = &*resource.scope_spans else { panic!("one scope: {request:?}") };
        assert_eq!(scope.spans, spans);
        assert_eq!(scope.scope.as_ref().unwrap().name, "hopwatch");
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let service = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        assert!(format!("{:?}", service.value).contains("\"shop\""), "{service:?}");
        assert!(attributes.iter().any(|attribute| attribute.key == "telemetry.sdk.language"));
        assert_eq!(request.encode_to_vec().len(), body.len());
    }
}

//! Collectors of every kind: real ones, one that does as it is told, and what they got compared with a report.

pub(crate) mod peer;
pub(crate) mod real;
pub(crate) mod seen;

use hopwatch::export::otlp::OtlpProtocol;

/// Both ways to speak to a collector.
pub(crate) const BOTH: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf];

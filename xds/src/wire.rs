//! Messages that carry already encoded resources.
//!
//! A resource is encoded once in a process, not once a stream. On the wire an embedded message and a byte string look the
//! same, so that these messages hold `Bytes` (shared, never copied before the socket's buffer) where the generated ones hold
//! messages. Deliberately no knowledge of sessions here.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse` with encoded resources.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeltaResponse {
    /// Cosmetic: shown by Envoy as `version_text`.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// Encoded `envoy.service.discovery.v3.Resource` messages.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// The type URL of all resources in it.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Comes back in the ACK or NACK.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that exist no more.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// `envoy.service.discovery.v3.Resource` with an encoded `Any`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) resource: Bytes,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// The one field of `Resource` that depends on the moment of sending.
#[derive(Clone, PartialEq, prost::Message)]
struct Lifetime {
    #[prost(message, optional, tag = "6")]
    ttl: Option<prost_types::Duration>,
}

/// An encoded resource with its time to live appended: fields of a message may come in pieces.
pub(crate) fn with_ttl(body: &Bytes, ttl: Duration) -> Bytes {
    // Envoy refuses a zero; and nothing here lives for centuries.
    let ttl = ttl.max(Duration::from_millis(1));
    let lifetime = Lifetime {
        ttl: Some(prost_types::Duration {
            seconds: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(ttl.subsec_nanos()).unwrap_or(0),
        }),
    };
    let mut bytes = Vec::with_capacity(body.len() + lifetime.encoded_len());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&lifetime.encode_to_vec());
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::envoy::service::discovery::v3 as discovery;

    #[test]
    fn the_generated_message_reads_what_ours_writes() {
        let resource = discovery::Resource {
            name: "a".into(),
            version: "1".into(),
            resource: Some(prost_types::Any {
                type_url: "t".into(),
                value: vec![1, 2, 3],
            }),
            ..Default::default()
        };
        let generated = discovery::DeltaDiscoveryResponse {
            system_version_info: "7".into(),
            resources: vec![resource.clone(), resource.clone()],
            type_url: "t".into(),
            nonce: "n".into(),
            removed_resources: vec!["gone".into()],
            ..Default::default()
        };
        let body: Bytes = resource.encode_to_vec().into();
        let ours = DeltaResponse {
            system_version_info: "7".into(),
            resources: vec![body.clone(), body],
            type_url: "t".into(),
            nonce: "n".into(),
            removed_resources: vec!["gone".into()],
        };
        assert_eq!(
            discovery::DeltaDiscoveryResponse::decode(ours.encode_to_vec().as_slice()).unwrap(),
            generated
        );
        assert_eq!(
            DeltaResponse::decode(generated.encode_to_vec().as_slice()).unwrap(),
            ours
        );
    }

    #[test]
    fn a_ttl_can_be_appended_to_an_encoded_resource() {
        let resource = discovery::Resource {
            name: "a".into(),
            version: "1".into(),
            ..Default::default()
        };
        let sent = with_ttl(&resource.encode_to_vec().into(), Duration::from_millis(2500));
        let read = discovery::Resource::decode(sent).unwrap();
        assert_eq!(
            read.ttl,
            Some(prost_types::Duration {
                seconds: 2,
                nanos: 500_000_000
            })
        );
        assert_eq!(read.name, "a");
    }
}

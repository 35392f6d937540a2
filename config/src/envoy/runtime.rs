//! The runtime layer of one proxy: which connections are being cut, and whether a 403 names its cause.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::value::Kind as ValueKind;
use prost_types::{Struct, Value};
use xds::{Kind, Resource};

use crate::model::SpiffeId;
use crate::names::{DENIAL_HEADER_KEY, RUNTIME_LAYER, plain_revocation_key, revocation_key};

/// Every connection of the identity, every reply.
const ALL_PERCENT: f64 = 100.0;

/// Whose connections to a port are cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// These.
    pub(crate) identities: BTreeSet<SpiffeId>,
    /// Those of callers without an identity.
    pub(crate) plaintext: bool,
}

/// What the layer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeInput {
    /// By port.
    pub(crate) revoked: BTreeMap<u16, Revoked>,
    /// Whether a 403 names its cause in a header.
    pub(crate) denial_header: bool,
}

/// Compiles the layer.
pub(crate) fn runtime(input: &RuntimeInput) -> Resource {
    let keys = input.revoked.iter().flat_map(|(port, revoked)| {
        let plain = revoked.plaintext.then(|| plain_revocation_key(*port));
        let identities = revoked.identities.iter().map(|id| revocation_key(*port, id));
        identities.chain(plain)
    });
    let keys = keys.chain(input.denial_header.then(|| DENIAL_HEADER_KEY.to_owned()));
    let all = Value {
        kind: Some(ValueKind::NumberValue(ALL_PERCENT)),
    };
    let message = xds::proto::envoy::service::runtime::v3::Runtime {
        name: RUNTIME_LAYER.to_owned(),
        layer: Some(Struct {
            fields: keys.map(|key| (key, all.clone())).collect(),
        }),
    };
    Resource::new(Kind::Runtime, RUNTIME_LAYER, &message)
}

//! Who is calling: verified identities, never labels or addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unknown::{Unknown, unknown_fields};

/// Which kind of source it is; the field of that name says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SourceType {
    /// One service account of our own trust domain.
    ServiceAccount,
    /// A SPIFFE ID or a set of them.
    #[serde(rename = "SPIFFE")]
    Spiffe,
    /// Every service account of a namespace of our own trust domain.
    Namespace,
    /// Any identity of the mesh.
    Authenticated,
    /// A caller without a certificate: plaintext callers are named, never an accident.
    Unauthenticated,
}

/// A caller or a set of callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "(self.type == 'ServiceAccount') == has(self.serviceAccount)", "message": "serviceAccount goes with type ServiceAccount"},
    {"rule": "(self.type == 'SPIFFE') == has(self.spiffe)", "message": "spiffe goes with type SPIFFE"},
    {"rule": "(self.type == 'Namespace') == has(self.__namespace__)", "message": "namespace goes with type Namespace"},
]))]
pub struct Source {
    /// Which kind of source it is; `serviceAccount`, `spiffe` or `namespace` then says which one.
    #[serde(rename = "type")]
    pub source_type: SourceType,
    /// The service account, with type `ServiceAccount`: the identity `spiffe://<trust domain>/ns/<namespace>/sa/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountSource>,
    /// The SPIFFE ID or the set of them, with type SPIFFE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<SpiffeSource>,
    /// The namespace whose service accounts are all meant, with type Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceSource>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Source, service_account => "serviceAccount", spiffe => "spiffe", namespace => "namespace");

/// One service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ServiceAccountSource {
    /// The service account's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The service account's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(ServiceAccountSource);

/// How a SPIFFE ID is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SpiffeMatch {
    /// The whole ID.
    Exact,
    /// Whole path segments: `spiffe://td/ns/shop` matches `spiffe://td/ns/shop/sa/x`, never `spiffe://td/ns/shopping/sa/x`.
    PathPrefix,
    /// Every ID of a trust domain; the value is the bare name.
    TrustDomain,
}

/// A SPIFFE ID or a set of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SpiffeSource {
    /// How `value` is compared with the caller's SPIFFE ID.
    #[serde(rename = "match")]
    pub match_type: SpiffeMatch,
    /// A full URI (SPIFFE-ID section 2: at most 2048 bytes), or the bare name for `TrustDomain`.
    #[schemars(length(min = 1, max = 2048))]
    pub value: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(SpiffeSource);

/// Every service account of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct NamespaceSource {
    /// The namespace's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(NamespaceSource);

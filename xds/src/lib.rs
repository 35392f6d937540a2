//! A general xDS server: bytes, versions, sessions, and the gRPC service around them.
//!
//! Knows nothing of meshes or of Kubernetes. Without the feature `server` there is nothing asynchronous in it.

#[cfg(feature = "client")]
pub mod client;
pub mod identity;
pub mod kind;
pub mod proto;
#[cfg(feature = "server")]
pub mod publish;
pub mod resource;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
pub mod snapshot;
pub mod wire;

pub use identity::{Authenticator, Identity, NoSecrets, ProxyId, Refusal, SecretAnswer, SecretSource, Secrets};
pub use kind::Kind;
#[cfg(feature = "server")]
pub use publish::Publisher;
pub use resource::{Name, Reference, Resource, Version};
#[cfg(feature = "server")]
pub use server::{
    AggregatedDiscoveryServiceServer, Counters, PeerAddr, ProxyEvent, ProxyEvents, Server, ServerConfig, WithPeer,
    service,
};
pub use session::{Now, Outgoing, RequestError, Session, SessionConfig, SessionEvent, Stub};
pub use snapshot::{Layer, Snapshot};

//! A general xDS server: bytes, versions, sessions, and the gRPC service around them.
//!
//! Knows nothing of meshes or of Kubernetes. Without the feature `server` it is data only: resources, layers and snapshots.

pub mod kind;
pub mod proto;
pub mod resource;
pub mod snapshot;
pub mod wire;

pub use kind::Kind;
pub use resource::{Name, Reference, Resource, Version};
pub use snapshot::{Layer, Snapshot};

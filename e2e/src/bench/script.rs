//! What the null server sends: recorded messages by node, in one file.

use std::path::Path;

use anyhow::{Context, Result};
use prost::Message;

/// Messages by node.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Script {
    /// In no particular order.
    #[prost(message, repeated, tag = "1")]
    pub(super) nodes: Vec<NodeScript>,
}

/// The messages of one node.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct NodeScript {
    /// The node id.
    #[prost(string, tag = "1")]
    pub(super) node: String,
    /// Encoded responses, in order of sending.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) messages: Vec<bytes::Bytes>,
}

impl Script {
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.encode_to_vec()).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::decode(bytes.as_slice())?)
    }
}

//! The compiler of Tulle: objects -> mesh model -> Envoy configuration.
//!
//! Six verbs, each with one meaning: *parse* one object into one node, *link* the nodes into the immutable [`Model`], *select*
//! what a proxy may see, *compile* one input into one Envoy resource, *assemble* a snapshot, and *publish* (which is the
//! operator's). Everything here is a function of its arguments: no clock, no files, no network, no environment.

pub mod access;
pub mod assemble;
pub mod compiler;
pub mod diagnostic;
pub mod diff;
pub mod environment;
mod envoy;
pub mod evaluator;
pub mod input;
pub mod link;
pub mod lint;
pub mod matrix;
pub mod memo;
pub mod model;
#[cfg(feature = "mutations")]
mod mutation;
pub mod names;
pub mod origin;
pub mod parse;
pub mod placement;
mod policy;
pub mod scope;

pub use assemble::AssembleError;
pub use compiler::{Compiler, origins_of};
pub use diagnostic::{Diagnostic, Severity};
pub use envoy::stub;
pub use input::{Objects, Settings};
pub use model::Model;
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use origin::{ObjectRef, Origin};
pub use placement::{LoopbackBlock, Placement};

use std::sync::Arc;
use std::time::SystemTime;

/// Parses and links all objects. `now` decides which faults are over; nothing else depends on time.
pub fn build(objects: &Objects, settings: &Settings, now: SystemTime) -> Arc<Model> {
    #[cfg_attr(not(feature = "mutations"), allow(unused_mut, reason = "only a mutation changes it"))]
    let mut model = link::link(&parse::parse(objects, now), settings);
    #[cfg(feature = "mutations")]
    if let Some(mutation) = settings.mutation {
        mutation.apply(&mut model);
    }
    Arc::new(model)
}

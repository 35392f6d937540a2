//! The compiler of Tulle: objects -> mesh model -> Envoy configuration.
//!
//! Six verbs, each with one meaning: *parse* one object into one node, *link* the nodes into the immutable [`Model`], *select*
//! what a proxy may see, *compile* one input into one Envoy resource, *assemble* a snapshot, and *publish* (which is the
//! operator's). Everything here is a function of its arguments: no clock, no files, no network, no environment.

pub mod diagnostic;
pub mod input;
pub mod model;
pub mod origin;

pub use diagnostic::{Diagnostic, Severity};
pub use input::{Objects, Settings, Transient};
pub use model::Model;
pub use origin::{ObjectRef, Origin};

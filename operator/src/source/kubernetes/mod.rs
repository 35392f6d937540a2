//! The Kubernetes source: watches of the API server -> the same [`SourceView`] that the file source gives.
//!
//! Nothing is published before every kind was listed once: missing information denies. What is served is a function of what
//! the API server holds, so there are no accepted copies here: an object of ours that cannot be read is replaced by one that
//! takes away what it could take away and grants nothing (`stand_in`). The API server itself refuses or drops nulls in our
//! kinds; one that comes through makes the part around it unreadable, as in files.

mod connect;
mod feed;
mod gather;
mod once;
mod pod;
mod prune;
mod raw;
mod read;
mod slice;
mod stand_in;
mod watch;

#[cfg(test)]
mod tests;

pub use connect::{ConnectError, connect, connect_by};
pub(crate) use feed::Feeds;
pub(crate) use gather::read_object;
pub use once::{ReadError, list, read_once};
pub use pod::{PodDirectory, PodInfo, PodStore};
pub(crate) use pod::{controller, ended, injected};
pub(crate) use watch::configuration;
pub use watch::{KubernetesError, KubernetesHandle, start};

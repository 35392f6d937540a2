//! Processes that a run starts: Envoys and applications, each with its namespace, user, log file and process group.
//!
//! A registry on disk says what was made, so that a later start can remove what a killed one left. Only processes that
//! we started are ever signalled, by pid and start time. The admin client talks to an Envoy's Unix socket.

pub mod admin;
mod backoff;
mod command;
mod os;
mod pipe;
mod registry;
mod run_id;
mod spawner;
mod supervisor;

pub use admin::{AdminClient, AdminError};
pub use backoff::Backoff;
pub use command::{ProcessSpec, Restart, User};
pub use os::{Pid, ended, start_time};
pub(crate) use pipe::feed;
pub use registry::{Entry, MARKER, Registry, RegistryError};
pub use run_id::RunId;
pub use supervisor::{ProcessHandle, ProcessState, Supervisor};

/// The user that Envoy runs as, unless told otherwise; interception exempts it.
pub const ENVOY_UID: u32 = 1337;
/// The user that applications run as, unless told otherwise (`nobody`).
pub const APPLICATION_UID: u32 = 65534;

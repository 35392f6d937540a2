//! The file source: a folder of YAML and JSON -> `config::Objects`; `kubernetes` gives the same from an API server.
//!
//! Watches a folder tree, keeps one `Arc` for each object as long as it does not change, and serves a file that does not
//! parse from its last accepted copy. It deliberately does not look at what objects mean: that is `config`'s.

mod accepted;
mod document;
mod file;
mod folder;
pub mod kubernetes;
mod locate;
mod names;
mod object;
mod problem;
mod resolve;
mod store;
mod view;
mod walk;
mod watch;
mod whatif;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use object::{Object, Place};
pub use problem::{FileProblem, Served};
pub use view::{SourceView, check_folder, read_once};
pub use watch::{SourceHandle, start};
pub use whatif::{Written, view_of};

use config::Placement;

use crate::allocate::{AllocateError, WorkloadAddresses};

/// What to watch.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The folder of objects.
    pub folder: PathBuf,
    /// Where accepted copies and addresses are kept; never read as objects.
    pub state_dir: PathBuf,
    /// Addresses of workloads that run as processes.
    pub workload_addresses: WorkloadAddresses,
    /// Decides which addresses Services are given.
    pub placement: Placement,
}

/// Why the source does not start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder itself cannot be used.
    #[error("cannot read the folder {path}: {source}; give the folder that holds your objects")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}: {source}; make it writable, or choose another one with --state")]
    State {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Files are broken and there is no earlier content that could be served in their place.
    #[error("{}", refusal(.0))]
    Refused(Vec<FileProblem>),
    /// Addresses cannot be kept.
    #[error(transparent)]
    Allocate(#[from] AllocateError),
}

fn refusal(problems: &[FileProblem]) -> String {
    let mut text =
        "refusing to start: these files cannot be read and were never accepted before, so that leaving them out \
                    could allow what they deny:"
            .to_owned();
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

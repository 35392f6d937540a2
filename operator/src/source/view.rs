//! What the source serves at one moment.
//!
//! `Reader` ties folder, decision and store together, without any thread or clock; the watcher calls it when something
//! may have changed, `tulle lint` once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use config::{ObjectRef, Objects};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::{Folder, Hints, Seen};
use super::object::{Object, Place};
use super::problem::{FileProblem, Served};
use super::store::Store;
use super::{SourceError, SourceOptions};
use crate::allocate::{ServiceAddresses, WorkloadAddresses};

/// What is served, as of one look at the folder.
#[derive(Clone, Debug, Default)]
pub struct SourceView {
    /// Counts views from 1.
    pub sequence: u64,
    /// The compiler's input.
    pub objects: Arc<Objects>,
    /// Every object by name.
    pub by_name: Arc<BTreeMap<ObjectRef, Object>>,
    /// Where each object stands.
    pub places: Arc<BTreeMap<ObjectRef, Place>>,
    /// Files that are not served as they are.
    pub problems: Vec<FileProblem>,
}

/// Reads a folder again and again.
#[derive(Debug)]
pub(super) struct Reader {
    folder: Folder,
    store: Store,
    state_dir: PathBuf,
    view: Arc<SourceView>,
}

impl Reader {
    /// Reads everything for the first time; the error names the files that nothing can stand in for.
    pub(super) fn open(options: &SourceOptions) -> Result<Self, SourceError> {
        check_folder(&options.folder)?;
        let state = |source| SourceError::State {
            path: options.state_dir.clone(),
            source,
        };
        let folder = Folder::open(&options.folder, &options.state_dir).map_err(state)?;
        let services = ServiceAddresses::open(&options.state_dir, options.placement)?;
        let mut reader = Self {
            folder,
            store: Store::new(services, options.workload_addresses.clone()),
            state_dir: options.state_dir.clone(),
            view: Arc::default(),
        };
        reader.read_all();
        if !reader.unserved().is_empty() {
            // Somebody may just be saving: a moment later the file is whole.
            std::thread::sleep(super::folder::SETTLE);
            reader.read_all();
        }
        let unserved = reader.unserved();
        if !unserved.is_empty() {
            return Err(SourceError::Refused(unserved));
        }
        reader.folder.forget_strangers();
        Ok(reader)
    }

    /// The newest view.
    pub(super) fn view(&self) -> &Arc<SourceView> {
        &self.view
    }

    /// Looks at the folder; a new view exists if its sequence is another.
    pub(super) fn look(&mut self, hints: &Hints, now: Instant) -> Seen {
        let seen = self.folder.look(hints, now);
        if seen.changed {
            self.renew();
        }
        seen
    }

    fn read_all(&mut self) {
        self.folder.look(
            &Hints {
                everything: true,
                ..Hints::default()
            },
            Instant::now(),
        );
        self.renew();
    }

    fn unserved(&self) -> Vec<FileProblem> {
        self.view
            .problems
            .iter()
            .filter(|problem| problem.served == Served::Nothing)
            .cloned()
            .collect()
    }

    fn renew(&mut self) {
        let resolved = self.folder.resolve();
        let mut problems = self.folder.problems(&resolved);
        let (changed, allocated) = self.store.update(resolved.objects);
        if let Err(error) = allocated {
            let file = self.state_dir.clone();
            problems.push(FileProblem {
                file,
                line: None,
                column: None,
                message: error.to_string(),
                served: Served::Nothing,
            });
        }
        if changed || problems != self.view.problems || self.view.sequence == 0 {
            self.view = Arc::new(SourceView {
                sequence: self.view.sequence + 1,
                objects: Arc::new(self.store.objects()),
                by_name: Arc::new(self.store.all()),
                places: Arc::new(self.store.places(|file| self.folder.shown(file))),
                problems,
            });
        }
    }
}

/// Reads a folder once, as it is, without a state folder: broken files are only reported.
pub fn read_once(folder: &Path) -> Result<Arc<SourceView>, SourceError> {
    check_folder(folder)?;
    let mut reader = Reader {
        folder: Folder::without_copies(folder),
        // Any address will do: nothing is started, and a missing one would be a finding that is not the author's.
        store: Store::new(ServiceAddresses::in_memory(), WorkloadAddresses::by(stand_in)),
        state_dir: PathBuf::new(),
        view: Arc::default(),
    };
    reader.read_all();
    Ok(reader.view)
}

/// Whether there is such a folder; to be asked before a state folder is made in it.
pub fn check_folder(folder: &Path) -> Result<(), SourceError> {
    std::fs::read_dir(folder)
        .map(drop)
        .map_err(|source| SourceError::Folder {
            path: folder.to_owned(),
            source,
        })
}

/// An address for a workload that nobody starts.
pub(super) fn stand_in(namespace: &str, name: &str) -> Option<IpAddr> {
    let hash = xxh3_64(format!("{namespace}/{name}").as_bytes()).to_be_bytes();
    hash.first_chunk::<3>().map(|[a, b, c]| IpAddr::from([10, *a, *b, *c]))
}

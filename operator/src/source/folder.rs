//! A folder of objects, looked at again and again: what each file holds now and what was accepted last.
//!
//! All decisions about *when* to read stand here: a file under somebody's pen is not read, a file that vanished is given a
//! moment to come back (editors save by renaming), a folder that cannot be read keeps what it held.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accepted::AcceptedCopies;
use super::file::{self, Look, ParsedFile, Stamp};
use super::problem::{FileProblem, Mistake, Served};
use super::resolve::{self, Candidate, Resolved};
use super::walk::{self, Listing};

/// How long a file may be absent, or must stand still if nobody said that it is finished.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// What is known about files beyond their stamps.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Somebody has them open for writing.
    pub(super) writing: BTreeSet<PathBuf>,
    /// They were closed or renamed into place since the last look.
    pub(super) finished: BTreeSet<PathBuf>,
    /// Take everything as it stands.
    pub(super) everything: bool,
}

/// What a look brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Some file's content is another.
    pub(super) changed: bool,
    /// Look again then.
    pub(super) again_at: Option<Instant>,
}

impl Seen {
    fn again(&mut self, at: Instant) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// A watched folder.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the user gave it: messages name files below it.
    root: PathBuf,
    state_dir: Option<PathBuf>,
    accepted: Option<AcceptedCopies>,
    entries: BTreeMap<PathBuf, Entry>,
    /// The outcome could not be made durable; these files keep their accepted copy.
    unsaved: BTreeMap<PathBuf, Mistake>,
    unreadable: BTreeMap<PathBuf, String>,
    /// Files that changed without anybody saying that they are finished, and since when they stand still.
    moving: BTreeMap<PathBuf, (Stamp, Instant)>,
}

#[derive(Debug)]
struct Entry {
    stamp: Option<Stamp>,
    candidate: Candidate,
    missing_since: Option<Instant>,
}

impl Folder {
    /// A folder without memory, for `tulle lint`.
    pub(super) fn without_copies(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state_dir: None,
            accepted: None,
            entries: BTreeMap::new(),
            unsaved: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            moving: BTreeMap::new(),
        }
    }

    /// A folder whose accepted copies are kept below `state_dir`.
    pub(super) fn open(root: &Path, state_dir: &Path) -> io::Result<Self> {
        let accepted = AcceptedCopies::open(state_dir)?;
        // Links must not make the state folder look like objects.
        let state_dir = std::fs::canonicalize(state_dir)?;
        Ok(Self {
            state_dir: Some(state_dir),
            accepted: Some(accepted),
            ..Self::without_copies(root)
        })
    }

    /// Looks at every file whose stamp changed.
    pub(super) fn look(&mut self, hints: &Hints, now: Instant) -> Seen {
        let listing = walk::walk(&self.root, self.state_dir.as_deref());
        // What could not be made durable is tried again at every look.
        let mut seen = Seen {
            changed: !self.unsaved.is_empty(),
            again_at: None,
        };
        self.note_unreadable(&listing, &mut seen);
        for (path, stamp) in &listing.files {
            if !hints.writing.contains(path) {
                self.look_at(path, stamp, hints, now, &mut seen);
            }
        }
        self.drop_missing(&listing, hints, now, &mut seen);
        seen
    }

    /// Decides what is served, after making the accepted copies durable.
    pub(super) fn resolve(&mut self) -> Resolved {
        self.unsaved.clear();
        loop {
            let resolved = resolve::resolve(&self.candidates());
            let failed: Vec<_> = resolved
                .to_accept
                .iter()
                .filter_map(|path| self.accept(path).err().map(|e| (path, e)))
                .collect();
            if failed.is_empty() {
                return resolved;
            }
            for (path, error) in failed {
                let message = format!("cannot keep an accepted copy in the state folder ({error}); make room there");
                self.unsaved.insert(path.clone(), Mistake::whole(message));
            }
        }
    }

    /// The problems of a decision, for people.
    pub(super) fn problems(&self, resolved: &Resolved) -> Vec<FileProblem> {
        let of_files = resolved
            .problems
            .iter()
            .map(|(path, mistake, served)| mistake.of(self.shown(path), *served));
        let of_folders = self.unreadable.iter().map(|(path, message)| {
            let known = self
                .entries
                .iter()
                .any(|(file, entry)| file.starts_with(path) && entry.candidate.accepted.is_some());
            let served = if known { Served::AcceptedCopy } else { Served::Nothing };
            Mistake::whole(message).of(self.shown(path), served)
        });
        of_folders.chain(of_files).collect()
    }

    /// A file as it is called in messages.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    fn candidates(&self) -> BTreeMap<PathBuf, Candidate> {
        let with = |path: &PathBuf, entry: &Entry| match self.unsaved.get(path) {
            Some(mistake) => Candidate {
                current: Err(mistake.clone()),
                accepted: entry.candidate.accepted.clone(),
            },
            None => entry.candidate.clone(),
        };
        self.entries
            .iter()
            .map(|(path, entry)| (path.clone(), with(path, entry)))
            .collect()
    }

    fn accept(&mut self, path: &Path) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(path) else {
            return Ok(());
        };
        if let Ok(current) = &entry.candidate.current {
            if let Some(copies) = &self.accepted {
                copies.store(path, &current.content)?;
            }
            entry.candidate.accepted = Some(Arc::clone(current));
        }
        Ok(())
    }

    fn look_at(&mut self, path: &Path, stamp: &io::Result<Stamp>, hints: &Hints, now: Instant, seen: &mut Seen) {
        let stamp = match stamp {
            Ok(stamp) => *stamp,
            Err(error) => {
                let message =
                    format!("cannot read the file ({error}); correct the link or its permissions, or remove it");
                self.enter(path, None, Err(Mistake::whole(message)), seen);
                return;
            }
        };
        if let Some(entry) = self.entries.get_mut(path) {
            entry.missing_since = None;
            if entry.stamp == Some(stamp) {
                self.moving.remove(path);
                return;
            }
        }
        if !hints.everything && !hints.finished.contains(path) {
            let since = self
                .moving
                .get(path)
                .filter(|(last, _)| *last == stamp)
                .map_or(now, |(_, since)| *since);
            self.moving.insert(path.to_owned(), (stamp, since));
            if now.duration_since(since) < SETTLE {
                seen.again(since + SETTLE);
                return;
            }
        }
        match file::look(&self.root.join(path)) {
            Look::Moving => seen.again(now + SETTLE / 10),
            Look::Still(stamp, parsed) => self.enter(path, Some(stamp), parsed.map(Arc::new), seen),
        }
    }

    fn enter(&mut self, path: &Path, stamp: Option<Stamp>, current: Result<Arc<ParsedFile>, Mistake>, seen: &mut Seen) {
        self.moving.remove(path);
        let Some(entry) = self.entries.get_mut(path) else {
            let accepted = self.copy_of(path);
            let candidate = Candidate {
                current: same_as(current, accepted.as_ref()),
                accepted,
            };
            self.entries.insert(
                path.to_owned(),
                Entry {
                    stamp,
                    candidate,
                    missing_since: None,
                },
            );
            seen.changed = true;
            return;
        };
        entry.stamp = stamp;
        let before = entry
            .candidate
            .current
            .as_ref()
            .ok()
            .or(entry.candidate.accepted.as_ref());
        let current = same_as(current, before);
        if entry.candidate.current != current {
            entry.candidate.current = current;
            seen.changed = true;
        }
    }

    fn copy_of(&self, path: &Path) -> Option<Arc<ParsedFile>> {
        let content = self.accepted.as_ref()?.load(path)?;
        file::parse(content, file::format_of(path)?).ok().map(Arc::new)
    }

    /// Files in folders that cannot be read are broken, not gone.
    fn note_unreadable(&mut self, listing: &Listing, seen: &mut Seen) {
        let text =
            |error: &io::Error| format!("cannot read the folder ({error}); correct its permissions or mount it again");
        let unreadable: BTreeMap<_, _> = listing
            .unreadable
            .iter()
            .map(|(path, error)| (path.clone(), text(error)))
            .collect();
        seen.changed |= unreadable != self.unreadable;
        self.unreadable = unreadable;
        if listing.unreadable.is_empty() {
            return;
        }
        let copies = self.accepted.as_ref().map(AcceptedCopies::list).unwrap_or_default();
        let hidden: BTreeSet<PathBuf> = self.entries.keys().cloned().chain(copies).collect();
        for path in hidden {
            if let Some((folder, error)) = listing.hidden(&path) {
                let message = format!(
                    "its folder {} cannot be read ({error}); correct it",
                    self.shown(folder).display()
                );
                self.enter(&path, None, Err(Mistake::whole(message)), seen);
            }
        }
    }

    fn drop_missing(&mut self, listing: &Listing, hints: &Hints, now: Instant, seen: &mut Seen) {
        let mut gone = Vec::new();
        for (path, entry) in &mut self.entries {
            if listing.files.contains_key(path) || listing.hidden(path).is_some() {
                continue;
            }
            let since = *entry.missing_since.get_or_insert(now);
            if hints.everything || now.duration_since(since) >= SETTLE {
                gone.push(path.clone());
            } else {
                seen.again(since + SETTLE);
            }
        }
        for path in gone {
            self.entries.remove(&path);
            self.forget_copy(&path);
            seen.changed = true;
        }
    }

    /// Removes copies of files that were removed while nobody watched.
    pub(super) fn forget_strangers(&self) {
        let copies = self.accepted.as_ref().map(AcceptedCopies::list).unwrap_or_default();
        copies
            .iter()
            .filter(|path| !self.entries.contains_key(*path))
            .for_each(|path| self.forget_copy(path));
    }

    fn forget_copy(&self, path: &Path) {
        if let Some(Err(error)) = self.accepted.as_ref().map(|copies| copies.remove(path)) {
            tracing::warn!(file = %path.display(), %error, "cannot remove the accepted copy of a removed file");
        }
    }
}

/// Keeps the allocation of content that did not change.
fn same_as(
    current: Result<Arc<ParsedFile>, Mistake>,
    before: Option<&Arc<ParsedFile>>,
) -> Result<Arc<ParsedFile>, Mistake> {
    match (current, before) {
        (Ok(new), Some(old)) if new.content == old.content => Ok(Arc::clone(old)),
        (current, _) => current,
    }
}

//! Which content of which file is served, and which object comes from where. Pure.
//!
//! A file that is broken, or that names an object which another file already holds, is served from its accepted copy.
//! The outcome is a function of the files and their copies alone, so a restart decides as the running process did:
//! content that was accepted before goes first, new content must fit beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::ObjectRef;

use super::file::ParsedFile;
use super::object::Object;
use super::problem::{Mistake, Served};

/// One file, as it is and as it was last accepted.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) current: Result<Arc<ParsedFile>, Mistake>,
    pub(super) accepted: Option<Arc<ParsedFile>>,
}

impl Candidate {
    /// New content that nobody has accepted yet.
    fn is_new(&self) -> bool {
        match (&self.current, &self.accepted) {
            (Ok(current), Some(accepted)) => current.content != accepted.content,
            (Ok(_), None) => true,
            (Err(_), _) => false,
        }
    }
}

/// An object and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) object: Object,
    pub(super) file: PathBuf,
    pub(super) line: u64,
}

/// The outcome.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// What is served.
    pub(super) objects: BTreeMap<ObjectRef, Found>,
    /// Files whose new content is served and becomes the accepted one.
    pub(super) to_accept: Vec<PathBuf>,
    /// Files that are not served as they are.
    pub(super) problems: Vec<(PathBuf, Mistake, Served)>,
}

/// Decides.
pub(super) fn resolve(candidates: &BTreeMap<PathBuf, Candidate>) -> Resolved {
    let mut refused: BTreeMap<&PathBuf, Mistake> = candidates
        .iter()
        .filter_map(|(file, candidate)| candidate.current.as_ref().err().map(|mistake| (file, mistake.clone())))
        .collect();
    // Each round refuses one more file, so this ends.
    let mut resolved = loop {
        match attempt(candidates, &refused) {
            Ok(resolved) => break resolved,
            Err((file, mistake)) => drop(refused.insert(file, mistake)),
        }
    };
    for (file, mistake) in refused {
        let has_copy = candidates
            .get(file)
            .is_some_and(|candidate| candidate.accepted.is_some());
        let served = if has_copy {
            Served::AcceptedCopy
        } else {
            Served::Nothing
        };
        resolved.problems.push((file.clone(), mistake, served));
    }
    resolved.problems.sort();
    resolved
}

/// One round; the error is a file whose new content does not fit.
fn attempt<'a>(
    candidates: &'a BTreeMap<PathBuf, Candidate>,
    refused: &BTreeMap<&'a PathBuf, Mistake>,
) -> Result<Resolved, (&'a PathBuf, Mistake)> {
    let mut resolved = Resolved::default();
    let new: BTreeSet<&PathBuf> = candidates
        .iter()
        .filter(|(file, candidate)| candidate.is_new() && !refused.contains_key(file))
        .map(|(file, _)| file)
        .collect();
    for (file, candidate) in candidates.iter().filter(|(file, _)| !new.contains(file)) {
        let content = if refused.contains_key(file) {
            candidate.accepted.as_ref()
        } else {
            candidate.current.as_ref().ok()
        };
        for clash in content
            .into_iter()
            .filter_map(|content| claim(&mut resolved.objects, file, content).err())
        {
            // Only a crash between two copies can lead here: the first file keeps the object.
            resolved.problems.push((file.clone(), clash, Served::AcceptedCopy));
        }
    }
    for (file, candidate) in candidates.iter().filter(|(file, _)| new.contains(file)) {
        if let Ok(content) = &candidate.current {
            claim(&mut resolved.objects, file, content).map_err(|mistake| (file, mistake))?;
            resolved.to_accept.push(file.clone());
        }
    }
    Ok(resolved)
}

/// Enters the objects of a file; those that are taken are left out, and the first of them is the error.
fn claim(objects: &mut BTreeMap<ObjectRef, Found>, file: &Path, content: &ParsedFile) -> Result<(), Mistake> {
    let mut clash = Ok(());
    for placed in &content.objects {
        let reference = placed.reference.clone();
        if let Some(other) = objects.get(&reference) {
            let (there, line) = (other.file.display(), other.line);
            let message = format!("{reference} already stands in {there}, line {line}; remove one of them");
            clash = clash.and(Err(Mistake::at(placed.line, message)));
            continue;
        }
        let found = Found {
            object: placed.object.clone(),
            file: file.to_owned(),
            line: placed.line,
        };
        objects.insert(reference, found);
    }
    clash
}

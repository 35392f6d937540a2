//! What would be served if other objects were written: for `tulle diff`, which changes nothing.
//!
//! Addresses that a cluster or the allocator gave to an object stay with it, so that only what was written differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use config::ObjectRef;

use super::file::{self, Look};
use super::folder::{Folder, Hints};
use super::object::{Object, Place};
use super::problem::{FileProblem, Mistake, Served};
use super::resolve::Found;
use super::store::Store;
use super::view::{SourceView, stand_in};
use crate::allocate::{ServiceAddresses, WorkloadAddresses};

/// Objects as somebody wrote them, not served yet.
#[derive(Debug, Default)]
pub struct Written {
    objects: BTreeMap<ObjectRef, Found>,
}

impl Written {
    /// All objects of a folder, or of one file.
    pub fn read(path: &Path) -> Result<Self, Vec<FileProblem>> {
        if path.is_dir() {
            let mut folder = Folder::without_copies(path);
            let hints = Hints {
                everything: true,
                ..Hints::default()
            };
            folder.look(&hints, Instant::now());
            let resolved = folder.resolve();
            let problems = folder.problems(&resolved);
            let shown = |(reference, found): (ObjectRef, Found)| {
                let file = folder.shown(&found.file);
                (reference, Found { file, ..found })
            };
            let objects = resolved.objects.into_iter().map(shown).collect();
            return if problems.is_empty() {
                Ok(Self { objects })
            } else {
                Err(problems)
            };
        }
        let problem = |mistake: &Mistake| vec![mistake.of(path.to_owned(), Served::Nothing)];
        if std::fs::metadata(path).is_err() {
            return Err(problem(&Mistake::whole(
                "there is no such file or folder; correct the path",
            )));
        }
        match file::look(path) {
            Look::Still(_, Ok(parsed)) => Ok(Self::of(parsed, path)),
            Look::Still(_, Err(mistake)) => Err(problem(&mistake)),
            Look::Moving => Err(problem(&Mistake::whole("the file changes while it is read; try again"))),
        }
    }

    /// All objects of a text, which has no file.
    pub fn parse(text: Vec<u8>, name: &Path) -> Result<Self, Vec<FileProblem>> {
        let parsed = file::parse(text, super::document::Format::Yaml);
        let parsed = parsed.map_err(|mistake| vec![mistake.of(name.to_owned(), Served::Nothing)])?;
        Ok(Self::of(parsed, name))
    }

    fn of(parsed: file::ParsedFile, path: &Path) -> Self {
        let found = |placed: super::document::Placed| {
            let found = Found {
                object: placed.object,
                file: path.to_owned(),
                line: placed.line,
            };
            (placed.reference, found)
        };
        Self {
            objects: parsed.objects.into_iter().map(found).collect(),
        }
    }

    /// What would be served instead of `base`: with `whole` nothing but these objects, else `base` with these applied.
    pub fn applied_to(self, base: &SourceView, whole: bool) -> SourceView {
        let mut all = if whole { BTreeMap::new() } else { founds(base) };
        for (reference, mut found) in self.objects {
            if let Some(old) = base.by_name.get(&reference) {
                inherit(&mut found.object, old);
                if found.object == *old {
                    found.object = old.clone();
                }
            }
            all.insert(reference, found);
        }
        view(all)
    }
}

/// What is served when exactly these objects are.
pub fn view_of(objects: Vec<Object>) -> SourceView {
    let found = |object: Object| {
        let found = Found {
            file: PathBuf::new(),
            line: 0,
            object,
        };
        (found.object.reference(), found)
    };
    view(objects.into_iter().map(found).collect())
}

fn founds(base: &SourceView) -> BTreeMap<ObjectRef, Found> {
    let found = |(reference, object): (&ObjectRef, &Object)| {
        let place = base.places.get(reference);
        let found = Found {
            object: object.clone(),
            file: place.map_or_else(PathBuf::new, |place| place.file.clone()),
            line: place.map_or(0, |place| place.line),
        };
        (reference.clone(), found)
    };
    base.by_name.iter().map(found).collect()
}

fn view(all: BTreeMap<ObjectRef, Found>) -> SourceView {
    let mut store = Store::new(ServiceAddresses::in_memory(), WorkloadAddresses::by(stand_in));
    // In memory, giving addresses cannot fail.
    let _ = store.update(all);
    let mut places: BTreeMap<ObjectRef, Place> = store.places(Path::to_owned);
    places.retain(|_, place| place.line > 0);
    SourceView {
        sequence: 1,
        objects: Arc::new(store.objects()),
        by_name: Arc::new(store.all()),
        places: Arc::new(places),
        problems: Vec::new(),
    }
}

/// An object keeps the addresses that were given to it, unless it names others now.
fn inherit(object: &mut Object, old: &Object) {
    match (object, old) {
        (Object::Service(new), Object::Service(old)) => {
            let written = new.spec.as_ref().and_then(|spec| spec.cluster_ip.as_ref()).is_some();
            if let (false, Some(old)) = (written, &old.spec) {
                let spec = Arc::make_mut(new).spec.get_or_insert_default();
                spec.cluster_ip.clone_from(&old.cluster_ip);
                spec.cluster_ips.clone_from(&old.cluster_ips);
            }
        }
        (Object::Workload(new), Object::Workload(old)) if new.spec.address.is_none() => {
            Arc::make_mut(new).spec.address.clone_from(&old.spec.address);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Written, view_of};

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n";

    fn written(text: &str) -> Written {
        Written::parse(text.as_bytes().to_vec(), Path::new("new.yaml")).unwrap()
    }

    #[test]
    fn what_is_applied_replaces_and_adds_and_keeps_addresses() {
        let base =
            written(&SERVICE.replace("ports:", "clusterIP: 10.0.0.9, ports:")).applied_to(&view_of(Vec::new()), true);
        let text = format!(
            "{}---\n{}",
            SERVICE.replace("80", "81"),
            SERVICE.replace("name: a", "name: b")
        );
        let after = written(&text).applied_to(&base, false);
        let of = |name: &str| {
            let service = after
                .objects
                .services
                .iter()
                .find(|one| one.metadata.name.as_deref() == Some(name))
                .unwrap();
            service.spec.clone().unwrap()
        };
        assert_eq!(of("a").cluster_ip.as_deref(), Some("10.0.0.9"));
        assert_eq!(of("a").ports.unwrap().first().map(|port| port.port), Some(81));
        assert!(of("b").cluster_ip.is_some());

        let whole = written(SERVICE.replace("name: a", "name: c").as_str()).applied_to(&base, true);
        assert_eq!(whole.by_name.len(), 1);
    }

    #[test]
    fn what_is_the_same_stays_the_same_allocation() {
        let base = written(SERVICE).applied_to(&view_of(Vec::new()), true);
        let after = written(SERVICE).applied_to(&base, true);
        let (old, new) = (
            base.by_name.values().next().unwrap(),
            after.by_name.values().next().unwrap(),
        );
        assert!(old.same(new));
    }

    #[test]
    fn problems_name_the_place() {
        let problems = Written::parse(b"kind: [".to_vec(), Path::new("-")).unwrap_err();
        assert!(
            problems.iter().all(|problem| problem.to_string().starts_with("-:")),
            "{problems:?}"
        );
        let problems = Written::read(Path::new("/no/such/file.yaml")).unwrap_err();
        assert!(
            problems.first().unwrap().to_string().contains("no such file"),
            "{problems:?}"
        );
    }
}

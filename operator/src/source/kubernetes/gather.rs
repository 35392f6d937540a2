//! What all stores hold -> a [`SourceView`]. Pure: no clock, no network.
//!
//! Keeps one `Arc` for each object as long as it does not change, also when a list gives every object anew, and says whether
//! anything is served differently.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Diagnostic, ObjectRef, Objects, Severity};
use crds::conditions::Reason;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;

use super::super::object::Object;
use super::super::problem::{FileProblem, Mistake, Served};
use super::super::view::SourceView;
use super::raw::{Raw, RawKey};
use super::slice::Pods;
use super::watch::is_ours;
use super::{pod, read, slice, stand_in};

/// The objects as they are served.
#[derive(Debug)]
pub(super) struct Gather {
    system_namespace: String,
    held: BTreeMap<RawKey, Held>,
    view: Arc<SourceView>,
}

#[derive(Clone, Debug)]
struct Held {
    raw: Raw,
    object: Option<Object>,
    problem: Option<FileProblem>,
}

impl Gather {
    pub(super) fn new(system_namespace: &str) -> Self {
        Self {
            system_namespace: system_namespace.to_owned(),
            held: BTreeMap::new(),
            view: Arc::default(),
        }
    }

    /// Takes over what the stores hold; the view is another one if anything changed.
    pub(super) fn update(&mut self, raws: Vec<Raw>) -> Arc<SourceView> {
        let all_pods: Vec<Arc<Pod>> = raws.iter().filter_map(as_pod).collect();
        let pods: Pods<'_> = all_pods.iter().map(|pod| (name(pod), &**pod)).collect();
        let mut before = std::mem::take(&mut self.held);
        for raw in raws {
            let key = raw.key();
            let held = self.hold(before.remove(&key), raw, &pods);
            self.held.insert(key, held);
        }
        let (by_name, problems) = self.served(&pods);
        let unchanged = by_name.len() == self.view.by_name.len()
            && problems == self.view.problems
            && by_name
                .iter()
                .zip(&*self.view.by_name)
                .all(|(new, old)| new.0 == old.0 && new.1.same(old.1));
        if !unchanged || self.view.sequence == 0 {
            let mut objects = Objects::default();
            for object in by_name.values() {
                object.insert_into(&mut objects);
            }
            self.view = Arc::new(SourceView {
                sequence: self.view.sequence + 1,
                objects: Arc::new(objects),
                by_name: Arc::new(by_name),
                places: Arc::default(),
                problems,
            });
        }
        Arc::clone(&self.view)
    }

    /// One object, unchanged if it can be.
    fn hold(&self, old: Option<Held>, raw: Raw, pods: &Pods<'_>) -> Held {
        match old {
            // What a slice gives depends on Pods too.
            Some(old) if old.raw.same(&raw) && !matches!(raw, Raw::Slice(_)) => old,
            old => {
                let (object, problem) = self.convert(&raw, pods);
                let kept = old
                    .and_then(|old| old.object)
                    .filter(|old| Some(old) == object.as_ref());
                Held {
                    raw,
                    object: kept.or(object),
                    problem,
                }
            }
        }
    }

    fn convert(&self, raw: &Raw, pods: &Pods<'_>) -> (Option<Object>, Option<FileProblem>) {
        let object = match raw {
            Raw::Ours(kind, object) => return self.ours(kind, object),
            Raw::Service(object) => Object::Service(Arc::clone(object)),
            Raw::Namespace(object) => Object::Namespace(Arc::clone(object)),
            Raw::Slice(object) => Object::EndpointSlice(Arc::new(slice::known(object, pods))),
            Raw::Pod(object) => return (pod::workload(object).map(|one| Object::Workload(Arc::new(one))), None),
        };
        (Some(object), None)
    }

    fn ours(&self, kind: &'static str, object: &DynamicObject) -> (Option<Object>, Option<FileProblem>) {
        let read = served_as(kind, object, &self.system_namespace);
        let problem = read.mistake.map(|mistake| {
            let served = if read.object.is_some() {
                Served::StandIn
            } else {
                Served::Nothing
            };
            problem(&reference(kind, object), &mistake, served)
        });
        (read.object, problem)
    }

    /// What is served, by name, and what is wrong.
    fn served(&self, pods: &Pods<'_>) -> (BTreeMap<ObjectRef, Object>, Vec<FileProblem>) {
        let taken: BTreeSet<IpAddr> = pods.values().flat_map(|pod| pod::own_addresses(pod)).collect();
        let mut problems: Vec<FileProblem> = self.held.values().filter_map(|held| held.problem.clone()).collect();
        let mut by_name = BTreeMap::new();
        for held in self.held.values() {
            let Some(object) = &held.object else { continue };
            let reference = object.reference();
            if let (Raw::Ours(..), Object::Workload(workload)) = (&held.raw, object)
                && let Some(message) = poses(workload, pods, &taken)
            {
                problems.push(problem(&reference, &Mistake::whole(message), Served::Nothing));
                continue;
            }
            by_name.insert(reference, object.clone());
        }
        problems.sort();
        (by_name, problems)
    }
}

/// What is served for an object of ours, and why it is not the object itself.
pub(crate) struct ReadObject<M> {
    /// The object or what stands in for it.
    pub(crate) object: Option<Object>,
    /// What is wrong with it.
    pub(crate) mistake: Option<M>,
}

fn served_as(kind: &str, object: &DynamicObject, system_namespace: &str) -> ReadObject<Mistake> {
    match read::read(kind, &read::value(kind, object)) {
        Ok(object) => ReadObject {
            object: Some(object),
            mistake: None,
        },
        Err(mistake) => ReadObject {
            object: stand_in::stand_in(kind, object, system_namespace, &mistake),
            mistake: Some(mistake),
        },
    }
}

/// The same for who judges an object before it is there. The compiler says of a stand-in what is wrong.
pub(crate) fn read_object(kind: &str, object: &DynamicObject, system_namespace: &str) -> ReadObject<Diagnostic> {
    if !is_ours(kind) {
        return ReadObject {
            object: None,
            mistake: None,
        };
    }
    let read = served_as(kind, object, system_namespace);
    let mistake = read.mistake.map(|mistake| Diagnostic {
        object: Arc::new(reference(kind, object)),
        path: if mistake.path.is_empty() {
            "spec".to_owned()
        } else {
            mistake.path
        },
        rule: None,
        reason: Reason::Invalid,
        message: mistake.message,
        severity: Severity::Error,
    });
    ReadObject {
        object: read.object,
        mistake,
    }
}

fn reference(kind: &str, object: &DynamicObject) -> ObjectRef {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    ObjectRef::new(kind, &text(&object.metadata.namespace), &text(&object.metadata.name))
}

/// Why a Workload object is not served: it would be taken for a Pod, which has proved what it is.
fn poses(workload: &crds::Workload, pods: &Pods<'_>, taken: &BTreeSet<IpAddr>) -> Option<String> {
    let namespace = workload.metadata.namespace.as_deref().unwrap_or_default();
    let name = workload.metadata.name.as_deref().unwrap_or_default();
    if pods.contains_key(&(namespace, name)) {
        return Some(
            "there is a Pod of this name, which is a workload itself; give the Workload another name".to_owned(),
        );
    }
    let address = workload.spec.address.as_deref()?.parse::<IpAddr>().ok()?;
    taken.contains(&address).then(|| {
        format!("{address} is the address of a Pod, which is a workload itself; write the address of the VM or process")
    })
}

fn problem(reference: &ObjectRef, mistake: &Mistake, served: Served) -> FileProblem {
    mistake.of(PathBuf::from(reference.to_string()), served)
}

fn as_pod(raw: &Raw) -> Option<Arc<Pod>> {
    match raw {
        Raw::Pod(pod) => Some(Arc::clone(pod)),
        _ => None,
    }
}

fn name(pod: &Pod) -> (&str, &str) {
    (
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default(),
    )
}

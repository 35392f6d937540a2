//! The typed store: one `Arc` for an object as long as it does not change.
//!
//! Fills in what a cluster would have filled in (addresses), then compares with what it held, so that reloading a file
//! with one edit leaves every other object pointer-equal.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{ObjectRef, Objects};

use super::object::{Object, Place};
use super::resolve::Found;
use crate::allocate::{AllocateError, ServiceAddresses, WorkloadAddresses};

/// The objects as they are served.
#[derive(Debug)]
pub(super) struct Store {
    held: BTreeMap<ObjectRef, Held>,
    services: ServiceAddresses,
    workloads: WorkloadAddresses,
}

#[derive(Debug)]
struct Held {
    /// As the file has it.
    read: Object,
    /// With addresses.
    served: Object,
    place: Place,
}

impl Store {
    pub(super) fn new(services: ServiceAddresses, workloads: WorkloadAddresses) -> Self {
        Self {
            held: BTreeMap::new(),
            services,
            workloads,
        }
    }

    /// Takes over a decision and says whether anything is served differently. The second value is an error if Services
    /// without an address could not get one; all else is taken over then.
    pub(super) fn update(&mut self, objects: BTreeMap<ObjectRef, Found>) -> (bool, Result<(), AllocateError>) {
        let allocated = self.allocate(&objects);
        let mut before = std::mem::take(&mut self.held);
        let mut changed = before.len() != objects.len();
        for (reference, found) in objects {
            let place = Place {
                file: found.file,
                line: found.line,
            };
            let held = match before.remove(&reference) {
                Some(old) if old.read.same(&found.object) && old.served.has_address() => {
                    changed |= old.place != place;
                    Held { place, ..old }
                }
                old => {
                    let filled = self.fill(found.object.clone());
                    let kept = old.map(|old| old.served).filter(|old| *old == filled);
                    changed |= kept.is_none();
                    Held {
                        read: found.object,
                        served: kept.unwrap_or(filled),
                        place,
                    }
                }
            };
            self.held.insert(reference, held);
        }
        (changed, allocated)
    }

    /// The compiler's lists.
    pub(super) fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        self.held
            .values()
            .for_each(|held| held.served.insert_into(&mut objects));
        objects
    }

    /// Every object as it is served.
    pub(super) fn all(&self) -> BTreeMap<ObjectRef, Object> {
        self.held
            .iter()
            .map(|(reference, held)| (reference.clone(), held.served.clone()))
            .collect()
    }

    /// Where each object stands, files as `shown` calls them.
    pub(super) fn places(&self, shown: impl Fn(&Path) -> PathBuf) -> BTreeMap<ObjectRef, Place> {
        let place = |held: &Held| Place {
            file: shown(&held.place.file),
            line: held.place.line,
        };
        self.held
            .iter()
            .map(|(reference, held)| (reference.clone(), place(held)))
            .collect()
    }

    fn allocate(&mut self, objects: &BTreeMap<ObjectRef, Found>) -> Result<(), AllocateError> {
        let mut wanting = BTreeSet::new();
        let mut reserved = BTreeSet::new();
        for (reference, found) in objects {
            let Object::Service(service) = &found.object else {
                continue;
            };
            match explicit_address(service) {
                Some(address) => drop(address.parse::<Ipv4Addr>().map(|address| reserved.insert(address))),
                None => drop(wanting.insert(name(reference))),
            }
        }
        self.services.assign(&wanting, &reserved)
    }

    fn fill(&self, mut object: Object) -> Object {
        let reference = object.reference();
        match &mut object {
            Object::Service(service) if explicit_address(service).is_none() => {
                if let Some(address) = self.services.get(&name(&reference)) {
                    let spec = Arc::make_mut(service).spec.get_or_insert_default();
                    spec.cluster_ip = Some(address.to_string());
                    spec.cluster_ips = Some(vec![address.to_string()]);
                }
            }
            Object::Workload(workload) if workload.spec.address.is_none() && workload.spec.process.is_some() => {
                if let Some(address) = self.workloads.of(&reference.namespace, &reference.name) {
                    Arc::make_mut(workload).spec.address = Some(address.to_string());
                }
            }
            _ => {}
        }
        object
    }
}

impl Object {
    /// Nothing is missing that `fill` could add now.
    fn has_address(&self) -> bool {
        match self {
            Self::Service(service) => explicit_address(service).is_some(),
            _ => true,
        }
    }
}

/// The address that the Service itself names, `None` (headless) included; external names need none.
fn explicit_address(service: &k8s_openapi::api::core::v1::Service) -> Option<&str> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return Some("None");
    }
    spec.cluster_ip.as_deref().filter(|address| !address.is_empty())
}

fn name(reference: &ObjectRef) -> String {
    format!("{}/{}", reference.namespace, reference.name)
}

//! The compiler with its memory: model -> snapshot of one proxy.
//!
//! Three layers: what every proxy has, what the proxies of a scope share, and a proxy's own. The first two are built once
//! for each model. A layer in which nothing changed stays the same `Arc`, so that publishing compares pointers. The memory
//! only saves work: a new compiler gives the same bytes.

mod loopback;
mod memos;
mod mesh;
mod origins;
mod own;
mod scoped;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use xds::{Layer, Resource, Snapshot};

pub use origins::origins_of;

use crate::assemble::{AssembleError, fits};
use crate::input::Settings;
use crate::memo::Counts;
use crate::model::{Key, Model};
use crate::placement::Placement;
use crate::scope::{Scope, dialled, hidden};
use memos::Memos;

/// Everything a layer is built from.
struct World<'a> {
    model: &'a Model,
    settings: &'a Settings,
}

/// A layer and the resources that it was built from, in order.
struct Built {
    resources: Vec<Arc<Resource>>,
    layer: Arc<Layer>,
}

impl Built {
    /// Keeps the old layer if every resource is the same.
    fn renew(old: Option<&Built>, resources: Vec<Arc<Resource>>) -> Self {
        let same = |old: &&Built| {
            old.resources.len() == resources.len()
                && old.resources.iter().zip(&resources).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let layer = match old.filter(same) {
            Some(old) => Arc::clone(&old.layer),
            None => Arc::new(Layer::from_resources(resources.iter().cloned())),
        };
        Self { resources, layer }
    }
}

/// What shared layers were built for.
struct Basis {
    model: Arc<Model>,
    settings: Settings,
    /// Where workloads are dialled by their own addresses.
    dialled: BTreeSet<(IpAddr, u16)>,
}

/// The compiler.
#[derive(Default)]
pub struct Compiler {
    memos: Memos,
    basis: Option<Basis>,
    mesh: Option<Built>,
    mesh_is_current: bool,
    /// With whether they are of the current basis.
    scopes: BTreeMap<Scope, (Built, bool)>,
    own: BTreeMap<Key, Built>,
}

impl Compiler {
    /// A compiler that remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compiles the snapshot of one workload's proxy.
    pub fn snapshot(
        &mut self,
        model: &Arc<Model>,
        settings: &Settings,
        workload: &Key,
    ) -> Result<Snapshot, AssembleError> {
        self.turn(model, settings);
        let this = model
            .workloads
            .get(workload)
            .ok_or_else(|| AssembleError::UnknownWorkload(workload.clone()))?;
        let world = World { model, settings };
        let mesh = self.mesh_layer(&world)?;
        let scope = self.scope_layer(&world, Scope::of(this), &mesh)?;
        let resources = own::resources(&mut self.memos, &world, this);
        let own = Built::renew(self.own.get(workload), resources);
        let own_layer = Arc::clone(&own.layer);
        self.own.insert(workload.clone(), own);
        let mut layers = vec![mesh, scope];
        let hidden = self
            .basis
            .as_ref()
            .map(|basis| hidden(&basis.dialled, this))
            .unwrap_or_default();
        fits(&own_layer, &layers, &hidden)?;
        layers.push(own_layer);
        Ok(Snapshot {
            revision: 0,
            layers,
            hidden: Arc::new(hidden),
        })
    }

    /// What was compiled, remembered and encoded so far.
    pub fn counts(&self) -> Counts {
        self.memos.counts()
    }

    /// Notices a new model: shared layers are built anew, and what nobody asked for lately is forgotten.
    fn turn(&mut self, model: &Arc<Model>, settings: &Settings) {
        let same = |basis: &Basis| Arc::ptr_eq(&basis.model, model) && basis.settings == *settings;
        if self.basis.as_ref().is_some_and(same) {
            return;
        }
        self.basis = Some(Basis {
            model: Arc::clone(model),
            settings: settings.clone(),
            dialled: match settings.placement {
                Placement::Intercepted => dialled(model),
                Placement::Loopback(_) => BTreeSet::new(),
            },
        });
        self.memos.sweep();
        self.mesh_is_current = false;
        // A scope that the last model had no proxy for is forgotten.
        self.scopes.retain(|_, (_, current)| std::mem::replace(current, false));
        self.own.retain(|workload, _| model.workloads.contains_key(workload));
    }

    fn mesh_layer(&mut self, world: &World<'_>) -> Result<Arc<Layer>, AssembleError> {
        if let Some(mesh) = self.mesh.as_ref().filter(|_| self.mesh_is_current) {
            return Ok(Arc::clone(&mesh.layer));
        }
        let built = Built::renew(self.mesh.as_ref(), mesh::resources(&mut self.memos, world));
        fits(&built.layer, &[], &BTreeSet::new())?;
        let layer = Arc::clone(&built.layer);
        self.mesh = Some(built);
        self.mesh_is_current = true;
        Ok(layer)
    }

    fn scope_layer(&mut self, world: &World<'_>, scope: Scope, mesh: &Arc<Layer>) -> Result<Arc<Layer>, AssembleError> {
        if let Some((built, true)) = self.scopes.get(&scope) {
            return Ok(Arc::clone(&built.layer));
        }
        let resources = scoped::resources(&mut self.memos, world, &scope);
        let built = Built::renew(self.scopes.get(&scope).map(|(built, _)| built), resources);
        fits(&built.layer, std::slice::from_ref(mesh), &BTreeSet::new())?;
        let layer = Arc::clone(&built.layer);
        self.scopes.insert(scope, (built, true));
        Ok(layer)
    }
}

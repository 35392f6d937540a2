//! Everything one proxy should have: a union of shared layers.
//!
//! Layers are immutable and shared between proxies (mesh-wide, scope, own), so that a change is found by comparing a few
//! pointers. Nothing here knows what is in a resource, beyond the references that it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::{Name, Reference, Resource};

/// Resources by kind and name; immutable once built, so that proxies share it and compare it by pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    kinds: BTreeMap<Kind, BTreeMap<Name, Arc<Resource>>>,
}

impl Layer {
    /// Builds a layer; of two resources with one kind and name the later stays.
    pub fn from_resources(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut kinds: BTreeMap<Kind, BTreeMap<Name, Arc<Resource>>> = BTreeMap::new();
        for resource in resources {
            kinds
                .entry(resource.kind)
                .or_default()
                .insert(Arc::clone(&resource.name), resource);
        }
        Self { kinds }
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.kinds.get(&kind)?.get(name)
    }

    /// All of a kind, by name.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.kinds.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kinds.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

/// Everything one proxy should have. Names do not repeat across layers.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with each publication of one control plane; never a resource's version.
    pub revision: u64,
    /// The union of these.
    pub layers: Vec<Arc<Layer>>,
    /// What this proxy does not get of a layer that it shares with others: so one exception needs no layer of its own.
    pub hidden: Arc<BTreeSet<Reference>>,
}

impl Snapshot {
    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        let found = self.layers.iter().find_map(|layer| layer.get(kind, name))?;
        (!self.hides(found)).then_some(found)
    }

    /// All of a kind, by name.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        merged(self.layers.iter().map(move |layer| layer.iter(kind))).filter(|resource| !self.hides(resource))
    }

    fn hides(&self, resource: &Resource) -> bool {
        !self.hidden.is_empty()
            && self
                .hidden
                .contains(&Reference::new(resource.kind, Arc::clone(&resource.name)))
    }

    /// References that lead nowhere, as (from, to): a mistake of the compiler, never of a user.
    pub fn dangling(&self) -> Vec<(Reference, Reference)> {
        let mut dangling = Vec::new();
        for resource in Kind::ALL.into_iter().flat_map(|kind| self.iter(kind)) {
            for to in &resource.references {
                if self.get(to.kind, &to.name).is_none() {
                    dangling.push((Reference::new(resource.kind, Arc::clone(&resource.name)), to.clone()));
                }
            }
        }
        dangling
    }

    /// Whether both hold the same resources in the same layers; layers are compared by pointer first.
    pub fn same_content(&self, other: &Snapshot) -> bool {
        self.hidden == other.hidden
            && self.layers.len() == other.layers.len()
            && self
                .layers
                .iter()
                .zip(&other.layers)
                .all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
    }
}

/// Sorted iterators as one sorted iterator.
pub(crate) fn merged<'a>(
    parts: impl Iterator<Item = impl Iterator<Item = &'a Arc<Resource>>>,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    let mut parts: Vec<Peekable<_>> = parts.map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let first =
            |(index, part): (usize, &mut Peekable<_>)| part.peek().map(|next: &&'a Arc<Resource>| (&*next.name, index));
        let (_, index) = parts.iter_mut().enumerate().filter_map(first).min()?;
        parts.get_mut(index)?.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::envoy::config::cluster::v3::Cluster;

    fn cluster(name: &str, references: &[(Kind, &str)]) -> Arc<Resource> {
        let message = Cluster {
            name: name.into(),
            ..Default::default()
        };
        let references = references
            .iter()
            .map(|(kind, name)| Reference::new(*kind, *name))
            .collect();
        Arc::new(Resource::new(Kind::Cluster, name, &message).with_references(references))
    }

    fn snapshot(layers: &[&[Arc<Resource>]]) -> Snapshot {
        let layers = layers
            .iter()
            .map(|layer| Arc::new(Layer::from_resources(layer.iter().cloned())))
            .collect();
        Snapshot {
            revision: 1,
            layers,
            ..Snapshot::default()
        }
    }

    #[test]
    fn iteration_is_by_name_across_layers() {
        let snapshot = snapshot(&[
            &[cluster("b", &[]), cluster("d", &[])],
            &[],
            &[cluster("c", &[]), cluster("a", &[])],
        ]);
        let names: Vec<&str> = snapshot.iter(Kind::Cluster).map(|resource| &*resource.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(snapshot.iter(Kind::Route).count(), 0);
    }

    #[test]
    fn references_may_cross_layers_and_dangling_ones_are_named() {
        let good = [cluster("a", &[(Kind::Cluster, "b")])];
        let snapshot = snapshot(&[&good, &[cluster("b", &[(Kind::Endpoints, "nowhere")])]]);
        assert_eq!(
            snapshot.dangling(),
            [(
                Reference::new(Kind::Cluster, "b"),
                Reference::new(Kind::Endpoints, "nowhere")
            )]
        );
    }

    #[test]
    fn what_is_hidden_is_not_there() {
        let mut snapshot = snapshot(&[&[cluster("a", &[(Kind::Cluster, "b")]), cluster("b", &[])]]);
        let whole = snapshot.clone();
        snapshot.hidden = Arc::new([Reference::new(Kind::Cluster, "b")].into());
        assert_eq!(snapshot.get(Kind::Cluster, "b"), None);
        assert_eq!(snapshot.iter(Kind::Cluster).count(), 1);
        assert_eq!(snapshot.dangling().len(), 1);
        assert!(!snapshot.same_content(&whole));
    }

    #[test]
    fn equal_content_is_equal_whatever_the_revision() {
        let mut other = snapshot(&[&[cluster("a", &[])]]);
        other.revision = 2;
        assert!(snapshot(&[&[cluster("a", &[])]]).same_content(&other));
        assert!(!snapshot(&[&[cluster("b", &[])]]).same_content(&other));
    }
}

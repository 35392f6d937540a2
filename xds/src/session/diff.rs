//! A new snapshot: which names may have to be sent.
//!
//! Layers that both snapshots share are skipped by pointer. Names are only marked; what is sent is decided when it can be sent.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Session;
use crate::kind::Kind;
use crate::resource::{Name, Reference, Resource};
use crate::snapshot::{Layer, Snapshot, merged};

impl Session {
    /// Takes in a new snapshot; it replaces the one before, sent or not.
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let before = self.snapshot.take();
        // What changed now is not in sync at any revision after the last one seen.
        let since = before.as_ref().map_or(0, |before| before.revision.saturating_add(1));
        let old = before.as_ref().map_or(&[][..], |before| &before.layers);
        let gone = without(old, &snapshot.layers);
        let came = without(&snapshot.layers, old);
        let unhidden = Arc::default();
        let hidden_before = before.as_ref().map_or(&unhidden, |before| &before.hidden);
        let turned: Vec<&Reference> = hidden_before.symmetric_difference(&snapshot.hidden).collect();
        for kind in Kind::ALL {
            let state = self.kinds.of_mut(kind);
            if state.requested {
                changed(&gone, &came, kind, |name| {
                    if state.wants(name) {
                        state.mark(Arc::clone(name), since, false);
                    }
                });
                for one in turned.iter().filter(|one| one.kind == kind) {
                    if state.wants(&one.name) {
                        state.mark(Arc::clone(&one.name), since, false);
                    }
                }
            }
        }
        self.snapshot = Some(snapshot);
    }
}

fn without<'a>(layers: &'a [Arc<Layer>], others: &[Arc<Layer>]) -> Vec<&'a Arc<Layer>> {
    layers
        .iter()
        .filter(|layer| !others.iter().any(|other| Arc::ptr_eq(layer, other)))
        .collect()
}

/// Walks both sides in order of name.
fn changed(gone: &[&Arc<Layer>], came: &[&Arc<Layer>], kind: Kind, mut each: impl FnMut(&Name)) {
    let mut old = merged(gone.iter().map(|layer| layer.iter(kind))).peekable();
    let mut new = merged(came.iter().map(|layer| layer.iter(kind))).peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let old = if order.is_le() { old.next() } else { None };
        let new = if order.is_ge() { new.next() } else { None };
        match (old, new) {
            (Some(old), Some(new)) if same(old, new) => {}
            (_, Some(either)) | (Some(either), _) => each(&either.name),
            (None, None) => {}
        }
    }
}

fn same(old: &Arc<Resource>, new: &Arc<Resource>) -> bool {
    Arc::ptr_eq(old, new) || old.version == new.version
}

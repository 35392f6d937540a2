//! One port while permissions are merged: the policy in force, and beside it the one that Shadow permissions would make.
//!
//! Every object counts for the candidate, those in Shadow for nothing else. A port that no Shadow permission reaches has no
//! candidate.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::verdict;
use crate::link::topology::{PortFacts, Topology};
use crate::model::{Candidate, PermissionRule, PortPermission};

/// What is known of a port so far. Rules are kept by the name under which Envoy knows them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) selected: bool,
    pub(super) deny: BTreeMap<Arc<str>, Arc<PermissionRule>>,
    pub(super) allow: BTreeMap<Arc<str>, Arc<PermissionRule>>,
}

/// A port as it is, and as Shadow permissions would have it.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    enforced: Draft,
    candidate: Draft,
    shadowed: bool,
}

impl Drafts {
    /// Puts something into the candidate, and in force unless it is a shadow.
    pub(super) fn change(&mut self, shadow: bool, change: impl Fn(&mut Draft)) {
        change(&mut self.candidate);
        if shadow {
            self.shadowed = true;
        } else {
            change(&mut self.enforced);
        }
    }

    /// The finished permission.
    pub(super) fn finish(self, topology: &Topology, facts: &PortFacts) -> PortPermission {
        let default = |draft: &Draft| verdict::default(topology.mesh.default_action, facts, draft.selected);
        let candidate = self.shadowed.then(|| {
            let default = default(&self.candidate);
            Arc::new(Candidate {
                deny: self.candidate.deny.into_values().collect(),
                allow: self.candidate.allow.into_values().collect(),
                default,
            })
        });
        let default = default(&self.enforced);
        PortPermission {
            deny: self.enforced.deny.into_values().collect(),
            allow: self.enforced.allow.into_values().collect(),
            default,
            candidate,
        }
    }
}

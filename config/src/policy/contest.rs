//! Entries of one name at one port: the most specific target wins, then the first by namespace and name.
//!
//! No timestamps: GitOps re-creates objects, and what is served depends on what was written, not on when.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::link::reach::Specificity;
use crate::link::topology::PortId;
use crate::origin::ObjectRef;

/// One entry of one object, as it claims a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) specificity: Specificity,
    pub(crate) object: Arc<ObjectRef>,
    /// The object's place among the nodes.
    pub(crate) node: usize,
    /// The entry's place in the object.
    pub(crate) entry: usize,
}

impl Claim {
    /// Sorts the winner first.
    fn rank(&self) -> (Reverse<Specificity>, &ObjectRef) {
        (Reverse(self.specificity), &self.object)
    }
}

/// All claims to one port, by what makes entries compete (their name).
#[derive(Debug)]
pub(crate) struct Contest<K> {
    ports: BTreeMap<PortId, BTreeMap<K, Vec<Claim>>>,
}

/// Who won at one port, and who lost to whom.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) winners: Vec<Claim>,
    /// Loser, winner.
    pub(crate) lost: Vec<(Claim, Claim)>,
}

impl<K: Ord> Contest<K> {
    /// Without any claim.
    pub(crate) fn new() -> Self {
        Self { ports: BTreeMap::new() }
    }

    /// An object claims a port; by several targets, its most specific one counts.
    pub(crate) fn claim(&mut self, port: &PortId, key: K, claim: Claim) {
        let claims = self.ports.entry(port.clone()).or_default().entry(key).or_default();
        match claims
            .iter_mut()
            .find(|known| known.node == claim.node && known.entry == claim.entry)
        {
            Some(known) => known.specificity = known.specificity.max(claim.specificity),
            None => claims.push(claim),
        }
    }

    /// Decides every port.
    pub(crate) fn decide(self) -> BTreeMap<PortId, Decided> {
        let decide = |by_key: BTreeMap<K, Vec<Claim>>| {
            let mut decided = Decided::default();
            for mut claims in by_key.into_values() {
                claims.sort_by(|a, b| a.rank().cmp(&b.rank()));
                let mut claims = claims.into_iter();
                let Some(winner) = claims.next() else { continue };
                decided.lost.extend(claims.map(|loser| (loser, winner.clone())));
                decided.winners.push(winner);
            }
            decided
        };
        self.ports
            .into_iter()
            .map(|(port, by_key)| (port, decide(by_key)))
            .collect()
    }
}

//! ACK and NACK.
//!
//! A NACK covers a whole response, and what of it was applied depends on the kind and on the error. So every resource of a
//! refused batch is sent again alone; one that is refused alone is the culprit: it is reported, and not sent again before its
//! content changes or the client asks for it. A NACK concerns its own stream only.

use std::sync::Arc;

use super::state::{InFlight, Item, Suspect};
use super::{Session, SessionEvent};
use crate::kind::Kind;
use crate::proto::google::rpc::Status;
use crate::resource::Version;

/// Envoy's words can quote a whole configuration.
const MAX_MESSAGE: usize = 2048;

impl Session {
    pub(super) fn on_answer(&mut self, kind: Kind, nonce: &str, error: Option<&Status>) {
        let in_flight = &mut self.kinds.of_mut(kind).in_flight;
        let position = in_flight.iter().position(|response| response.nonce == nonce);
        let Some(response) = position.and_then(|position| in_flight.remove(position)) else {
            return; // a stale nonce answers nothing
        };
        if kind == Kind::Cluster {
            for item in &response.items {
                self.warming.remove(&item.name);
            }
        }
        match (error, response.items.as_slice()) {
            (None, _) | (_, []) => {}
            (Some(error), [culprit]) => self.refuse(kind, culprit.clone(), &error.message),
            (Some(_), _) => self.suspect_all(kind, response),
        }
    }

    fn refuse(&mut self, kind: Kind, culprit: Item, message: &str) {
        let state = self.kinds.of_mut(kind);
        if !state.wants(&culprit.name) {
            return;
        }
        if state.held.get(&culprit.name) == culprit.version.as_ref() {
            state.set_held(&culprit.name, culprit.before);
            state.refused.insert(Arc::clone(&culprit.name), culprit.version.clone());
        } else {
            // A newer one is on its way: what the client had before it is not what we thought.
            amend(&mut state.in_flight, &culprit.name, culprit.before.as_ref());
        }
        self.events.push(SessionEvent::Nacked {
            kind,
            names: vec![culprit.name],
            versions: vec![culprit.version.unwrap_or_default()],
            message: message.chars().take(MAX_MESSAGE).collect(),
        });
    }

    fn suspect_all(&mut self, kind: Kind, response: InFlight) {
        let unknown = Version::default();
        let state = self.kinds.of_mut(kind);
        for item in response.items {
            if !state.wants(&item.name) {
                continue;
            }
            if state.held.get(&item.name) != item.version.as_ref() {
                amend(&mut state.in_flight, &item.name, Some(&unknown));
                continue;
            }
            state.held.insert(Arc::clone(&item.name), Arc::clone(&unknown));
            state.mark(Arc::clone(&item.name), response.since, false);
            state.suspects.insert(
                item.name,
                Suspect {
                    version: item.version,
                    before: item.before,
                },
            );
        }
        state.suspects_turn = true;
    }
}

fn amend<'a>(in_flight: impl IntoIterator<Item = &'a mut InFlight>, name: &str, before: Option<&Version>) {
    let newer = in_flight
        .into_iter()
        .flat_map(|response| &mut response.items)
        .find(|item| &*item.name == name);
    if let Some(item) = newer {
        item.before = before.cloned();
    }
}

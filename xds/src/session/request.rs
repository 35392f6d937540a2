//! Requests: what the client subscribes to, and what it says it has.
//!
//! Subscriptions are honoured whatever the nonce; a nonce only matches an ACK or NACK to its response.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Now, RequestError, Session};
use crate::kind::Kind;
use crate::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use crate::resource::Name;

/// Longer names than this are nobody's.
const MAX_NAME: usize = 4096;
const EVERYTHING: &str = "*";

impl Session {
    /// Takes in a request. Responses come from [`Session::poll`].
    pub fn on_request(&mut self, request: DeltaDiscoveryRequest, now: Now) -> Result<(), RequestError> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return Err(RequestError::UnknownType(request.type_url.chars().take(200).collect()));
        };
        self.check_size(&request)?;
        if !request.response_nonce.is_empty() {
            self.on_answer(kind, &request.response_nonce, request.error_detail.as_ref());
        }
        let first = !self.kinds.of(kind).requested;
        self.kinds.of_mut(kind).requested = true;
        if first {
            self.first_request(
                kind,
                &request.resource_names_subscribe,
                request.initial_resource_versions,
            );
        } else {
            for name in &request.resource_names_subscribe {
                self.subscribe(kind, name, None);
            }
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(kind, name);
        }
        self.latest = now;
        Ok(())
    }

    fn check_size(&self, request: &DeltaDiscoveryRequest) -> Result<(), RequestError> {
        let known: usize = self
            .kinds
            .iter()
            .map(|(_, state)| state.names.len() + state.held.len())
            .sum();
        let new = request.resource_names_subscribe.len() + request.initial_resource_versions.len();
        if known + new > self.config.max_names {
            return Err(RequestError::TooMuch("too many names"));
        }
        let versions = request
            .initial_resource_versions
            .iter()
            .flat_map(|(name, version)| [name, version]);
        if request
            .resource_names_subscribe
            .iter()
            .chain(versions)
            .any(|text| text.len() > MAX_NAME)
        {
            return Err(RequestError::TooMuch("a name is too long"));
        }
        Ok(())
    }

    /// The first of a kind on this stream, the only one that tells what the client has.
    fn first_request(&mut self, kind: Kind, subscribe: &[String], initial: BTreeMap<String, String>) {
        if subscribe.is_empty() && kind.is_wildcard() {
            self.subscribe(kind, EVERYTHING, Some(&initial));
        }
        for name in subscribe {
            self.subscribe(kind, name, Some(&initial));
        }
        for (name, version) in initial {
            if self.kinds.of(kind).wants(&name) {
                let name = self.intern(kind, &name);
                // What it has and what exists no more must be looked at too.
                let version = match self.snapshot.as_ref().and_then(|snapshot| snapshot.get(kind, &name)) {
                    Some(resource) if *resource.version == *version => Arc::clone(&resource.version),
                    _ => version.into(),
                };
                let state = self.kinds.of_mut(kind);
                state.mark(Arc::clone(&name), 0, false);
                state.held.insert(name, version);
            }
        }
    }

    fn subscribe(&mut self, kind: Kind, name: &str, initial: Option<&BTreeMap<String, String>>) {
        if name == EVERYTHING {
            if kind.is_wildcard() {
                self.subscribe_to_everything(kind, initial.is_none_or(BTreeMap::is_empty));
            }
            return;
        }
        // A client that says what it has asks to be told of differences; otherwise a name is a demand, held or not. Endpoints of
        // a cluster that was just replaced are owed even so.
        let declared = initial.is_some_and(|initial| initial.contains_key(name));
        let owed = kind == Kind::Endpoints && self.owed_endpoints.remove(name);
        let name = self.intern(kind, name);
        self.expected
            .retain(|reference, _| !(reference.kind == kind && reference.name == name));
        let state = self.kinds.of_mut(kind);
        state.names.insert(Arc::clone(&name));
        state.mark(name, 0, !declared || owed);
    }

    fn subscribe_to_everything(&mut self, kind: Kind, owes_answer: bool) {
        let state = self.kinds.of_mut(kind);
        state.wildcard = true;
        state.owes_answer |= owes_answer;
        if let Some(snapshot) = &self.snapshot {
            for resource in snapshot.iter(kind) {
                state.mark(Arc::clone(&resource.name), 0, false);
            }
        }
    }

    fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let state = self.kinds.of_mut(kind);
        if name == EVERYTHING {
            state.wildcard = false;
            let names = std::mem::take(&mut state.names);
            let dropped: Vec<Name> = state
                .held
                .keys()
                .chain(state.dirty.keys())
                .filter(|name| !names.contains(&***name))
                .cloned()
                .collect();
            state.names = names;
            for name in dropped {
                state.forget(&name);
            }
            return;
        }
        state.names.remove(name);
        state.forget(name);
        if kind == Kind::Secret {
            self.secrets_due.remove(name);
        }
        if self.kinds.of(kind).wildcard {
            // The client has forgotten it, though it still wants everything: tell it anew, or that it does not exist.
            let name = self.intern(kind, name);
            self.kinds.of_mut(kind).mark(name, 0, true);
        }
    }

    /// The name as the snapshot has it, so that the text is in memory once for all streams.
    fn intern(&self, kind: Kind, name: &str) -> Name {
        let known = self.snapshot.as_ref().and_then(|snapshot| snapshot.get(kind, name));
        known.map_or_else(|| name.into(), |resource| Arc::clone(&resource.name))
    }
}

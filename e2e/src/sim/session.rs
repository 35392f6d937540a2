//! What Envoy's delta-ADS client does, as a pure state machine: requests in, responses out.
//!
//! As observed of the stock binary: runtime and clusters first, EDS as clusters arrive, listeners only once the first
//! clusters are warm, then what the listeners name; the ACK of a CDS response waits until its clusters are warm; the node
//! travels in the first message only; a reconnect tells what is held by `initial_resource_versions`.

use std::collections::{BTreeMap, BTreeSet};

use config::names::ListenerName;
use xds::Kind;
use xds::proto::envoy::config::core::v3::Node;
use xds::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use xds::proto::google::rpc::Status;

use super::references::{self, References};

/// Versions by name, by kind: what a proxy has and keeps over a reconnect.
pub type Held = BTreeMap<Kind, BTreeMap<String, String>>;

/// The runtime layer of the bootstrap.
const RUNTIME: &str = operator::bootstrap::RUNTIME_LAYER;
/// The EDS cluster of the bootstrap.
const LOCAL: &str = operator::bootstrap::LOCAL_CLUSTER;

/// One stream's state.
#[derive(Clone, Debug, Default)]
pub struct Session {
    node_id: String,
    /// Not sent yet on this stream.
    node: Option<Node>,
    /// Ask for the endpoints of these clusters only.
    only: Option<BTreeSet<String>>,
    held: Held,
    references: BTreeMap<(Kind, String), References>,
    subscribed: BTreeMap<Kind, BTreeSet<String>>,
    /// EDS names that clusters wait for.
    warming: BTreeSet<String>,
    /// Nonces of CDS responses whose ACK waits for them.
    unacked: Vec<String>,
    listening: bool,
}

impl Session {
    /// A proxy that has nothing yet.
    pub fn new(node_id: &str) -> Self {
        let node = Node {
            id: node_id.to_owned(),
            cluster: node_id.to_owned(),
            ..Node::default()
        };
        Self {
            node_id: node_id.to_owned(),
            node: Some(node),
            ..Self::default()
        }
    }

    /// Restricts the endpoints that it asks for, as a proxy of a narrow scope would.
    #[must_use]
    pub fn only(mut self, clusters: BTreeSet<String>) -> Self {
        self.only = Some(clusters);
        self
    }

    /// What it has.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Whether everything that it asked for has arrived.
    pub fn complete(&self) -> bool {
        let has = |kind: &Kind, name: &String| self.held.get(kind).is_some_and(|held| held.contains_key(name));
        // Only Envoys with a limit across replicas get members of the local cluster; only revocations need the runtime.
        let optional = |name: &str| name == RUNTIME || name == LOCAL;
        // What says ready is sent when everything else has been answered.
        has(&Kind::Listener, &ListenerName::Ready.to_string())
            && self.warming.is_empty()
            && self
                .subscribed
                .iter()
                .all(|(kind, names)| names.iter().all(|name| optional(name) || has(kind, name)))
    }

    /// The same proxy on a new stream.
    #[must_use]
    pub fn reconnected(mut self) -> Self {
        self.node = Self::new(&self.node_id).node;
        self.warming.clear();
        self.unacked.clear();
        self
    }

    /// The first requests of a stream.
    pub fn start(&mut self) -> Vec<DeltaDiscoveryRequest> {
        if self.held.is_empty() {
            self.subscribed.insert(Kind::Runtime, [RUNTIME.to_owned()].into());
            self.subscribed.insert(Kind::Endpoints, [LOCAL.to_owned()].into());
        }
        let mut kinds = vec![Kind::Runtime, Kind::Cluster, Kind::Endpoints];
        if self.listening {
            kinds.extend([Kind::Listener, Kind::Route, Kind::Secret, Kind::ExtensionConfig]);
        }
        let mut requests = Vec::new();
        for kind in kinds {
            let names = self.subscribed.get(&kind).cloned().unwrap_or_default();
            if !names.is_empty() || kind.is_wildcard() {
                let versions = self.held.get(&kind).cloned().unwrap_or_default();
                requests.push(DeltaDiscoveryRequest {
                    node: self.node.take(),
                    type_url: kind.type_url().to_owned(),
                    resource_names_subscribe: names.into_iter().collect(),
                    initial_resource_versions: versions,
                    ..DeltaDiscoveryRequest::default()
                });
            }
        }
        requests
    }

    /// Takes in a response; what to send next, ACKs included.
    pub fn on_response(&mut self, response: &DeltaDiscoveryResponse) -> Vec<DeltaDiscoveryRequest> {
        let Some(kind) = Kind::from_type_url(&response.type_url) else {
            return vec![nack(response, "an unknown type")];
        };
        let refers = matches!(kind, Kind::Cluster | Kind::Listener);
        let before = if refers { self.wanted() } else { References::new() };
        response.resources.iter().for_each(|resource| self.add(kind, resource));
        response
            .removed_resources
            .iter()
            .for_each(|name| self.remove(kind, name));
        let mut requests = self.acks(kind, response);
        if refers {
            requests.extend(self.resubscribe(&before));
        }
        requests.extend(self.listen());
        requests
    }

    /// Refuses a response as a whole.
    pub fn refuse(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        nack(response, "refused on purpose by a test")
    }

    fn add(&mut self, kind: Kind, resource: &Resource) {
        let held = self.held.entry(kind).or_default();
        held.insert(resource.name.clone(), resource.version.clone());
        // A heartbeat has no body and changes nothing but the time to live.
        if let Some(body) = &resource.resource {
            let references = references::of(kind, body);
            if kind == Kind::Cluster {
                self.warming.extend(self.endpoints(&references));
            }
            self.references.insert((kind, resource.name.clone()), references);
        }
        if kind == Kind::Endpoints {
            self.warming.remove(&resource.name);
        }
    }

    fn remove(&mut self, kind: Kind, name: &str) {
        self.held.entry(kind).or_default().remove(name);
        let references = self.references.remove(&(kind, name.to_owned())).unwrap_or_default();
        for endpoints in self.endpoints(&references) {
            self.warming.remove(&endpoints);
        }
    }

    /// EDS names among references, as far as this proxy asks for them.
    fn endpoints(&self, references: &References) -> impl Iterator<Item = String> + use<> {
        let only = self.only.clone();
        let names: Vec<String> = references
            .iter()
            .filter(|(kind, _)| *kind == Kind::Endpoints)
            .map(|(_, name)| name.clone())
            .collect();
        names
            .into_iter()
            .filter(move |name| only.as_ref().is_none_or(|only| only.contains(name)))
    }

    /// Everything that the held resources refer to.
    fn wanted(&self) -> References {
        let all = self.references.values().flatten();
        let asked = all.filter(|(kind, name)| {
            *kind != Kind::Endpoints || self.only.as_ref().is_none_or(|only| only.contains(name))
        });
        asked.cloned().collect()
    }

    fn acks(&mut self, kind: Kind, response: &DeltaDiscoveryResponse) -> Vec<DeltaDiscoveryRequest> {
        let mut acks = Vec::new();
        if kind == Kind::Cluster {
            self.unacked.push(response.nonce.clone());
        } else {
            acks.push(ack(kind, response.nonce.clone()));
        }
        if self.warming.is_empty() {
            acks.extend(self.unacked.drain(..).map(|nonce| ack(Kind::Cluster, nonce)));
        }
        acks
    }

    fn resubscribe(&mut self, before: &References) -> Vec<DeltaDiscoveryRequest> {
        let after = self.wanted();
        let mut changes: BTreeMap<Kind, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for (kind, name) in after.difference(before) {
            self.subscribed.entry(*kind).or_default().insert(name.clone());
            changes.entry(*kind).or_default().0.push(name.clone());
        }
        for (kind, name) in before.difference(&after) {
            self.subscribed.entry(*kind).or_default().remove(name);
            self.held.entry(*kind).or_default().remove(name);
            changes.entry(*kind).or_default().1.push(name.clone());
        }
        let request = |(kind, (subscribe, unsubscribe)): (Kind, (Vec<String>, Vec<String>))| DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..DeltaDiscoveryRequest::default()
        };
        changes.into_iter().map(request).collect()
    }

    /// Asks for listeners once the first clusters are warm.
    fn listen(&mut self) -> Option<DeltaDiscoveryRequest> {
        let ready = !self.listening && self.warming.is_empty() && self.held.contains_key(&Kind::Cluster);
        self.listening |= ready;
        let type_url = Kind::Listener.type_url().to_owned();
        ready.then(|| DeltaDiscoveryRequest {
            type_url,
            ..DeltaDiscoveryRequest::default()
        })
    }
}

fn ack(kind: Kind, nonce: String) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        response_nonce: nonce,
        ..DeltaDiscoveryRequest::default()
    }
}

fn nack(response: &DeltaDiscoveryResponse, message: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: Some(Status {
            code: 13,
            message: message.to_owned(),
            ..Status::default()
        }),
        ..DeltaDiscoveryRequest::default()
    }
}

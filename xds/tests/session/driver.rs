//! Drives one session by hand: short words for requests, snapshots and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use tulle_xds::proto::envoy::config::cluster::v3::Cluster;
use tulle_xds::proto::envoy::service::discovery::v3 as discovery;
use tulle_xds::proto::google::rpc::Status;
use tulle_xds::{
    Kind, Layer, NoSecrets, Now, Outgoing, Reference, Resource, Secrets, Session, SessionConfig, SessionEvent, Snapshot,
};

/// A resource of any kind; sessions never look into the message.
pub(crate) fn resource(kind: Kind, name: &str, content: &str) -> Resource {
    let message = Cluster {
        name: name.into(),
        alt_stat_name: content.into(),
        ..Default::default()
    };
    Resource::new(kind, name, &message)
}

pub(crate) fn stub(kind: Kind, name: &str) -> Option<Arc<Resource>> {
    (kind != Kind::Cluster && kind != Kind::Listener).then(|| Arc::new(resource(kind, name, "stub")))
}

/// A cluster with endpoints of its own name.
pub(crate) fn cluster(name: &str, content: &str) -> Resource {
    resource(Kind::Cluster, name, content).with_references(vec![Reference::new(Kind::Endpoints, name)])
}

/// A route that uses clusters.
pub(crate) fn route(name: &str, content: &str, clusters: &[&str]) -> Resource {
    let references = clusters
        .iter()
        .map(|name| Reference::new(Kind::Cluster, *name))
        .collect();
    resource(Kind::Route, name, content).with_references(references)
}

/// A listener with routes.
pub(crate) fn listener(name: &str, content: &str, routes: &[&str]) -> Resource {
    let references = routes.iter().map(|name| Reference::new(Kind::Route, *name)).collect();
    resource(Kind::Listener, name, content).with_references(references)
}

pub(crate) fn layer(resources: impl IntoIterator<Item = Resource>) -> Arc<Layer> {
    Arc::new(Layer::from_resources(resources.into_iter().map(Arc::new)))
}

pub(crate) fn snapshot(revision: u64, resources: impl IntoIterator<Item = Resource>) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        revision,
        layers: vec![layer(resources)],
        ..Snapshot::default()
    })
}

/// A response as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) nonce: String,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) ttls: BTreeMap<String, Duration>,
    pub(crate) removed: Vec<String>,
}

impl Seen {
    pub(crate) fn new(outgoing: &Outgoing) -> Self {
        let bytes = outgoing.response.encode_to_vec();
        let response = discovery::DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(response.type_url, outgoing.kind.type_url());
        let count = response.resources.len() + response.removed_resources.len();
        let mut names: Vec<&String> = response
            .resources
            .iter()
            .map(|r| &r.name)
            .chain(&response.removed_resources)
            .collect();
        names.dedup();
        assert_eq!(names.len(), count, "Envoy refuses a name that occurs twice");
        let ttl = |r: &discovery::Resource| Some((r.name.clone(), Duration::try_from(r.ttl?).unwrap()));
        Self {
            kind: outgoing.kind,
            nonce: response.nonce,
            ttls: response.resources.iter().filter_map(ttl).collect(),
            versions: response.resources.into_iter().map(|r| (r.name, r.version)).collect(),
            removed: response.removed_resources,
        }
    }

    /// `C+a+b-c`: kind, what was sent, what was removed.
    pub(crate) fn short(&self) -> String {
        let kind = match self.kind {
            Kind::Cluster => "C",
            Kind::Endpoints => "E",
            Kind::Secret => "S",
            Kind::ExtensionConfig => "X",
            Kind::Listener => "L",
            Kind::Route => "R",
            Kind::Runtime => "T",
        };
        let sent = self.versions.keys().map(|name| format!("+{name}"));
        let removed = self.removed.iter().map(|name| format!("-{name}"));
        sent.chain(removed).fold(kind.to_owned(), |text, part| text + &part)
    }
}

pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) now: Now,
    pub(crate) unanswered: Vec<Seen>,
}

impl Driver {
    pub(crate) fn new() -> Self {
        Self::with(
            SessionConfig {
                stub,
                ..SessionConfig::default()
            },
            Box::new(NoSecrets),
        )
    }

    pub(crate) fn with(config: SessionConfig, secrets: Box<dyn Secrets>) -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let now = Now {
            elapsed: Duration::ZERO,
            wall,
        };
        Self {
            session: Session::new(config, secrets),
            now,
            unanswered: Vec::new(),
        }
    }

    /// A driver whose client has subscribed to all and acknowledged this snapshot.
    pub(crate) fn settled(snapshot: &Arc<Snapshot>) -> Self {
        let mut driver = Self::new();
        driver.session.on_snapshot(Arc::clone(snapshot));
        for kind in Kind::ALL {
            let all = || Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind));
            let referred = all()
                .flat_map(|r| &r.references)
                .filter(|to| to.kind == kind)
                .map(|to| &to.name);
            let names: BTreeSet<&str> = snapshot
                .iter(kind)
                .map(|r| &r.name)
                .chain(referred)
                .map(|name| &**name)
                .collect();
            let names: Vec<&str> = names.into_iter().collect();
            driver.subscribe(kind, if kind.is_wildcard() { &[] } else { &names });
            driver.settle();
        }
        driver.session.take_events();
        driver
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = Now {
            elapsed: self.now.elapsed + by,
            wall: self.now.wall + by,
        };
    }

    pub(crate) fn request(&mut self, request: discovery::DeltaDiscoveryRequest) {
        self.session.on_request(request, self.now).unwrap();
    }

    pub(crate) fn subscribe(&mut self, kind: Kind, names: &[&str]) {
        self.change(kind, names, &[]);
    }

    pub(crate) fn change(&mut self, kind: Kind, subscribe: &[&str], unsubscribe: &[&str]) {
        self.request(discovery::DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names_subscribe: subscribe.iter().map(|s| (*s).into()).collect(),
            resource_names_unsubscribe: unsubscribe.iter().map(|s| (*s).into()).collect(),
            ..Default::default()
        });
    }

    /// The first request of a kind after a reconnect.
    pub(crate) fn resume(&mut self, kind: Kind, names: &[&str], has: &[(&str, &str)]) {
        self.request(discovery::DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names_subscribe: names.iter().map(|s| (*s).into()).collect(),
            initial_resource_versions: has
                .iter()
                .map(|(name, version)| ((*name).into(), (*version).into()))
                .collect(),
            ..Default::default()
        });
    }

    pub(crate) fn answer(&mut self, seen: &Seen, error: Option<&str>) {
        self.unanswered.retain(|other| other != seen);
        self.request(discovery::DeltaDiscoveryRequest {
            type_url: seen.kind.type_url().into(),
            response_nonce: seen.nonce.clone(),
            error_detail: error.map(|message| Status {
                message: message.into(),
                ..Default::default()
            }),
            ..Default::default()
        });
    }

    pub(crate) fn ack(&mut self, seen: &Seen) {
        self.answer(seen, None);
    }

    pub(crate) fn nack(&mut self, seen: &Seen, message: &str) {
        self.answer(seen, Some(message));
    }

    /// Everything that can be sent without a further answer.
    pub(crate) fn poll(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(outgoing) = self.session.poll(self.now) {
            seen.push(Seen::new(&outgoing));
            assert!(seen.len() < 10_000, "the session never ends");
        }
        assert_ne!(
            self.session.next_deadline(self.now),
            Some(Duration::ZERO),
            "the session spins"
        );
        self.unanswered.extend(seen.iter().cloned());
        seen
    }

    /// The same in short words.
    pub(crate) fn sends(&mut self) -> Vec<String> {
        self.poll().iter().map(Seen::short).collect()
    }

    /// Acknowledges what is unanswered.
    pub(crate) fn ack_all(&mut self) {
        for seen in std::mem::take(&mut self.unanswered) {
            self.ack(&seen);
        }
    }

    /// Polls and acknowledges until nothing is left; what was sent, in order.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            all.extend(self.sends());
            if self.unanswered.is_empty() {
                return all;
            }
            self.ack_all();
        }
    }

    pub(crate) fn synced(&mut self) -> Vec<u64> {
        let revision = |event| match event {
            SessionEvent::Synced { revision, .. } => Some(revision),
            SessionEvent::Nacked { .. } => None,
        };
        self.session.take_events().into_iter().filter_map(revision).collect()
    }
}

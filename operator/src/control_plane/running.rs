//! What every control plane is made of, whatever its source and its proofs of identity: engine, status, admin socket, xDS.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Settings;
use tokio::net::TcpListener;
use tokio::sync::watch;
use xds::{Authenticator, Publisher};

use super::{EngineDirectory, StartError, server};
use crate::admin::{self, AdminSocket, AdminState, Process};
use crate::engine::{self, EngineHandle, EngineInputs};
use crate::identity::{CertificateAuthority, LeafPolicy};
use crate::rules::{RuleTotals, Who};
use crate::source::SourceView;
use crate::status::{self, StatusHandle};
use crate::webhook::Reviews;

/// What to make it of.
pub(super) struct Setup<'a, F> {
    pub(super) listener: TcpListener,
    pub(super) state_dir: &'a Path,
    pub(super) views: watch::Receiver<Arc<SourceView>>,
    pub(super) ca: Arc<CertificateAuthority>,
    pub(super) settings: Settings,
    /// Where there is a webhook.
    pub(super) reviews: Option<Reviews>,
    /// Makes who decides on streams and on reports.
    pub(super) authenticators: F,
}

/// The running parts.
pub(super) struct Running<A> {
    // Order matters at the end: streams first, then what they use.
    pub(super) server: server::XdsServer<A>,
    pub(super) admin: AdminSocket,
    pub(super) status: StatusHandle,
    pub(super) engine: EngineHandle,
    pub(super) publisher: Publisher,
    /// Our own figures as text.
    pub(super) figures: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl<A> std::fmt::Debug for Running<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// Starts all of it. When it returns, proxies can connect.
pub(super) fn start<A, F>(setup: Setup<'_, F>) -> Result<Running<A>, StartError>
where
    A: Authenticator,
    F: FnOnce(&EngineDirectory) -> (A, Who),
{
    let publisher = Publisher::default();
    let directory = EngineDirectory::default();
    let rules = RuleTotals::new(SystemTime::now());
    let (authenticator, who) = (setup.authenticators)(&directory);
    let process = Process {
        ca: Arc::clone(&setup.ca),
        reviews: setup.reviews,
    };
    let identity = server::Identity {
        ca: setup.ca,
        leaf: leaf_policy(&setup.views.borrow()),
        authenticator,
        who,
    };
    let prepared = server::prepare(
        setup.listener,
        identity,
        directory.clone(),
        publisher.clone(),
        rules.clone(),
    )?;
    let (server, proxies, certificates) = prepared;
    let engine = engine::start(EngineInputs {
        source: setup.views,
        proxies,
        publisher: publisher.clone(),
        settings: setup.settings,
    })?;
    directory.connect(engine.subscribe());
    let status = status::start(engine.subscribe(), certificates);
    let state = AdminState {
        engine: engine.subscribe(),
        status: status.clone(),
        publisher: publisher.clone(),
        rules,
        streams: server.figures(),
        process,
    };
    let figures = state.clone();
    let admin = admin::start(setup.state_dir, state)?;
    Ok(Running {
        server: server.serve(),
        admin,
        status,
        engine,
        publisher,
        figures: Arc::new(move || figures.figures().ok()),
    })
}

impl<A: Authenticator> Running<A> {
    /// Ends everything, the source last. Streams are cut within `grace`: proxies go on with what they have and come back later.
    pub(super) async fn stop<S: Send + 'static>(self, source: S, grace: Duration) {
        self.server.stop(grace).await;
        // Joining the threads must not hold up other tasks.
        let engine = self.engine;
        drop(tokio::task::spawn_blocking(move || drop((engine, source))).await);
    }
}

/// The lifetime of certificates as the Mesh says at the start.
fn leaf_policy(view: &SourceView) -> LeafPolicy {
    let mesh = view
        .objects
        .meshes
        .iter()
        .find(|mesh| mesh.metadata.name.as_deref() == Some("default"));
    let text = mesh
        .and_then(|mesh| mesh.spec.identity.as_ref())
        .and_then(|identity| identity.leaf_lifetime.as_deref());
    let lifetime = text
        .and_then(crds::duration::parse)
        .filter(|lifetime| *lifetime >= crds::mesh::SHORTEST_LEAF_LIFETIME);
    lifetime.map_or_else(LeafPolicy::default, |lifetime| LeafPolicy { lifetime })
}

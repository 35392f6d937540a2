//! One stream's task: requests, snapshots and timers in, responses out.
//!
//! The outbox holds one response: what a client does not take is computed later, from the newest snapshot, not queued.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::{Counters, ProxyEvent, StreamLimits};
use crate::identity::{Identity, SecretAnswer, SecretSource, Secrets};
use crate::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use crate::session::{Now, Outgoing, RequestError, Session, SessionConfig, SessionEvent};
use crate::snapshot::Snapshot;
use crate::wire::DeltaResponse;

/// A stream whose owner is known.
pub(super) struct Live {
    pub(super) identity: Identity,
    pub(super) stream: u64,
    pub(super) first: Option<DeltaDiscoveryRequest>,
    pub(super) requests: Streaming<DeltaDiscoveryRequest>,
    pub(super) snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    pub(super) responses: mpsc::Sender<Result<DeltaResponse, Status>>,
    pub(super) events: mpsc::UnboundedSender<ProxyEvent>,
    pub(super) counters: Arc<Counters>,
    pub(super) limits: StreamLimits,
}

/// The secrets of one identity.
struct Own<S> {
    source: Arc<S>,
    identity: Identity,
}

impl<S: SecretSource> Secrets for Own<S> {
    fn secret(&self, name: &str, held: Option<&str>) -> Option<SecretAnswer> {
        self.source.secret(&self.identity, name, held)
    }
}

/// Why a stream ends.
enum End {
    /// The client closed it, or is gone.
    Client,
    /// We close it, with this status.
    Ours(Status),
}

impl Live {
    pub(super) async fn run<S: SecretSource>(mut self, config: SessionConfig, source: Arc<S>) {
        let (proxy, stream) = (self.identity.proxy.clone(), self.stream);
        self.counters.opened();
        self.tell(ProxyEvent::Connected { proxy: proxy.clone(), stream });
        let secrets = Own { source, identity: self.identity.clone() };
        let mut session = Session::new(config, Box::new(secrets));
        if let End::Ours(status) = self.converse(&mut session).await {
            // A client that does not read does not get to know; its connection ends all the same.
            self.responses.try_send(Err(status)).ok();
        }
        self.counters.closed();
        self.tell(ProxyEvent::Gone { proxy, stream });
    }

    async fn converse(&mut self, session: &mut Session) -> End {
        let opened = Instant::now();
        let now = || Now { elapsed: opened.elapsed(), wall: SystemTime::now() };
        let expiry = self.identity.expires_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let expired = tokio::time::sleep(expiry.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
        tokio::pin!(expired);
        if let Some(first) = self.first.take()
            && let Some(end) = Self::request(session, first, now())
        {
            return end;
        }
        if let Some(snapshot) = self.snapshots.borrow_and_update().clone() {
            session.on_snapshot(snapshot);
        }
        let mut unsent: Option<(Outgoing, Instant)> = None;
        loop {
            if unsent.is_none() {
                unsent = session.poll(now()).map(|outgoing| (outgoing, Instant::now()));
            }
            self.tell_events(session);
            let alarm = session.next_deadline(now()).unwrap_or(Duration::from_secs(3600));
            let patience = unsent.as_ref().map(|(_, since)| self.limits.send.saturating_sub(since.elapsed()));
            tokio::select! {
                biased;
                () = &mut expired => return End::Ours(Status::unauthenticated("the proof of identity expired: come back with a new one")),
                permit = self.responses.reserve(), if unsent.is_some() => {
                    let Ok(permit) = permit else { return End::Client };
                    if let Some((outgoing, _)) = unsent.take() {
                        self.counters.sent(&outgoing);
                        permit.send(Ok(outgoing.response));
                    }
                }
                request = self.requests.message() => {
                    let Ok(Some(request)) = request else { return End::Client };
                    if let Some(end) = Self::request(session, request, now()) {
                        return end;
                    }
                }
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return End::Ours(Status::unavailable("this workload is not served any more"));
                    }
                    if let Some(snapshot) = self.snapshots.borrow_and_update().clone() {
                        session.on_snapshot(snapshot);
                    }
                }
                () = tokio::time::sleep(patience.unwrap_or(Duration::MAX)), if patience.is_some() => {
                    return End::Ours(Status::deadline_exceeded("the client does not read"));
                }
                () = tokio::time::sleep(alarm) => session.on_secret_due(now()),
            }
        }
    }

    fn request(session: &mut Session, request: DeltaDiscoveryRequest, now: Now) -> Option<End> {
        match session.on_request(request, now) {
            Ok(()) => None,
            Err(RequestError::UnknownType(kind)) => {
                tracing::debug!(%kind, "a client asks for a type that is not served");
                None
            }
            Err(error @ RequestError::TooMuch(_)) => Some(End::Ours(Status::resource_exhausted(error.to_string()))),
        }
    }

    fn tell_events(&self, session: &mut Session) {
        let (proxy, stream) = (&self.identity.proxy, self.stream);
        for event in session.take_events() {
            let proxy = proxy.clone();
            self.tell(match event {
                SessionEvent::Synced { revision, .. } => ProxyEvent::Synced { proxy, stream, revision },
                SessionEvent::Nacked { kind, names, versions, message } => {
                    ProxyEvent::Nacked { proxy, stream, kind, names, versions, message }
                }
            });
        }
    }

    fn tell(&self, event: ProxyEvent) {
        // Nobody listens at shutdown.
        self.events.send(event).ok();
    }
}

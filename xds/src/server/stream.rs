//! One stream: authentication, then a loop around its session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Request, Status, Streaming};

use super::Shared;
use super::counters::add;
use super::pending::Place;
use crate::identity::{Authenticator, Identity, Refusal, SecretAnswer, SecretSource, Secrets};
use crate::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use crate::session::{Now, Outgoing, RequestError, Session};
use crate::snapshot::Snapshot;
use crate::wire::DeltaResponse;

pub(super) type Responses = mpsc::Sender<Result<DeltaResponse, Status>>;

/// A time that never comes.
const NEVER: Duration = Duration::from_hours(365 * 24);

/// The whole life of a stream.
pub(super) async fn run<A: Authenticator, S: SecretSource>(
    shared: Arc<Shared<A, S>>,
    id: u64,
    peer: SocketAddr,
    request: Request<Streaming<DeltaDiscoveryRequest>>,
    responses: Responses,
    pending: Place,
) {
    let admitted = timeout(shared.config.first_request, admit(&shared, peer, request));
    let result = match admitted
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no proof of identity in time")))
    {
        Ok(admitted) => {
            drop(pending);
            let (stream, first) = Stream::open(&shared, id, admitted, &responses);
            stream.serve(first).await
        }
        Err(status) => {
            add(&shared.counters.streams_refused, 1);
            tracing::info!(%peer, reason = status.message(), "xDS stream refused");
            Err(status)
        }
    };
    if let Err(status) = result {
        // A client that does not read will not read this either.
        let _ = timeout(Duration::from_secs(1), responses.send(Err(status))).await;
    }
}

/// A stream whose sender is known and whose slot is taken.
struct Admitted {
    identity: Identity,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    requests: Streaming<DeltaDiscoveryRequest>,
    first: DeltaDiscoveryRequest,
}

/// Reads the first request and finds out who it is from.
async fn admit<A: Authenticator, S: SecretSource>(
    shared: &Shared<A, S>,
    peer: SocketAddr,
    request: Request<Streaming<DeltaDiscoveryRequest>>,
) -> Result<Admitted, Status> {
    let authorization = request
        .metadata()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut requests = request.into_inner();
    let first = requests
        .message()
        .await?
        .ok_or_else(|| Status::cancelled("the stream ended before its first request"))?;
    let node = first.node.as_ref().map(|node| node.id.as_str()).unwrap_or_default();
    let ask = || shared.authenticator.authenticate(peer, authorization.as_deref(), node);
    let identity = ask().await.map_err(status)?;
    let snapshots = shared.publisher.subscribe(&identity.proxy);
    // A proxy that stops being who it is is retired, which ends the streams that read its slot. If that was just before this
    // one took it, nothing would end it: so it is asked once more who it is, now that it can be reached.
    let changed = || Status::unavailable("the workload changed while its proxy connected: connect again");
    let unchanged = match ask().await.map_err(status) {
        Ok(again) if (&again.proxy, &again.spiffe_id) == (&identity.proxy, &identity.spiffe_id) => Ok(()),
        Ok(_) => Err(changed()),
        Err(refused) => Err(refused),
    };
    if let Err(refused) = unchanged {
        drop(snapshots);
        shared.publisher.abandon(&identity.proxy);
        return Err(refused);
    }
    Ok(Admitted {
        identity,
        snapshots,
        requests,
        first,
    })
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Unauthenticated(why) => Status::unauthenticated(why),
        Refusal::Denied(why) => Status::permission_denied(why),
        Refusal::Unavailable(why) => Status::unavailable(why),
    }
}

/// A [`SecretSource`] that knows whom it speaks to.
struct OwnSecrets<S> {
    source: Arc<S>,
    identity: Identity,
}

impl<S: SecretSource> Secrets for OwnSecrets<S> {
    fn secret(&self, name: &str, held: Option<&str>) -> Option<SecretAnswer> {
        self.source.secret(&self.identity, name, held)
    }
}

/// An authenticated stream.
struct Stream<'a, A, S> {
    shared: &'a Shared<A, S>,
    id: u64,
    identity: Identity,
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: &'a Responses,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    session: Session,
    opened: Instant,
}

impl<'a, A: Authenticator, S: SecretSource> Stream<'a, A, S> {
    fn open(
        shared: &'a Shared<A, S>,
        id: u64,
        admitted: Admitted,
        responses: &'a Responses,
    ) -> (Self, DeltaDiscoveryRequest) {
        let Admitted {
            identity,
            mut snapshots,
            requests,
            first,
        } = admitted;
        let own = OwnSecrets {
            source: Arc::clone(&shared.secrets),
            identity: identity.clone(),
        };
        add(&shared.counters.streams_open, 1);
        add(&shared.counters.streams_accepted, 1);
        tracing::info!(proxy = %identity.proxy, stream = id, "xDS stream opened");
        // The slot was taken before the news: whoever publishes on "connected" finds it.
        snapshots.mark_changed();
        shared.events.connected(&identity.proxy, id);
        let stream = Self {
            session: Session::new(shared.config.session, Box::new(own)),
            shared,
            id,
            identity,
            requests,
            responses,
            snapshots,
            opened: Instant::now(),
        };
        (stream, first)
    }

    async fn serve(mut self, first: DeltaDiscoveryRequest) -> Result<(), Status> {
        self.on_request(first)?;
        let mut shutdown = self.shared.shutdown.subscribe();
        shutdown.mark_changed();
        let mut end = self.last_moment();
        // Whether the session may have something to say, and since when the connection has not taken it.
        let mut ready = true;
        let mut stuck = None;
        loop {
            let give_up = stuck.map_or(self.opened + NEVER, |since: Instant| since + self.shared.config.send);
            let wake = Instant::now() + self.session.next_deadline(self.now()).unwrap_or(NEVER).min(NEVER);
            tokio::select! {
                permit = self.responses.reserve(), if ready => {
                    let permit = permit.map_err(|_| Status::cancelled("the client is gone"))?;
                    stuck = None;
                    let next = self.session.poll(self.now());
                    ready = next.is_some();
                    if let Some(outgoing) = next {
                        self.count(&outgoing);
                        permit.send(Ok(outgoing.response));
                        stuck = Some(Instant::now());
                    }
                }
                request = self.requests.message() => {
                    let Some(request) = request? else { return Ok(()) };
                    self.on_request(request)?;
                    ready = true;
                }
                changed = self.snapshots.changed() => {
                    changed.map_err(|_| Status::unavailable("the proxy is not part of the mesh any more"))?;
                    if let Some(snapshot) = self.snapshots.borrow_and_update().clone() {
                        self.session.on_snapshot(snapshot);
                        ready = true;
                    }
                }
                () = sleep_until(wake), if !ready => {
                    self.session.on_secret_due(self.now());
                    ready = true;
                }
                _ = shutdown.changed() => {
                    if let Some(over) = *shutdown.borrow_and_update() {
                        end = end.min((Instant::now() + over.mul_f64(fraction(self.id)), "the control plane is shutting down"));
                    }
                }
                () = sleep_until(end.0) => return Err(Status::unavailable(end.1)),
                () = sleep_until(give_up), if ready && stuck.is_some() => {
                    return Err(Status::deadline_exceeded("the client does not read"));
                }
            }
            self.tell();
        }
    }

    fn now(&self) -> Now {
        Now {
            elapsed: self.opened.elapsed(),
            wall: SystemTime::now(),
        }
    }

    /// When the stream ends at the latest, and why.
    fn last_moment(&self) -> (Instant, &'static str) {
        let identity = self
            .identity
            .expires_at
            .map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let age = self
            .shared
            .config
            .max_age
            .map(|age| age.mul_f64(0.8 + 0.4 * fraction(self.id)));
        let identity = (
            self.opened + identity.unwrap_or(NEVER).min(NEVER),
            "the proof of identity has expired",
        );
        identity.min((
            self.opened + age.unwrap_or(NEVER).min(NEVER),
            "the stream is old: connect again",
        ))
    }

    fn on_request(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        let counters = &self.shared.counters;
        add(&counters.requests, 1);
        add(&counters.nacks, usize::from(request.error_detail.is_some()));
        if let Some(error) = &request.error_detail {
            tracing::debug!(proxy = %self.identity.proxy, kind = request.type_url, error = error.message, "NACK");
        }
        match self.session.on_request(request, self.now()) {
            Ok(()) => Ok(()),
            Err(unknown @ RequestError::UnknownType(_)) => {
                tracing::warn!(proxy = %self.identity.proxy, stream = self.id, %unknown, "xDS request ignored");
                Ok(())
            }
            Err(too_much @ RequestError::TooMuch(_)) => Err(Status::resource_exhausted(too_much.to_string())),
        }
    }

    fn count(&self, outgoing: &Outgoing) {
        let Outgoing { kind, response } = outgoing;
        let names: usize = response.removed_resources.iter().map(String::len).sum();
        let bytes: usize = response.resources.iter().map(bytes::Bytes::len).sum();
        self.shared.counters.sent(
            *kind,
            response.resources.len(),
            response.removed_resources.len(),
            names + bytes,
        );
    }

    fn tell(&mut self) {
        for event in self.session.take_events() {
            self.shared.events.tell(&self.identity.proxy, self.id, event);
        }
    }
}

impl<A, S> Drop for Stream<'_, A, S> {
    fn drop(&mut self) {
        self.shared.counters.streams_open.fetch_sub(1, Ordering::Relaxed);
        self.shared.events.gone(&self.identity.proxy, self.id);
        tracing::info!(proxy = %self.identity.proxy, stream = self.id, "xDS stream ended");
    }
}

/// A number from 0 to 1 that spreads consecutive streams evenly.
fn fraction(id: u64) -> f64 {
    // The golden ratio's fractional part: the next one always falls into the largest gap.
    let spread = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    f64::from(u32::try_from(spread).unwrap_or(0)) / f64::from(u32::MAX)
}

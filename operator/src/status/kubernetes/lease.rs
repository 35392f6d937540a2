//! Who writes status: the holder of the Lease `tulle`.
//!
//! Taken and renewed by replacing the version that was read, so the API server lets one replica through; which clock a replica
//! has does not matter, since it counts from when it saw the Lease change. The Lease guards status only: certificates and
//! configuration come from every replica. A leader that cannot renew stops writing before another one may begin.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use super::FIELD_MANAGER;

/// Its name.
const NAME: &str = "tulle";
/// Without a renewal for so long it is free.
const DURATION: Duration = Duration::from_secs(20);
/// How often it is renewed: the only writes of a mesh in which nothing happens.
const RENEW: Duration = Duration::from_secs(10);
/// The leader stops writing when it has not renewed for so long.
const VALID: Duration = Duration::from_secs(15);
/// How often others look, and how soon a leader tries again.
const LOOK: Duration = Duration::from_secs(2);
/// The API server may be away; an answer does not take longer.
const ANSWER: Duration = Duration::from_secs(4);

/// What this replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It writes status, unless it is later than this.
    Leader(Instant),
    /// It reports to another one, if that is known.
    Follower(Option<SocketAddr>),
}

impl Role {
    /// Whether it may write now.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Leader(until) if Instant::now() < until)
    }
}

/// One replica's part in the election.
pub(super) struct Election {
    api: Api<Lease>,
    /// `<name>@<address>:<port>`.
    identity: String,
    /// The version that was seen, and since when.
    seen: Option<(String, Instant)>,
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Make it, take it or renew it.
    Hold,
    /// Somebody has it.
    Leave(Option<SocketAddr>),
}

impl Election {
    pub(super) fn new(client: Client, namespace: &str, replica: &str, address: SocketAddr) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: format!("{replica}@{address}"),
            seen: None,
        }
    }

    /// Takes part for as long as it is polled.
    pub(super) async fn run(&mut self, role: &watch::Sender<Role>) {
        let mut failing = false;
        loop {
            let asked = Instant::now();
            let answer = tokio::time::timeout(ANSWER, self.step()).await;
            let answer = answer.map_err(|_| "no answer".to_owned()).and_then(|held| {
                // A conflict says that another one was faster, which the next look shows.
                held.map_err(|error| error.to_string())
            });
            let rest = match answer {
                Ok(Step::Hold) => {
                    failing = false;
                    role.send_replace(Role::Leader(asked + VALID));
                    RENEW
                }
                Ok(Step::Leave(leader)) => {
                    failing = false;
                    become_follower(role, leader);
                    LOOK
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(
                            error,
                            "the Lease for writing status cannot be read or renewed; trying again"
                        );
                    }
                    failing = true;
                    if !role.borrow().writes() {
                        become_follower(role, None);
                    }
                    LOOK
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// Looks, and takes or renews it if it may.
    async fn step(&mut self) -> kube::Result<Step> {
        let lease = self.api.get_opt(NAME).await?;
        let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let now = Instant::now();
        if self.seen.as_ref().map(|(seen, _)| seen) != version.as_ref() {
            self.seen = version.map(|version| (version, now));
        }
        let unchanged = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now - *since);
        let step = decide(lease.as_ref(), &self.identity, unchanged);
        if step == Step::Hold {
            self.hold(lease).await?;
        }
        Ok(step)
    }

    async fn hold(&mut self, lease: Option<Lease>) -> kube::Result<()> {
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let renewed = held(lease.as_ref(), &self.identity, Timestamp::now());
        let stored = match lease {
            Some(_) => self.api.replace(NAME, &parameters, &renewed).await?,
            None => self.api.create(&parameters, &renewed).await?,
        };
        self.seen = stored
            .metadata
            .resource_version
            .map(|version| (version, Instant::now()));
        Ok(())
    }

    /// Lets go of it, so that another one need not wait.
    pub(super) async fn release(&self) {
        let release = async {
            let Some(mut lease) = self.api.get_opt(NAME).await? else {
                return Ok(());
            };
            if holder(&lease) != Some(&self.identity) {
                return Ok(());
            }
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
            }
            let parameters = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            self.api.replace(NAME, &parameters, &lease).await.map(drop)
        };
        match tokio::time::timeout(ANSWER, release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the Lease is not released; it ends by itself"),
            Err(_) => tracing::debug!("the Lease is not released: no answer; it ends by itself"),
        }
    }
}

fn become_follower(role: &watch::Sender<Role>, leader: Option<SocketAddr>) {
    role.send_if_modified(|role| {
        let follower = Role::Follower(leader);
        std::mem::replace(role, follower) != follower
    });
}

fn holder(lease: &Lease) -> Option<&String> {
    let holder = lease.spec.as_ref()?.holder_identity.as_ref()?;
    (!holder.is_empty()).then_some(holder)
}

fn decide(lease: Option<&Lease>, me: &str, unchanged: Duration) -> Step {
    let Some(holder) = lease.and_then(holder) else {
        return Step::Hold;
    };
    if holder == me {
        return Step::Hold;
    }
    let seconds = lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds);
    let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    if unchanged > duration.map_or(DURATION, Duration::from_secs) {
        return Step::Hold;
    }
    let address = holder.rsplit_once('@').and_then(|(_, address)| address.parse().ok());
    Step::Leave(address)
}

/// The Lease as its holder writes it.
fn held(before: Option<&Lease>, me: &str, now: Timestamp) -> Lease {
    let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let mine = spec.holder_identity.as_deref() == Some(me);
    let transitions = spec.lease_transitions.unwrap_or(0);
    Lease {
        metadata: before.map_or_else(
            || ObjectMeta {
                name: Some(NAME.to_owned()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        ),
        spec: Some(LeaseSpec {
            acquire_time: spec.acquire_time.filter(|_| mine).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions + i32::from(!mine && before.is_some())),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "tulle-a@10.0.0.1:15013";
    const OTHER: &str = "tulle-b@10.0.0.2:15013";

    #[test]
    fn it_is_taken_when_nobody_has_it_or_its_holder_is_silent() {
        let now = Timestamp::UNIX_EPOCH;
        let (mine, other) = (held(None, ME, now), held(None, OTHER, now));
        assert_eq!(decide(None, ME, Duration::ZERO), Step::Hold);
        assert_eq!(decide(Some(&mine), ME, Duration::ZERO), Step::Hold);
        let leader = "10.0.0.2:15013".parse().ok();
        assert_eq!(decide(Some(&other), ME, DURATION), Step::Leave(leader));
        assert_eq!(decide(Some(&other), ME, DURATION + Duration::from_secs(1)), Step::Hold);
        let mut released = other.clone();
        released.spec.as_mut().unwrap().holder_identity = None;
        assert_eq!(decide(Some(&released), ME, Duration::ZERO), Step::Hold);
    }

    #[test]
    fn changes_of_hands_are_counted() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        let first = held(None, ME, at(1));
        assert_eq!(spec(&first).lease_transitions, Some(0));
        let renewed = held(Some(&first), ME, at(11));
        assert_eq!(
            (spec(&renewed).lease_transitions, spec(&renewed).acquire_time.unwrap().0),
            (Some(0), at(1))
        );
        let taken = held(Some(&renewed), OTHER, at(50));
        assert_eq!(
            (spec(&taken).lease_transitions, spec(&taken).acquire_time.unwrap().0),
            (Some(1), at(50))
        );
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_before_another_begins() {
        assert!(VALID < DURATION && RENEW + LOOK < VALID);
    }
}

//! The writer: waits until status or the API server's copy of it changes, and writes the difference.
//!
//! Newest per object: nothing is queued, each round compares anew. When all is as it should be there is nothing to do, so a
//! mesh in which nothing happens costs no write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::StatusHandle;
use super::lease::Role;
use super::pace::{Pace, backoff};
use super::plan::{Id, Write, plan};
use super::stored::Watched;
use super::write::{Outcome, execute};

/// A new leader listens for so long before it writes: other replicas' reports would be missing.
const LISTEN: Duration = Duration::from_secs(3);
/// Changes that come together are written together.
const TOGETHER: Duration = Duration::from_millis(100);
/// So many writes at most in one round, which takes at least so long.
const ROUND: usize = 50;
const ROUND_TIME: Duration = Duration::from_secs(1);
/// So many at the same time.
const BESIDE: usize = 4;
/// Without any change it looks again this often; that costs no request.
const LOOK: Duration = Duration::from_secs(5);
/// An API server that is away is tried this often.
const AWAY: Duration = Duration::from_secs(30);

/// What the writer did.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Writes that were done.
    pub(super) writes: AtomicU64,
    /// Writes that failed.
    pub(super) failures: AtomicU64,
}

/// Writes as long as it is polled, which is as long as this replica leads.
pub(super) async fn run(
    client: Client,
    status: &StatusHandle,
    role: watch::Receiver<Role>,
    figures: Arc<Figures>,
) -> std::convert::Infallible {
    let (stored, ()) = tokio::join!(Watched::start(&client), tokio::time::sleep(LISTEN));
    let mut writer = Writer {
        client,
        role,
        figures,
        stored,
        pace: Pace::default(),
        away: 0,
    };
    loop {
        let view = status.view();
        let wanted = plan(&view, &writer.stored.all());
        let rest = writer.round(wanted).await;
        tokio::time::sleep(TOGETHER).await;
        tokio::select! {
            _ = status.changed(view.version, rest) => {}
            () = writer.stored.changed() => {}
        }
    }
}

struct Writer {
    client: Client,
    role: watch::Receiver<Role>,
    figures: Arc<Figures>,
    stored: Watched,
    pace: Pace,
    /// How often in a row nobody answered.
    away: u32,
}

impl Writer {
    /// Writes what may be written now; says how long to wait if nothing changes.
    async fn round(&mut self, wanted: BTreeMap<Id, Write>) -> Duration {
        let now = Instant::now();
        self.pace.forget(now);
        let mut waiting: Option<Instant> = None;
        let mut due = Vec::new();
        for (id, write) in wanted {
            match self.pace.next(&id).filter(|next| *next > now) {
                Some(next) => waiting = Some(waiting.map_or(next, |earliest| earliest.min(next))),
                None => due.push((id, write)),
            }
        }
        // Who waits the longest comes first.
        due.sort_by_key(|(id, _)| self.pace.next(id));
        let full = due.len() > ROUND;
        due.truncate(ROUND);
        let answered = self.write(due).await;
        if !answered {
            // Not `changed` either: whatever changes, nobody would take it.
            tokio::time::sleep(backoff(self.away, AWAY)).await;
            return Duration::ZERO;
        }
        if full {
            tokio::time::sleep_until(now + ROUND_TIME).await;
            return Duration::ZERO;
        }
        waiting.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()).min(LOOK))
    }

    /// Writes; false if nobody answers.
    async fn write(&mut self, due: Vec<(Id, Write)>) -> bool {
        let (client, role) = (&self.client, &self.role);
        let writes = due.into_iter().map(|(id, write)| async move {
            // Another one may lead by now.
            let leads = role.borrow().writes();
            let outcome = if leads {
                execute(client, &id, write).await
            } else {
                Outcome::Away("the Lease is not renewed".to_owned())
            };
            (id, outcome)
        });
        let outcomes: Vec<(Id, Outcome)> = futures::stream::iter(writes).buffer_unordered(BESIDE).collect().await;
        let mut away = None;
        for (id, outcome) in outcomes {
            if let Some(reason) = self.note(id, outcome) {
                away = Some(reason);
            }
        }
        match away {
            None => self.away = 0,
            Some(reason) => {
                if self.away == 0 {
                    tracing::warn!(reason, "status cannot be written; trying again");
                }
                self.away = self.away.saturating_add(1);
            }
        }
        self.away == 0
    }

    /// Notes what became of a write; the reason if nobody answered.
    fn note(&mut self, id: Id, outcome: Outcome) -> Option<String> {
        let now = Instant::now();
        match outcome {
            Outcome::Done { uid, object } => {
                self.figures.writes.fetch_add(1, Ordering::Relaxed);
                self.pace.written(&id, now);
                self.stored.written(id, uid, object.map(|object| *object));
                return None;
            }
            Outcome::Gone => drop(self.pace.refused(&id, now)),
            Outcome::Refused(reason) => {
                if self.pace.refused(&id, now) == 1 {
                    tracing::warn!(object = %id, reason, "the API server refuses a status; trying again now and then");
                }
            }
            Outcome::Away(reason) => {
                self.figures.failures.fetch_add(1, Ordering::Relaxed);
                return Some(reason);
            }
        }
        self.figures.failures.fetch_add(1, Ordering::Relaxed);
        None
    }
}

//! Requests at a fixed rate over connections that are kept. A request is never sent twice; a connection that was closed
//! is opened again at the next turn, from another port, which the report shows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use operator::shop::Outcome;
use operator::shop::call::Call;
use operator::shop::connection::Connection;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::recorder::Flow;
use super::spec::HttpFlow;

/// Starts the flow's connections.
pub(super) fn start(spec: &HttpFlow, flow: &Arc<Flow>, stop: &CancellationToken, tasks: &TaskTracker) -> Result<()> {
    let call = Arc::new(spec.call()?);
    let count = u32::try_from(spec.connections.max(1))?;
    let period = Duration::from_secs_f64(f64::from(count) / spec.rate.max(0.1));
    for index in 0..count {
        let turns = Turns {
            index: usize::try_from(index)?,
            call: Arc::clone(&call),
            http2: spec.http2,
            flow: Arc::clone(flow),
            tasks: tasks.clone(),
        };
        // The connections take turns instead of all sending at once.
        let first = Instant::now() + period * index / count;
        tasks.spawn(turns.run(first, period, stop.clone()));
    }
    Ok(())
}

/// One connection's worker.
struct Turns {
    index: usize,
    call: Arc<Call>,
    http2: bool,
    flow: Arc<Flow>,
    tasks: TaskTracker,
}

impl Turns {
    async fn run(self, first: Instant, period: Duration, stop: CancellationToken) {
        let mut turns = interval_at(first, period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut open, mut begun) = (None, false);
        loop {
            tokio::select! { () = stop.cancelled() => return, _ = turns.tick() => {} }
            let Some(mut connection) = self.connection(open.take()).await else {
                continue;
            };
            if let Some(shared) = connection.share().filter(|_| begun) {
                // HTTP/2: the next turn does not wait for this answer.
                self.tasks.spawn(self.send_aside(shared));
            } else {
                let outcome = self.call.send(&mut connection).await;
                self.flow.outcome(self.index, &outcome);
                if outcome.error.is_some() {
                    continue;
                }
                if !std::mem::replace(&mut begun, true) {
                    self.flow.begun();
                }
            }
            open = Some(connection);
        }
    }

    /// The open connection, or a new one.
    async fn connection(&self, open: Option<Connection>) -> Option<Connection> {
        if let Some(connection) = open.filter(|connection| !connection.is_closed()) {
            return Some(connection);
        }
        match Connection::open(&self.call.url, self.http2, self.call.timeout).await {
            Ok(connection) => {
                self.flow.opened(self.index, connection.local.port());
                Some(connection)
            }
            Err(error) => {
                self.flow.outcome(self.index, &Outcome::failed(&error));
                None
            }
        }
    }

    fn send_aside(&self, mut connection: Connection) -> impl Future<Output = ()> + Send + 'static {
        let (call, flow, index) = (Arc::clone(&self.call), Arc::clone(&self.flow), self.index);
        async move {
            let outcome = call.send(&mut connection).await;
            flow.outcome(index, &outcome);
        }
    }
}

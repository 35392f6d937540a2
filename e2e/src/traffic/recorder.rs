//! Where the flows of a load write what they saw. One lock a flow, held only to add a number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use operator::shop::Outcome;
use tokio::sync::mpsc;

use super::report::{Event, Failure, FlowReport, Latency, Report};

/// Later failures of a flow are only counted.
const DETAILS: usize = 200;
/// Likewise for answers that tell of a failure.
const ERRORS: usize = 20;

/// The whole load's record.
pub(super) struct Recorder {
    start: Instant,
    flows: BTreeMap<String, Arc<Flow>>,
    events: mpsc::UnboundedSender<Event>,
}

/// One flow's record.
pub(super) struct Flow {
    name: String,
    state: Mutex<State>,
    events: mpsc::UnboundedSender<Event>,
}

#[derive(Default)]
struct State {
    report: FlowReport,
    samples: Vec<f64>,
    /// Connections that have had an answer.
    begun: usize,
    expected: usize,
}

impl Recorder {
    pub(super) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            start: Instant::now(),
            flows: BTreeMap::new(),
            events,
        }
    }

    /// Adds a flow with this many connections.
    pub(super) fn flow(&mut self, name: &str, connections: usize) -> Arc<Flow> {
        let report = FlowReport {
            ports: vec![Vec::new(); connections],
            ..FlowReport::default()
        };
        let state = State {
            report,
            expected: connections,
            ..State::default()
        };
        let flow = Flow {
            name: name.to_owned(),
            state: Mutex::new(state),
            events: self.events.clone(),
        };
        let flow = Arc::new(flow);
        self.flows.insert(name.to_owned(), Arc::clone(&flow));
        flow
    }

    /// Whether every connection has had its first answer.
    pub(super) fn ready(&self) -> bool {
        self.flows.values().all(|flow| {
            let state = flow.lock();
            state.begun >= state.expected
        })
    }

    pub(super) fn report(&self) -> Report {
        let flows = self
            .flows
            .iter()
            .map(|(name, flow)| (name.clone(), flow.report()))
            .collect();
        Report {
            seconds: self.start.elapsed().as_secs_f64(),
            flows,
        }
    }
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> FlowReport {
        let state = self.lock();
        FlowReport {
            latency: Latency::of(&state.samples),
            ..state.report.clone()
        }
    }

    /// A connection was opened from this local port.
    pub(super) fn opened(&self, connection: usize, port: u16) {
        if let Some(ports) = self.lock().report.ports.get_mut(connection) {
            ports.push(port);
        }
    }

    /// The first answer on a connection.
    pub(super) fn begun(&self) {
        self.lock().begun += 1;
    }

    /// A request's end.
    pub(super) fn outcome(&self, connection: usize, outcome: &Outcome) {
        if let Some(error) = &outcome.error {
            self.failed(connection, error.clone());
            return;
        }
        let status = outcome.status.unwrap_or_default();
        self.status(status);
        let mut state = self.lock();
        if status >= 500 && state.report.errors.len() < ERRORS {
            let said = outcome.body.as_ref().map(ToString::to_string).unwrap_or_default();
            let error = Failure {
                flow: self.name.clone(),
                at: Timestamp::now(),
                connection,
                cause: format!("{status} {said}"),
            };
            state.report.errors.push(error);
        }
        if let Some(version) = &outcome.version {
            *state.report.versions.entry(version.clone()).or_default() += 1;
        }
        drop(state);
        self.answered(outcome.ms);
    }

    /// A ping, message or request was answered in this time.
    pub(super) fn answered(&self, ms: f64) {
        let mut state = self.lock();
        state.report.answered += 1;
        state.samples.push(ms);
    }

    /// A status was seen.
    pub(super) fn status(&self, status: u16) {
        let now = Timestamp::now();
        let mut state = self.lock();
        *state.report.statuses.entry(status).or_default() += 1;
        state.report.first_seen.entry(status).or_insert(now);
        state.report.last_seen.insert(status, now);
    }

    /// Something got no answer.
    pub(super) fn failed(&self, connection: usize, cause: String) {
        let failure = Failure {
            flow: self.name.clone(),
            at: Timestamp::now(),
            connection,
            cause,
        };
        let mut state = self.lock();
        state.report.failed += 1;
        if state.report.failures.len() < DETAILS {
            state.report.failures.push(failure.clone());
            // Nobody listens any more at the very end.
            let _ = self.events.send(Event::Failure(failure));
        }
    }
}

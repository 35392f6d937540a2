//! What a load saw: data that the harness reads back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the load's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "lowercase")]
pub enum Event {
    /// Every flow has had its first answer, whatever it was.
    Ready,
    /// Something went without an answer.
    Failure(Failure),
    /// Where the flows stand, several times a second.
    Progress(Report),
    /// The last line.
    Report(Report),
}

/// Something that got no answer, or the end of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Which flow.
    pub flow: String,
    /// When.
    pub at: Timestamp,
    /// Which of the flow's connections, from 0.
    pub connection: usize,
    /// Why, in one line.
    pub cause: String,
}

/// The whole load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// How long it ran.
    pub seconds: f64,
    /// Its flows by name.
    pub flows: BTreeMap<String, FlowReport>,
}

/// One flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowReport {
    /// Requests, pings or messages that were answered or received.
    pub answered: u64,
    /// Answers by HTTP status (for gRPC streams by gRPC status at their end).
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by version of the application.
    pub versions: BTreeMap<String, u64>,
    /// How many got no answer.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// The first answers that say that something broke (status 500 and above), with what they said.
    pub errors: Vec<Failure>,
    /// When each status was first seen.
    pub first_seen: BTreeMap<u16, Timestamp>,
    /// When each status was last seen.
    pub last_seen: BTreeMap<u16, Timestamp>,
    /// Local ports that each connection has had; more than one means that it was opened again.
    pub ports: Vec<Vec<u16>>,
    /// How long answers took.
    pub latency: Latency,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Half were faster.
    pub p50: f64,
    /// Nine of ten were faster.
    pub p90: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// The percentiles of unsorted samples in milliseconds.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |permille: usize| {
            let index = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or_default()
        };
        Self {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            max: at(1000),
        }
    }
}

impl Report {
    /// A flow by name; an unknown one is empty.
    pub fn flow(&self, name: &str) -> FlowReport {
        self.flows.get(name).cloned().unwrap_or_default()
    }

    /// The first failures in words.
    pub fn causes(&self) -> Vec<String> {
        let all = self.flows.values().flat_map(|flow| &flow.failures);
        all.take(5).map(Failure::words).collect()
    }

    /// Everything that was not answered with 200, in words: for who says that no request failed. A flow without answers is
    /// a failure too.
    pub fn unanswered(&self) -> Vec<String> {
        let flows = self.flows.iter().filter(|(_, flow)| {
            let good = if flow.statuses.is_empty() {
                flow.answered
            } else {
                flow.status(200)
            };
            flow.failed > 0 || good == 0 || good != flow.answered
        });
        flows
            .map(|(name, flow)| {
                let details: Vec<String> = flow
                    .failures
                    .iter()
                    .chain(&flow.errors)
                    .take(5)
                    .map(Failure::words)
                    .collect();
                format!(
                    "{name}: {} answered by status {:?}, {} without an answer: {}",
                    flow.answered,
                    flow.statuses,
                    flow.failed,
                    details.join("; ")
                )
            })
            .collect()
    }

    /// Whether every connection of every flow is still its first.
    pub fn connections_kept(&self) -> bool {
        self.flows
            .values()
            .all(|flow| flow.ports.iter().all(|ports| ports.len() == 1))
    }

    /// Everything that got no answer, over all flows.
    pub fn failed(&self) -> u64 {
        self.flows.values().map(|flow| flow.failed).sum()
    }
}

impl Failure {
    fn words(&self) -> String {
        format!("{} {}: {}", self.at, self.flow, self.cause)
    }
}

impl FlowReport {
    /// How many answers had this status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// How many answers came from this version.
    pub fn version(&self, version: &str) -> u64 {
        self.versions.get(version).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_can_be_read_back() {
        let mut flow = FlowReport {
            answered: 1,
            ..FlowReport::default()
        };
        flow.statuses.insert(200, 1);
        flow.first_seen.insert(200, Timestamp::UNIX_EPOCH);
        let report = Report {
            seconds: 1.5,
            flows: [("http".to_owned(), flow)].into(),
        };
        for event in [Event::Ready, Event::Progress(report.clone()), Event::Report(report)] {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }

    #[test]
    fn only_200_is_an_answer_where_none_may_fail() {
        let flow = |answered, statuses: &[(u16, u64)], failed| FlowReport {
            answered,
            failed,
            statuses: statuses.iter().copied().collect(),
            ..FlowReport::default()
        };
        let cases = [
            (flow(2, &[(200, 2)], 0), true),
            (flow(2, &[], 0), true),
            (flow(2, &[(200, 2)], 1), false),
            (flow(2, &[(200, 1), (503, 1)], 0), false),
            (flow(0, &[], 0), false),
        ];
        for (flow, good) in cases {
            let report = Report {
                seconds: 1.0,
                flows: [("one".to_owned(), flow)].into(),
            };
            assert_eq!(report.unanswered().is_empty(), good, "{report:?}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand_and_of_nothing() {
        let samples: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        assert_eq!(
            Latency::of(&samples),
            Latency {
                p50: 500.0,
                p90: 900.0,
                p99: 990.0,
                max: 999.0
            }
        );
        assert_eq!(Latency::of(&[]), Latency::default());
        assert_eq!(
            Latency::of(&[7.0]),
            Latency {
                p50: 7.0,
                p90: 7.0,
                p99: 7.0,
                max: 7.0
            }
        );
    }
}

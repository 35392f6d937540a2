//! Requests whose access log lines are awaited: proxies write a second or more behind.
//!
//! What the caller saw has been compared already; a line must agree with the outcome that it saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::access_log::Line;
use super::compare;
use super::diffed::Named;
use super::ended::Ended;
use super::expect::Possible;
use super::explained::Explained;
use super::question::{Asker, Question};
use super::session::{Asked, Difference, Stage};

/// Within this time every line is there.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// For so long a complete request is kept, in case it arrives a second time.
const KEPT: Duration = Duration::from_secs(5);

/// One request.
#[derive(Clone, Debug)]
pub struct Pending {
    objects: Arc<Vec<Value>>,
    question: Question,
    possible: Vec<Possible>,
    explained: Arc<Explained>,
    named: Option<Named>,
    /// Its connection ended.
    ended: Option<Ended>,
    since: Instant,
    inbound: u32,
    outbound: u32,
}

impl Pending {
    /// A request that had one of these outcomes.
    pub(super) fn new(stage: &Stage, asked: &Asked, possible: Vec<Possible>) -> Self {
        Self {
            objects: Arc::clone(&stage.objects),
            question: asked.question.clone(),
            possible,
            explained: Arc::clone(&asked.explained),
            named: asked.named.clone(),
            ended: None,
            since: Instant::now(),
            inbound: 0,
            outbound: 0,
        }
    }

    fn is_complete(&self) -> bool {
        let (arrives, leaves) = if let Some(ended) = self.ended {
            (ended.is_logged(true), ended.is_logged(false))
        } else {
            let arrives = self.possible.iter().all(|one| one.entry.is_some());
            (arrives, self.question.from != Asker::Plaintext)
        };
        (self.inbound > 0 || !arrives) && (self.outbound > 0 || !leaves)
    }

    /// What is wrong with a line, by the evaluator, by `tulle explain` and by `tulle diff`.
    fn compare(&self, line: &Line) -> Result<(), String> {
        if let Some(ended) = self.ended {
            return ended.logged(line);
        }
        if !line.inbound {
            compare::outbound(&self.possible, line)?;
            return self.explained.outbound(line);
        }
        compare::inbound(&self.possible, line)?;
        self.explained.inbound(line)?;
        self.named.as_ref().map_or(Ok(()), |named| named.inbound(line))
    }

    fn differs(&self, reason: String, observed: String) -> Difference {
        Difference {
            objects: Arc::clone(&self.objects),
            question: self.question.clone(),
            reason,
            expected: self.possible.clone(),
            observed,
            small: false,
            in_log: true,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ledger {
    pending: BTreeMap<String, Pending>,
    /// Lines that were compared.
    pub lines: u64,
    differences: Vec<Difference>,
}

impl Ledger {
    /// Awaits the lines of a request.
    pub fn expect(&mut self, id: String, pending: Pending) {
        self.pending.insert(id, pending);
    }

    /// Awaits the line of a request whose connection ended.
    pub fn expect_ended(&mut self, id: String, pending: Pending, ended: Ended) {
        let ended = Some(ended);
        self.pending.insert(id, Pending { ended, ..pending });
    }

    /// Compares a line.
    pub fn take(&mut self, line: &Line) {
        let Some(pending) = self.pending.get_mut(&line.id) else {
            return;
        };
        self.lines += 1;
        let compared = pending.compare(line);
        *if line.inbound {
            &mut pending.inbound
        } else {
            &mut pending.outbound
        } += 1;
        let twice = (pending.inbound > 1).then(|| "the request arrived twice".to_owned());
        if let Some(reason) = compared.err().or(twice) {
            self.differences
                .push(pending.differs(reason, line.fields().to_string()));
            self.pending.remove(&line.id);
        }
    }

    /// Whether nothing is awaited.
    pub fn is_complete(&self) -> bool {
        self.pending.values().all(Pending::is_complete)
    }

    /// Forgets what is complete; what never came is a difference. Returns the differences since the last time.
    pub fn sweep(&mut self) -> Vec<Difference> {
        self.settle(KEPT)
    }

    /// The same when nothing more will come.
    pub fn close(&mut self) {
        let found = self.settle(Duration::ZERO);
        self.differences = found;
    }

    fn settle(&mut self, kept: Duration) -> Vec<Difference> {
        let mut found = std::mem::take(&mut self.differences);
        self.pending.retain(|id, pending| {
            if pending.is_complete() {
                return pending.since.elapsed() < kept;
            }
            let lost = pending.since.elapsed() > PATIENCE || kept.is_zero();
            if lost {
                let seen = format!("{id}: {} lines inbound, {} outbound", pending.inbound, pending.outbound);
                found.push(pending.differs("an access log has no line about the request".to_owned(), seen));
            }
            !lost
        });
        found
    }
}

//! TCP connections whose access log lines are awaited. A line names no probe, so it is told apart by proxy, port, caller and
//! time: of one such triple a probe makes one connection after the other.
//!
//! Lines are read as users read them, by `operator::access_log`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use config::evaluator::Answer;
use jiff::Timestamp;
use operator::access_log::{Decided, Direction, LogLine};
use serde_json::Value;

use super::access_log::Line;
use super::expect::{Entry, Possible};
use super::ledger::PATIENCE;
use super::question::{Asker, Question, Target};
use super::session::Difference;
use super::world::MANY_SERVICE;

/// Proxy, port, caller.
type Key = (String, u16, String);

/// From a moment on, until the next one of the same key.
#[derive(Debug)]
struct Window {
    since: Timestamp,
    /// Absent where what the caller saw did not fit: it asks again.
    expected: Option<Expected>,
}

impl Window {
    fn lines(&self) -> u32 {
        self.expected.as_ref().map_or(0, |expected| expected.lines)
    }
}

#[derive(Debug)]
struct Expected {
    objects: Arc<Vec<Value>>,
    question: Question,
    possible: Possible,
    asked: Instant,
    lines: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Connections {
    windows: BTreeMap<Key, Vec<Window>>,
    /// Lines that were compared.
    pub lines: u64,
    differences: Vec<Difference>,
}

impl Connections {
    /// A connection was made after `since`; if it `fits`, its line is awaited.
    pub fn made(
        &mut self,
        since: Timestamp,
        objects: &Arc<Vec<Value>>,
        question: &Question,
        possible: &[Possible],
        fits: bool,
    ) {
        // Elsewhere several connections may be made by one question.
        let (Target::Service(service), Asker::Mesh(caller), [one]) = (question.to, question.from, possible) else {
            return;
        };
        let Some(entry) = one.entry.as_ref().filter(|_| service == MANY_SERVICE) else {
            return;
        };
        let caller = format!("spiffe://tulle.local/ns/{}/sa/{}", caller.namespace, caller.account);
        let expected = fits.then(|| Expected {
            objects: Arc::clone(objects),
            question: question.clone(),
            possible: one.clone(),
            asked: Instant::now(),
            lines: 0,
        });
        let key = (entry.workload.clone(), question.port, caller);
        self.windows.entry(key).or_default().push(Window { since, expected });
    }

    /// Compares a line.
    pub fn take(&mut self, line: &Line) {
        let Ok(logged) = LogLine::parse(line.text.as_bytes()) else {
            return;
        };
        let (Direction::Inbound, None, Some(to)) = (logged.direction, &logged.request, logged.destination) else {
            return;
        };
        let Ok(began) = logged.time.parse::<Timestamp>() else {
            return;
        };
        let key = (line.proxy.clone(), to.port(), logged.caller.clone().unwrap_or_default());
        let windows = self.windows.get_mut(&key).into_iter().flatten();
        let begun = windows.filter(|window| window.since <= began);
        // Of several that were asked at once any one will do.
        let Some(window) = begun.max_by_key(|window| (window.since, Reverse(window.lines()))) else {
            return;
        };
        let Some(expected) = &mut window.expected else {
            return;
        };
        expected.lines += 1;
        self.lines += 1;
        let entry = expected.possible.entry.as_ref();
        let compared = entry.map_or(Ok(()), |entry| compare(entry, &logged));
        let twice = (expected.lines > 1).then(|| "the connection arrived twice".to_owned());
        if let Some(reason) = compared.err().or(twice) {
            self.differences.push(expected.differs(reason, line.text.clone()));
        }
    }

    /// Whether nothing is awaited.
    pub fn is_complete(&self) -> bool {
        self.expected().all(|one| one.lines > 0)
    }

    /// The differences since the last time; a line that is missing for too long is one.
    pub fn sweep(&mut self) -> Vec<Difference> {
        let mut found = std::mem::take(&mut self.differences);
        for windows in self.windows.values_mut() {
            for window in windows.iter_mut() {
                let lost = |one: &mut Expected| one.lines == 0 && one.asked.elapsed() > PATIENCE;
                if let Some(lost) = window.expected.take_if(lost) {
                    found.push(lost.differs(
                        "the access log has no line about the connection".to_owned(),
                        String::new(),
                    ));
                }
            }
        }
        found
    }

    fn expected(&self) -> impl Iterator<Item = &Expected> {
        self.windows
            .values()
            .flatten()
            .filter_map(|window| window.expected.as_ref())
    }
}

/// The moment before something is asked, as exact as Envoy's log is.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

fn compare(entry: &Entry, logged: &LogLine) -> Result<(), String> {
    let verdict = &entry.verdict;
    let decided = if verdict.answer == Answer::Allowed {
        Decided::Allowed
    } else {
        Decided::Denied
    };
    if decided == logged.decided && Some(&*verdict.rule) == logged.rule.as_deref() {
        return Ok(());
    }
    Err(format!(
        "the log should say {decided:?} by {}, says {:?} by {}",
        verdict.rule,
        logged.decided,
        logged.rule.as_deref().unwrap_or("nothing"),
    ))
}

impl Expected {
    fn differs(&self, reason: String, observed: String) -> Difference {
        Difference {
            objects: Arc::clone(&self.objects),
            question: self.question.clone(),
            reason,
            expected: vec![self.possible.clone()],
            observed,
            small: false,
            in_log: true,
        }
    }
}

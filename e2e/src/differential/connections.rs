//! TCP connections whose access log lines are awaited. A line names no probe, so it is told apart by proxy, port, caller and
//! time: what was asked in one round about one such triple has one answer, and as many lines.
//!
//! Lines are read as users read them, by `operator::access_log`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use config::evaluator::{Answer, Verdict};
use jiff::Timestamp;
use operator::access_log::{Decided, Direction, LogLine};
use serde_json::Value;

use super::access_log::Line;
use super::expect::Possible;
use super::ledger::PATIENCE;
use super::question::Asker;
use super::session::{Asked, Difference, Stage};
use super::world::{GRPC, HTTP};

/// Proxy, port, caller.
type Key = (String, u16, String);

/// From a moment on, until the next one of the same key.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    /// Its number; absent where what the caller saw did not fit.
    number: Option<u64>,
}

/// A connection that was made.
#[derive(Debug)]
struct Awaited {
    objects: Arc<Vec<Value>>,
    asked: Asked,
    /// The outcomes that fit what the caller saw, one for each place where it may have arrived.
    fits: Vec<Possible>,
    since: Instant,
    lines: u32,
}

/// How many lines there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// Compared.
    pub compared: u64,
    /// Those that tell what Shadow permissions would do.
    pub shadow: u64,
    /// About TCP ports, of connections that nobody has asked for.
    pub unassigned: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Connections {
    windows: BTreeMap<Key, Vec<Window>>,
    made: u64,
    awaited: BTreeMap<u64, Awaited>,
    /// So far.
    pub lines: Lines,
    differences: Vec<Difference>,
}

impl Connections {
    /// A connection was made after `since`; if what the caller saw `fits`, its line is awaited.
    pub(super) fn made(&mut self, since: Timestamp, stage: &Stage, asked: &Asked, fits: Option<&[Possible]>) {
        let caller = match asked.question.from {
            Asker::Mesh(caller) => format!("spiffe://tulle.local/ns/{}/sa/{}", caller.namespace, caller.account),
            Asker::Plaintext => String::new(),
        };
        let number = fits.map(|fits| {
            let awaited = Awaited {
                objects: Arc::clone(&stage.objects),
                asked: asked.clone(),
                fits: fits.to_vec(),
                since: Instant::now(),
                lines: 0,
            };
            self.made += 1;
            self.awaited.insert(self.made, awaited);
            self.made
        });
        for (workload, port) in fits
            .unwrap_or(&asked.possible)
            .iter()
            .filter_map(|one| one.arrives.as_ref())
        {
            let key = (workload.to_string(), *port, caller.clone());
            self.windows.entry(key).or_default().push(Window { since, number });
        }
    }

    /// Compares a line.
    pub fn take(&mut self, line: &Line) {
        let Ok(logged) = LogLine::parse(line.text.as_bytes()) else {
            return;
        };
        let (Direction::Inbound, None, Some(to)) = (logged.direction, &logged.request, logged.destination) else {
            return;
        };
        // Plaintext that no chain of a port for requests takes.
        if [HTTP, GRPC].iter().any(|port| port.workload == to.port()) {
            return;
        }
        let key = (line.proxy.clone(), to.port(), logged.caller.clone().unwrap_or_default());
        let began = logged.time.parse::<Timestamp>().ok();
        let Some(window) = began.map(|began| self.newest(&key, began)) else {
            return;
        };
        match window {
            // It is of one whose answer did not fit, which has been told.
            Some(Window { number: None, .. }) => {}
            Some(Window {
                number: Some(number), ..
            }) => self.compare(number, line, &logged),
            None => self.lines.unassigned += 1,
        }
    }

    /// Which connection a line that began then is about. Of several that were asked for at once any one will do, but those that
    /// cannot have arrived anywhere else come first.
    fn newest(&self, key: &Key, began: Timestamp) -> Option<Window> {
        let begun = || {
            let windows = self.windows.get(key).into_iter().flatten();
            windows.filter(move |window| window.since <= began)
        };
        let newest = begun().map(|window| window.since).max()?;
        let of_all = begun().filter(|window| window.since == newest);
        let rank = |window: &&Window| match window.number.map(|number| self.awaited.get(&number)) {
            Some(Some(one)) if one.lines == 0 => (0, one.fits.len()),
            None => (1, 0),
            Some(_) => (2, 0),
        };
        of_all.min_by_key(rank).copied()
    }

    fn compare(&mut self, number: u64, line: &Line, logged: &LogLine) {
        let Some(one) = self.awaited.get_mut(&number) else {
            self.lines.unassigned += 1;
            return;
        };
        one.lines += 1;
        self.lines.compared += 1;
        match one.compare(&line.proxy, logged) {
            Ok(shadow) => self.lines.shadow += u64::from(shadow),
            Err(reason) => self.differences.push(one.differs(reason, line.text.clone())),
        }
        if one.lines > 1 {
            let twice = "the connection arrived twice".to_owned();
            self.differences.push(one.differs(twice, line.text.clone()));
        }
    }

    /// Whether nothing is awaited.
    pub fn is_complete(&self) -> bool {
        !self.awaited.values().any(Awaited::is_open)
    }

    /// The differences since the last time; a line that is missing for too long is one.
    pub fn sweep(&mut self) -> Vec<Difference> {
        let mut found = std::mem::take(&mut self.differences);
        let old = |one: &Awaited| one.since.elapsed() > PATIENCE;
        for lost in self.awaited.values().filter(|one| one.is_open() && old(one)) {
            let reason = "the access log has no line about the connection".to_owned();
            found.push(lost.differs(reason, String::new()));
        }
        self.awaited.retain(|_, one| !old(one));
        found
    }
}

/// The moment before something is asked, as exact as Envoy's log is.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl Awaited {
    fn is_open(&self) -> bool {
        self.lines == 0 && self.fits.iter().all(|one| one.arrives.is_some())
    }

    /// What is wrong with a line, by the evaluator, by `tulle explain` and by `tulle diff`; else whether it tells of Shadow permissions.
    fn compare(&self, proxy: &str, logged: &LogLine) -> Result<bool, String> {
        let here = |one: &&Possible| {
            one.arrives
                .as_ref()
                .is_some_and(|(workload, _)| workload.to_string() == proxy)
        };
        let one = self.fits.iter().find(here).ok_or("it should not arrive there")?;
        let tells = one.tells_shadow(&self.asked.question);
        compare(one, logged)?;
        self.asked.explained.connected(proxy, logged, tells)?;
        if let Some(named) = &self.asked.named {
            named.connected(logged, tells)?;
        }
        Ok(logged.would_allow.is_some() || logged.would_deny.is_some())
    }

    fn differs(&self, reason: String, observed: String) -> Difference {
        Difference {
            objects: Arc::clone(&self.objects),
            question: self.asked.question.clone(),
            reason,
            expected: self.fits.clone(),
            observed,
            small: false,
            in_log: true,
        }
    }
}

fn compare(one: &Possible, logged: &LogLine) -> Result<(), String> {
    // Whom Strict refuses nobody asked a permission about.
    let verdict = one.entry.as_ref().map(|entry| &entry.verdict);
    let allowed = |verdict: &Verdict| verdict.answer == Answer::Allowed;
    let let_in = verdict.is_some_and(allowed);
    let decided = if let_in { Decided::Allowed } else { Decided::Denied };
    let rule = verdict.map(|verdict| &*verdict.rule);
    if (decided, rule) != (logged.decided, logged.rule.as_deref()) {
        return Err(format!(
            "the log should say {decided:?} by {rule:?}, says {:?} by {:?}",
            logged.decided, logged.rule,
        ));
    }
    // Who is refused no filter sees.
    let shadow = one
        .entry
        .as_ref()
        .and_then(|entry| entry.shadow.as_ref())
        .filter(|_| let_in);
    let would = |allow: bool| {
        let verdict = shadow.filter(|verdict| allowed(verdict) == allow);
        verdict.map(|verdict| &*verdict.rule)
    };
    let expected = (would(true), would(false));
    let said = (logged.would_allow.as_deref(), logged.would_deny.as_deref());
    if expected == said {
        return Ok(());
    }
    Err(format!(
        "the log's shadow (allows, denies) should be {expected:?}, is {said:?}"
    ))
}

//! Who may call what: every identity at every Service port, as the evaluator says.
//!
//! `yes` and `no` mean all requests, `some` that it depends on the request. What a rule looks at is found by examples, so a
//! difference inside a regular expression may stay unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::evaluator::{Answer, Evaluator, Likeness, Verdict, ask, likeness, questions};
use crate::model::{InboundPort, Key, Model, Protocol, SpiffeId};

/// What of a port a caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Everything.
    Yes,
    /// Some requests, or some of the workloads.
    Some,
    /// Nothing.
    No,
}

/// One caller at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it may use.
    pub access: Access,
    /// The rules that decide, by the names that the access log gives them.
    pub rules: BTreeSet<Arc<str>>,
}

/// One Service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The Service.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// The port's name; may be empty.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// No workload of the mesh stands behind the port.
    pub outside: bool,
    /// Each wanted caller.
    pub callers: BTreeMap<SpiffeId, Cell>,
    /// Callers without a certificate, where any port accepts them.
    pub plaintext: Option<Cell>,
    /// Not all that the rules look at was tried, so `yes` and `no` may be `some`.
    pub truncated: bool,
}

/// The answers of one port.
#[derive(Debug, Default)]
struct Answers {
    callers: BTreeMap<SpiffeId, Cell>,
    plaintext: Option<Cell>,
    truncated: bool,
}

/// The matrix of the wanted callers and Services.
pub fn matrix(model: &Model, caller: impl Fn(&SpiffeId) -> bool, service: impl Fn(&Key) -> bool) -> Vec<Row> {
    let wanted: BTreeSet<SpiffeId> = model
        .identities
        .iter()
        .filter(|identity| caller(identity))
        .cloned()
        .collect();
    let evaluator = Evaluator::new(model);
    let mut known: BTreeMap<Likeness, Answers> = BTreeMap::new();
    let mut rows = Vec::new();
    for this in model.services.values().filter(|this| service(&this.key)) {
        for port in this.ports.values() {
            let mut row = Row {
                service: this.key.clone(),
                port: port.number,
                name: Arc::clone(&port.name),
                protocol: port.protocol,
                outside: true,
                callers: BTreeMap::new(),
                plaintext: None,
                truncated: false,
            };
            let mut seen = BTreeSet::new();
            for endpoint in port.endpoints.iter() {
                let Some((key, inbound)) = behind(model, endpoint.workload.as_ref(), endpoint.port) else {
                    continue;
                };
                row.outside = false;
                let alike = likeness(inbound);
                if seen.insert(alike.clone()) {
                    let about = (key, endpoint.port);
                    let answers = known
                        .entry(alike)
                        .or_insert_with(|| answers(&evaluator, about, inbound, model, &wanted));
                    row.merge(answers);
                }
            }
            rows.push(row);
        }
    }
    rows
}

fn behind<'a>(model: &'a Model, workload: Option<&'a Key>, port: u16) -> Option<(&'a Key, &'a InboundPort)> {
    let key = workload?;
    let workload = model.workloads.get(key)?;
    Some((key, workload.ports.get(&port).unwrap_or(&workload.undeclared)))
}

fn answers(
    evaluator: &Evaluator<'_>,
    (workload, number): (&Key, u16),
    port: &InboundPort,
    model: &Model,
    wanted: &BTreeSet<SpiffeId>,
) -> Answers {
    let questions = questions(&[port], wanted, &model.mesh.trust_domain);
    let mut answers = Answers {
        truncated: questions.truncated,
        ..Answers::default()
    };
    for class in &questions.callers {
        let nobody = class.members.is_empty();
        let plaintext = class.example == crate::evaluator::Caller::Plaintext;
        if nobody && !plaintext {
            continue;
        }
        let verdicts = questions.operations.iter().flat_map(|operation| {
            let decision = evaluator.evaluate(&ask(class, workload, number, operation));
            decision.arrivals.into_iter().map(|arrival| arrival.verdict)
        });
        let cell = Cell::of(verdicts);
        if plaintext {
            answers.plaintext = Some(cell.clone());
        }
        answers
            .callers
            .extend(class.members.iter().map(|member| (member.clone(), cell.clone())));
    }
    answers
}

impl Cell {
    fn of(verdicts: impl Iterator<Item = Verdict>) -> Self {
        let (mut yes, mut no, mut rules) = (false, false, BTreeSet::new());
        for verdict in verdicts {
            let allowed = verdict.answer == Answer::Allowed;
            yes |= allowed;
            no |= !allowed;
            if !verdict.rule.is_empty() {
                rules.insert(verdict.rule);
            }
        }
        let access = match (yes, no) {
            (true, false) => Access::Yes,
            (true, true) => Access::Some,
            (false, _) => Access::No,
        };
        Self { access, rules }
    }

    fn merge(&mut self, other: &Self) {
        if self.access != other.access {
            self.access = Access::Some;
        }
        self.rules.extend(other.rules.iter().cloned());
    }
}

impl Row {
    fn merge(&mut self, answers: &Answers) {
        self.truncated |= answers.truncated;
        for (identity, cell) in &answers.callers {
            self.callers
                .entry(identity.clone())
                .and_modify(|known| known.merge(cell))
                .or_insert_with(|| cell.clone());
        }
        if let Some(cell) = &answers.plaintext {
            match &mut self.plaintext {
                Some(known) => known.merge(cell),
                none => *none = Some(cell.clone()),
            }
        }
    }
}

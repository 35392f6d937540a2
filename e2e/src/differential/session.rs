//! The running mesh and its callers: worlds are applied, questions asked, answers compared.
//!
//! An acknowledged change reaches a proxy's threads a moment later, and a withdrawn grant first cuts the connections that it
//! made. So an answer that does not fit is asked for again until it fits, for a few seconds; such late answers are counted.
//! Where chance chooses among several outcomes, a question that did not fit is asked many times, and each answer must.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use config::evaluator::Evaluator;
use config::{Model, Settings};
use serde_json::Value;

use super::access_log::AccessLogs;
use super::client::Prober;
use super::connections::{self, Connections};
use super::expect::{Possible, Sees, possible};
use super::ledger::{Ledger, Pending};
use super::prober::Outcome;
use super::question::{Asker, Question};
use super::world::{self, CALLEES, CALLERS, MANY};
use super::{compare, plane};
use crate::harness::{Mesh, MeshOptions};

/// The file of generated objects.
const FILE: &str = "generated.yaml";
/// For so long an answer may be late, usually.
pub const LATE: Duration = Duration::from_secs(6);
/// So many times a question is asked again at once if chance decides among its answers.
const COPIES: usize = 8;

/// What differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The objects.
    pub objects: Arc<Vec<Value>>,
    /// The question.
    pub question: Question,
    /// What is wrong.
    pub reason: String,
    /// What the evaluator says.
    pub expected: Vec<Possible>,
    /// What was seen.
    pub observed: String,
    /// Nothing more could be left out.
    pub small: bool,
    /// It is an access log that differs, not what the caller saw.
    pub in_log: bool,
}

/// A question with its possible outcomes.
pub struct Asked {
    /// The question.
    pub question: Question,
    /// What may happen.
    pub possible: Vec<Possible>,
}

/// A running mesh.
pub struct Session {
    mesh: Mesh,
    probers: BTreeMap<Asker, Prober>,
    addresses: BTreeMap<String, IpAddr>,
    logs: AccessLogs,
    /// Requests whose log lines are awaited.
    pub ledger: Ledger,
    /// The same for connections.
    pub connections: Connections,
    asked: u64,
    /// For so long an answer may be late.
    pub patience: Duration,
    /// What was done so far.
    pub tally: Tally,
    mutation: PathBuf,
}

/// What a session has done.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers that fitted only when asked for again.
    pub late: u64,
    /// It took so long until the latest of them fitted.
    pub latest: Duration,
    /// How long worlds took to be acknowledged everywhere.
    pub applying: Duration,
    /// Decisions by what the evaluator says.
    pub expected: BTreeMap<&'static str, u64>,
}

impl Session {
    /// Starts the mesh, hosted by `tulle` itself or, for mutations, by `tulle-e2e`.
    pub fn start(name: &str, mutable: bool) -> Result<Self> {
        let mutation = plane::mutation_file(name);
        let options = if mutable {
            plane::options(&mutation)?
        } else {
            MeshOptions::default()
        };
        let mesh = Mesh::start_with(name, &[("fixed.yaml", &world::text(&world::objects()))], options)?;
        let mut probers = BTreeMap::new();
        for caller in CALLERS {
            probers.insert(Asker::Mesh(caller), Prober::start(&mesh.workload(&caller.id())?)?);
        }
        probers.insert(Asker::Plaintext, Prober::start(&mesh.outside("plain")?)?);
        let mut addresses = BTreeMap::new();
        for callee in CALLEES.into_iter().chain([MANY]) {
            addresses.insert(callee.id(), mesh.workload(&callee.id())?.address.into());
        }
        let logs = AccessLogs::open(mesh.state(), mesh.members().keys())?;
        Ok(Self {
            mesh,
            probers,
            addresses,
            logs,
            ledger: Ledger::default(),
            connections: Connections::default(),
            asked: 0,
            patience: LATE,
            tally: Tally::default(),
            mutation,
        })
    }

    /// Restarts the control plane with another compiler, or with the good one.
    pub fn mutate(&self, mutation: Option<&str>) -> Result<()> {
        std::fs::write(&self.mutation, mutation.unwrap_or_default())?;
        self.mesh.kill_control_plane()?;
        self.mesh.settled()
    }

    /// Applies objects, and says what they mean.
    pub fn apply(&self, objects: &[Value]) -> Result<Arc<Model>> {
        let text = world::text(objects);
        self.mesh
            .adopt(FILE, &text)
            .with_context(|| format!("cannot apply:\n{text}"))?;
        let view = operator::source::read_once(self.mesh.folder())?;
        // Of such a file the control plane serves an older copy.
        ensure!(view.problems.is_empty(), "{:?}\n{text}", view.problems);
        Ok(config::build(&view.objects, &Settings::default(), SystemTime::now()))
    }

    /// Asks everything in one world. Differences of answers are returned; those of logs come later.
    pub fn play(&mut self, objects: &Arc<Vec<Value>>, questions: Vec<Question>) -> Result<Vec<Difference>> {
        let applying = Instant::now();
        let model = self.apply(objects)?;
        self.tally.applying += applying.elapsed();
        let evaluator = Evaluator::new(&model);
        let mut open: Vec<Asked> = questions
            .into_iter()
            .map(|question| Asked {
                possible: possible(&question, &evaluator.evaluate(&question.request()), &model),
                question,
            })
            .collect();
        for asked in &open {
            *self.tally.expected.entry(kind(&asked.possible)).or_default() += 1;
        }
        let mut differences = self.round(objects, &mut open, 1)?;
        let (start, late) = (Instant::now(), open.len());
        while !open.is_empty() && start.elapsed() < self.patience {
            std::thread::sleep(Duration::from_millis(50));
            let before = open.len();
            differences = self.round(objects, &mut open, COPIES)?;
            if open.len() < before {
                self.tally.latest = self.tally.latest.max(start.elapsed());
            }
        }
        self.tally.late += u64::try_from(late - open.len()).unwrap_or_default();
        self.read_logs()?;
        Ok(differences)
    }

    /// Asks what is open; what fits is closed.
    fn round(&mut self, objects: &Arc<Vec<Value>>, open: &mut Vec<Asked>, copies: usize) -> Result<Vec<Difference>> {
        let mut probes: BTreeMap<Asker, Vec<_>> = BTreeMap::new();
        let mut ids: Vec<Vec<String>> = Vec::new();
        for asked in &*open {
            let copies = if asked.possible.len() > 1 { copies } else { 1 };
            let mut own = Vec::new();
            for _ in 0..copies {
                self.asked += 1;
                let id = format!("probe-{}-{}", std::process::id(), self.asked);
                let probe = asked.question.probe(&id, &self.addresses)?;
                probes.entry(asked.question.from).or_default().push(probe);
                own.push(id);
            }
            ids.push(own);
        }
        let since = connections::now();
        let outcomes = self.ask(&probes)?;
        let mut differences = Vec::new();
        let mut still = Vec::new();
        for (asked, ids) in std::mem::take(open).into_iter().zip(ids) {
            let mut wrong = None;
            let mut fitting = Vec::new();
            for id in ids {
                let seen = outcomes.get(&id).context("a probe without an outcome")?;
                match compare::outcome(&asked.question, &asked.possible, seen) {
                    Ok(fits) => fitting.push((id, fits)),
                    Err(reason) => wrong = Some((reason, format!("{seen:?}"))),
                }
            }
            self.connections
                .made(since, objects, &asked.question, &asked.possible, wrong.is_none());
            if let Some((reason, observed)) = wrong {
                differences.push(Difference {
                    objects: Arc::clone(objects),
                    question: asked.question.clone(),
                    reason,
                    expected: asked.possible.clone(),
                    observed,
                    small: false,
                    in_log: false,
                });
                still.push(asked);
            } else if asked.question.is_request() {
                for (id, fits) in fitting {
                    self.ledger
                        .expect(id, Pending::new(Arc::clone(objects), asked.question.clone(), fits));
                }
            }
        }
        *open = still;
        Ok(differences)
    }

    /// Asks all callers at the same time.
    fn ask(&mut self, probes: &BTreeMap<Asker, Vec<super::prober::Probe>>) -> Result<BTreeMap<String, Outcome>> {
        std::thread::scope(|scope| {
            let asking: Vec<_> = self
                .probers
                .iter_mut()
                .filter_map(|(asker, prober)| Some((prober, probes.get(asker)?)))
                .map(|(prober, probes)| scope.spawn(move || prober.ask(probes)))
                .collect();
            let mut all = BTreeMap::new();
            for thread in asking {
                let outcomes = thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread ended unexpectedly"))?;
                all.extend(outcomes?);
            }
            Ok(all)
        })
    }

    /// Takes in what the proxies have written.
    pub fn read_logs(&mut self) -> Result<()> {
        for line in self.logs.read()? {
            self.ledger.take(&line);
            self.connections.take(&line);
        }
        Ok(())
    }

    /// Waits until every awaited line is there, or clearly does not come.
    pub fn finish_logs(&mut self) -> Result<()> {
        let start = Instant::now();
        self.read_logs()?;
        while !(self.ledger.is_complete() && self.connections.is_complete())
            && start.elapsed() < super::ledger::PATIENCE
        {
            std::thread::sleep(Duration::from_millis(50));
            self.read_logs()?;
        }
        self.ledger.close();
        Ok(())
    }
}

fn kind(possible: &[Possible]) -> &'static str {
    match possible {
        [] => "nothing",
        [one] => match &one.sees {
            Sees::App { .. } => "application",
            Sees::Status(400) => "malformed",
            Sees::Status(403) | Sees::GrpcStatus(7) => "denied",
            Sees::Status(404) => "no route",
            Sees::Status(_) | Sees::GrpcStatus(_) => "another status",
            Sees::Redirect(_) => "redirect",
            Sees::Closed => "closed",
        },
        _ => "one of several",
    }
}

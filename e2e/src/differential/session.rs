//! The running mesh and its callers: worlds are applied, questions asked, answers compared.
//!
//! What every proxy has acknowledged holds: an answer that does not fit is a difference, however soon it would fit. The one
//! exception is a connection that a change ends, as the documents say that it does (`ended`); such a question is asked again
//! on a connection of its own. Where chance chooses among several outcomes, it is asked several times then, and each must fit.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use config::evaluator::Evaluator;
use operator::cli::answers::Objects;
use serde_json::Value;

use super::access_log::AccessLogs;
use super::client::Prober;
use super::connections::Connections;
use super::diffed::Named;
use super::ended::{self, Ended, StrictPorts};
use super::expect::{Possible, kind, possible};
use super::explained::Explained;
use super::ledger::Ledger;
use super::plane;
use super::question::{Asker, Question};
use super::world::{self, CALLEES, CALLERS, MANY};
use crate::harness::{Mesh, MeshOptions, write_whole};

/// The file of generated objects.
const FILE: &str = "generated.yaml";
/// The file of the fixed mesh.
const FIXED: &str = "fixed.yaml";
/// It is told for how long an answer did not fit, up to this time.
const WATCHED: Duration = Duration::from_secs(3);

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

/// A world, read as the commands read it, but not applied yet.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The generated objects.
    pub objects: Arc<Vec<Value>>,
    /// These and the fixed ones.
    pub read: Arc<Objects>,
}

/// A question, and what `tulle diff` says about its answer.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The question.
    pub question: Question,
    /// The rule that is said to decide.
    pub named: Option<Named>,
}

/// What came of asking.
#[derive(Debug, Default)]
pub struct Played {
    /// What answers differ. Differences of logs come later.
    pub differences: Vec<Difference>,
    /// For each question the outcomes that fit its answer, if it fitted.
    pub fits: Vec<Option<Vec<Possible>>>,
}

/// A question with all that is said about it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) place: usize,
    pub(super) question: Question,
    pub(super) possible: Vec<Possible>,
    pub(super) explained: Arc<Explained>,
    pub(super) named: Option<Named>,
}

/// A running mesh.
pub struct Session {
    mesh: Mesh,
    pub(super) probers: BTreeMap<Asker, Prober>,
    pub(super) addresses: BTreeMap<String, IpAddr>,
    logs: AccessLogs,
    /// Requests whose log lines are awaited.
    pub ledger: Ledger,
    /// The same for connections.
    pub connections: Connections,
    pub(super) asked: u64,
    /// For so long it is watched how long a difference lasts.
    pub patience: Duration,
    /// What was done so far.
    pub tally: Tally,
    mutation: PathBuf,
    /// Where worlds are read before they are applied.
    staged: PathBuf,
    applied: Option<Stage>,
    strict: StrictPorts,
}

/// What a session has done.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers from connections that a change ended by design.
    pub ended: BTreeMap<Ended, u64>,
    /// Answers over HTTP/1.1 connections that were open for longer than an Envoy drains what it drops.
    pub kept: u64,
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
        let fixed = world::text(&world::objects());
        let mesh = Mesh::start_with(name, &[(FIXED, &fixed)], options)?;
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
        let staged = mesh.folder().with_file_name("staged");
        std::fs::create_dir_all(&staged)?;
        write_whole(&staged.join(FIXED), &fixed)?;
        Ok(Self {
            mesh,
            probers,
            addresses,
            logs,
            ledger: Ledger::default(),
            connections: Connections::default(),
            asked: 0,
            patience: WATCHED,
            tally: Tally::default(),
            mutation,
            staged,
            applied: None,
            strict: StrictPorts::default(),
        })
    }

    /// Restarts the control plane with another compiler, or with the good one.
    pub fn mutate(&self, mutation: Option<&str>) -> Result<()> {
        std::fs::write(&self.mutation, mutation.unwrap_or_default())?;
        self.mesh.kill_control_plane()?;
        self.mesh.settled()
    }

    /// Reads a world. Nothing is applied.
    pub fn stage(&self, objects: impl Into<Arc<Vec<Value>>>) -> Result<Stage> {
        let objects = objects.into();
        let text = world::text(&objects);
        write_whole(&self.staged.join(FILE), &text)?;
        let read = Objects::of_folder(&self.staged).with_context(|| format!("cannot read:\n{text}"))?;
        Ok(Stage {
            objects,
            read: Arc::new(read),
        })
    }

    /// Applies a world and asks everything in it.
    pub fn play(&mut self, stage: &Stage, asks: Vec<Ask>) -> Result<Played> {
        let applying = Instant::now();
        let text = world::text(&stage.objects);
        self.mesh
            .adopt(FILE, &text)
            .with_context(|| format!("cannot apply:\n{text}"))?;
        self.tally.applying += applying.elapsed();
        if let Some(before) = self.applied.replace(stage.clone()) {
            self.strict.note(before.read.model());
        }
        let mut played = Played {
            differences: Vec::new(),
            fits: vec![None; asks.len()],
        };
        let mut open = self.expected(stage, asks)?;
        for again in 0..=ended::MOST {
            let misfits = self.round(stage, open, again > 0, &mut played)?;
            open = Vec::new();
            let mut wrong = Vec::new();
            for misfit in misfits {
                let ended = self.strict.ended(stage.read.model(), &misfit.asked, &misfit.seen);
                if let Some(ended) = ended.filter(|_| again < ended::MOST) {
                    *self.tally.ended.entry(ended).or_default() += 1;
                    self.ledger
                        .expect_ended(misfit.id.clone(), misfit.pending(stage), ended);
                    open.push(misfit.asked);
                } else {
                    wrong.push(misfit);
                }
            }
            played.differences.extend(self.watched(stage, wrong)?);
            if open.is_empty() {
                break;
            }
        }
        self.read_logs()?;
        Ok(played)
    }

    fn expected(&mut self, stage: &Stage, asks: Vec<Ask>) -> Result<Vec<Asked>> {
        let model = stage.read.model();
        let evaluator = Evaluator::new(model);
        let mut all = Vec::new();
        for (place, Ask { question, named }) in asks.into_iter().enumerate() {
            let possible = possible(&question, &evaluator.evaluate(&question.request()), model);
            *self.tally.expected.entry(kind(&possible)).or_default() += 1;
            all.push(Asked {
                place,
                explained: Arc::new(Explained::ask(&stage.read, &question)?),
                question,
                possible,
                named,
            });
        }
        Ok(all)
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

impl Stage {
    /// What differs in this world.
    pub fn differs(&self, question: &Question, reason: String, expected: &[Possible], observed: String) -> Difference {
        Difference {
            objects: Arc::clone(&self.objects),
            question: question.clone(),
            reason,
            expected: expected.to_vec(),
            observed,
            small: false,
            in_log: false,
        }
    }
}

impl Ask {
    /// A question of which nobody says anything.
    pub fn plain(question: Question) -> Self {
        Self { question, named: None }
    }
}

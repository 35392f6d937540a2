//! One round of questions to a world that is applied: all callers ask at once, and each answer is compared.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};

use super::expect::Possible;
use super::ledger::Pending;
use super::prober::{Outcome, Probe};
use super::question::Asker;
use super::session::{Asked, Difference, Played, Session, Stage};
use super::{compare, connections};

/// So many times a question is asked again at once if chance decides among its answers.
const COPIES: usize = 8;
/// Whatever an Envoy drops it has closed after so many seconds (`--drain-time-s`).
const DRAINED: u64 = 45;
/// Between two looks at how long a difference lasts.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// A question whose answer does not fit.
pub(super) struct Misfit {
    pub(super) asked: Asked,
    /// The probe.
    pub(super) id: String,
    pub(super) seen: Outcome,
    reason: String,
}

impl Misfit {
    /// The log lines that are awaited nevertheless.
    pub(super) fn pending(&self, stage: &Stage) -> Pending {
        Pending::new(stage, &self.asked, Vec::new())
    }

    fn differs(&self, stage: &Stage, lasted: Option<f64>) -> Difference {
        let lasted = lasted.map_or_else(
            || "did not fit as long as it was watched".to_owned(),
            |seconds| format!("fitted {seconds:.3} s later on a connection of its own"),
        );
        let observed = format!("{} {:?}; {lasted}", self.id, self.seen);
        stage.differs(
            &self.asked.question,
            self.reason.clone(),
            &self.asked.possible,
            observed,
        )
    }
}

impl Session {
    /// Asks; what fits is noted, what does not is returned. `again` asks each on a connection of its own.
    pub(super) fn round(
        &mut self,
        stage: &Stage,
        asked: Vec<Asked>,
        again: bool,
        played: &mut Played,
    ) -> Result<Vec<Misfit>> {
        let mut probes: BTreeMap<Asker, Vec<Probe>> = BTreeMap::new();
        let mut ids: Vec<Vec<String>> = Vec::new();
        for one in &asked {
            let copies = if again && one.possible.len() > 1 { COPIES } else { 1 };
            let mut own = Vec::new();
            for _ in 0..copies {
                self.asked += 1;
                let id = format!("probe-{}-{}", std::process::id(), self.asked);
                let probe = one.question.probe(&id, &self.addresses, again)?;
                probes.entry(one.question.from).or_default().push(probe);
                own.push(id);
            }
            ids.push(own);
        }
        let since = connections::now();
        let mut outcomes = self.ask(&probes)?;
        let mut misfits = Vec::new();
        for (asked, ids) in asked.into_iter().zip(ids) {
            let (mut wrong, mut fitting): (_, Vec<Possible>) = (None, Vec::new());
            for id in ids {
                let seen = outcomes.remove(&id).context("a probe without an outcome")?;
                self.tally.kept += u64::from(seen.error.is_none() && seen.age > DRAINED);
                let fits = compare::outcome(&asked.question, &asked.possible, &seen);
                if !asked.question.is_request() {
                    self.connections.made(since, stage, &asked, fits.as_deref().ok());
                }
                match fits {
                    Ok(fits) => {
                        if asked.question.is_request() {
                            self.ledger.expect(id, Pending::new(stage, &asked, fits.clone()));
                        }
                        fitting = fits;
                    }
                    Err(reason) => wrong = Some((id, seen, reason)),
                }
            }
            match wrong {
                Some((id, seen, reason)) => misfits.push(Misfit {
                    asked,
                    id,
                    seen,
                    reason,
                }),
                None => {
                    if let Some(place) = played.fits.get_mut(asked.place) {
                        *place = Some(fitting);
                    }
                }
            }
        }
        Ok(misfits)
    }

    /// Differences, and for how long each of them lasts.
    pub(super) fn watched(&mut self, stage: &Stage, wrong: Vec<Misfit>) -> Result<Vec<Difference>> {
        let since = Instant::now();
        let mut differences = Vec::new();
        let mut open = wrong;
        while !open.is_empty() && since.elapsed() < self.patience {
            let asked = open.iter().map(|misfit| misfit.asked.clone()).collect();
            let still = self.round(stage, asked, true, &mut Played::default())?;
            let still: Vec<usize> = still.iter().map(|misfit| misfit.asked.place).collect();
            let (lasting, over): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|misfit| still.contains(&misfit.asked.place));
            let seconds = since.elapsed().as_secs_f64();
            differences.extend(over.iter().map(|misfit| misfit.differs(stage, Some(seconds))));
            open = lasting;
            std::thread::sleep(LOOK);
        }
        differences.extend(open.iter().map(|misfit| misfit.differs(stage, None)));
        Ok(differences)
    }

    /// Asks all callers at the same time.
    fn ask(&mut self, probes: &BTreeMap<Asker, Vec<Probe>>) -> Result<BTreeMap<String, Outcome>> {
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
}

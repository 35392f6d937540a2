//! From world to world: what each is asked, and whether `tulle diff` says truly what changes between two of them.
//!
//! A world is asked its own questions, some of the one before, and the examples of what changes to and from it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::Result;

use super::diffed::{Claim, Diffed, Listed, decisions};
use super::expect::Possible;
use super::generate::World;
use super::prober::Does;
use super::question::{Asker, Question};
use super::session::{Ask, Difference, Played, Session, Stage};

/// So many questions of a world are asked in the next one too.
const AGAIN: usize = 40;
/// So many claims about one change are tried.
const CLAIMS: usize = 24;

/// What is generated next: a world and its questions.
pub type Next = (World, Vec<Question>);

/// How often `tulle diff` was held against what happened.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Claims of which the example was sent before and after.
    pub claims: u64,
    /// Claims about Shadow permissions of which no log tells.
    pub untold: u64,
    /// Questions that were asked before and after.
    pub asked: u64,
    /// Those of which the decision changed, by how that was listed.
    pub changed: BTreeMap<Listed, u64>,
}

impl Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "diff: {} claims tried in both worlds, {} more that no log tells of; of {} questions asked in both changed",
            self.claims, self.untold, self.asked
        )?;
        let listed = self.changed.iter();
        let listed: Vec<String> = listed.map(|(listed, count)| format!(" {count} ({listed:?})")).collect();
        f.write_str(if listed.is_empty() { " none" } else { "" })?;
        f.write_str(&listed.join(","))
    }
}

/// A walk.
#[derive(Debug, Default)]
pub struct Walk {
    ahead: Option<(Stage, Vec<Question>)>,
    behind: Option<Behind>,
    /// How often `tulle diff` was tried.
    pub tried: Tried,
}

/// What is still to be compared of the world before.
#[derive(Debug)]
struct Behind {
    diffed: Diffed,
    claims: Vec<(Claim, Vec<Possible>)>,
    again: Vec<(Question, Vec<Possible>)>,
}

impl Walk {
    /// Something else was applied in between.
    pub fn forget(&mut self) {
        self.behind = None;
    }

    /// Plays the next world. Says how many questions of its own it had; nothing if there is no world any more.
    pub fn step(
        &mut self,
        session: &mut Session,
        mut next: impl FnMut() -> Option<Next>,
    ) -> Result<Option<(u64, Vec<Difference>)>> {
        let mut stage = |session: &Session| {
            next()
                .map(|(world, questions)| anyhow::Ok((session.stage(world.objects)?, questions)))
                .transpose()
        };
        let here = match self.ahead.take() {
            Some(here) => Some(here),
            None => stage(session)?,
        };
        let Some((here, questions)) = here else {
            return Ok(None);
        };
        self.ahead = stage(session)?;
        let to_come = self
            .ahead
            .as_ref()
            .map(|(ahead, _)| Diffed::ask(&here.read, &ahead.read));
        let to_come = to_come.transpose()?;
        let claims = match (&to_come, &self.ahead) {
            (Some(diffed), Some((ahead, _))) => spread(diffed.claims(here.read.model(), ahead.read.model())),
            _ => Vec::new(),
        };
        let behind = self.behind.take();
        let asks = asks(&questions, &claims, behind.as_ref());
        let asked = u64::try_from(questions.len())?;
        let Played { mut differences, fits } = session.play(&here, asks)?;
        let mut fits = fits.into_iter();
        let own: Vec<_> = questions.into_iter().zip(fits.by_ref()).collect();
        let claims: Vec<_> = claims.into_iter().zip(fits.by_ref()).collect();
        if let Some(behind) = behind {
            differences.extend(self.compare(&here, &behind, &fits.collect::<Vec<_>>()));
        }
        self.behind = to_come.map(|diffed| Behind {
            diffed,
            claims: claims.into_iter().filter_map(answered).collect(),
            again: own
                .into_iter()
                .filter_map(answered)
                .filter(|(question, _)| is_quick(question))
                .take(AGAIN)
                .collect(),
        });
        Ok(Some((asked, differences)))
    }

    /// Compares what was said about the change to this world with what was seen on both sides of it.
    fn compare(&mut self, here: &Stage, behind: &Behind, fits: &[Option<Vec<Possible>>]) -> Vec<Difference> {
        let mut wrong = Vec::new();
        let mut differs = |question: &Question, reason: String, fits: &[Possible], diffed: &Diffed| {
            wrong.push(here.differs(question, reason, fits, diffed.json().to_string()));
        };
        let (of_claims, of_again) = fits.split_at(behind.claims.len().min(fits.len()));
        for ((claim, before), after) in behind.claims.iter().zip(of_claims) {
            let Some(after) = after else { continue };
            let told = claim.is_told(before) && claim.is_told(after);
            *if told {
                &mut self.tried.claims
            } else {
                &mut self.tried.untold
            } += 1;
            if let Err(reason) = claim.compare(before, after) {
                differs(&claim.question, reason, after, &behind.diffed);
            }
        }
        let model = here.read.model();
        for ((question, before), after) in behind.again.iter().zip(of_again) {
            let Some(after) = after else { continue };
            self.tried.asked += 1;
            let (was, is) = (decisions(before), decisions(after));
            for (workload, allowed) in is
                .iter()
                .filter(|(name, is)| was.get(*name).is_some_and(|was| was != *is))
            {
                if let Some(listed) = behind.diffed.lists(model, question, workload, *allowed) {
                    *self.tried.changed.entry(listed).or_default() += 1;
                } else {
                    let reason =
                        format!("{workload} decides otherwise now (allowed: {allowed}), and diff does not say so");
                    differs(question, reason, after, &behind.diffed);
                }
            }
        }
        wrong
    }
}

/// Its own questions, the claims about what comes, and what is left of the world before; answers come in this order.
fn asks(questions: &[Question], claims: &[Claim], behind: Option<&Behind>) -> Vec<Ask> {
    let plain = |question: &Question| Ask {
        question: question.clone(),
        named: None,
    };
    let claimed = |claim: &Claim, after: bool| Ask {
        question: claim.question.clone(),
        named: Some(claim.named(after)),
    };
    let mut all: Vec<Ask> = questions.iter().map(plain).collect();
    all.extend(claims.iter().map(|claim| claimed(claim, false)));
    if let Some(behind) = behind {
        all.extend(behind.claims.iter().map(|(claim, _)| claimed(claim, true)));
        all.extend(behind.again.iter().map(|(question, _)| plain(question)));
    }
    all
}

/// Some claims of all there are, from the first to the last.
fn spread(claims: Vec<Claim>) -> Vec<Claim> {
    let step = claims.len().div_ceil(CLAIMS).max(1);
    claims.into_iter().step_by(step).collect()
}

fn answered<T>((asked, fits): (T, Option<Vec<Possible>>)) -> Option<(T, Vec<Possible>)> {
    Some((asked, fits?))
}

/// A silent caller of a Permissive port is waited for by the proxy.
fn is_quick(question: &Question) -> bool {
    let silent = matches!((question.from, &question.does), (Asker::Plaintext, Does::Listen));
    !silent
}

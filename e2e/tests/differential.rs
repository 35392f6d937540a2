//! The reference evaluator and real Envoys agree on generated policies and requests; a compiler with a mistake is noticed.
//!
//! `tulle-e2e differential` is the long form. A difference is printed as objects, question and both answers.

use anyhow::{Context, Result, ensure};
use config::Mutation;
use tulle_e2e::differential::{Report, Session, run};
use tulle_e2e::harness::{Steps, can_run};

/// The seed of every run.
const SEED: u64 = 20_261;
/// Decisions of that seed.
const DECISIONS: u64 = 2000;
/// Decisions of a seed that is another one each time.
const MORE: u64 = 400;
/// Combinations of permissions on TCP ports.
const COMBINATIONS: usize = 64;
/// Within so many decisions a mistake of the compiler is noticed.
const NOTICED: u64 = 8000;

#[test]
fn the_evaluator_and_envoy_agree_and_broken_compilers_are_noticed() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut session = Session::start("differential-test", true)?;
    let mut steps = Steps::default();
    steps.run("the fixed seed", || {
        agree(&run::requests(&mut session, SEED, DECISIONS)?)
    });
    steps.run("combinations of permissions on TCP ports", || {
        agree(&run::connections(&mut session, SEED, COMBINATIONS)?)
    });
    for mutation in Mutation::ALL {
        steps.run(&format!("the mutation {} is noticed", mutation.name()), || {
            noticed(&mut session, mutation)
        });
    }
    steps.run("without a mutation they agree again", || {
        session.mutate(None)?;
        agree(&run::requests(&mut session, SEED, MORE)?)
    });
    steps.finish()
}

fn agree(report: &Report) -> Result<()> {
    eprintln!("{report}");
    ensure!(report.decisions > 0 && report.differences.is_empty(), "{report}");
    Ok(())
}

fn noticed(session: &mut Session, mutation: Mutation) -> Result<()> {
    session.mutate(Some(mutation.name()))?;
    let found = run::until_difference(session, SEED, NOTICED)?;
    let (decisions, difference) = found.with_context(|| format!("not noticed within {NOTICED} decisions"))?;
    eprintln!(
        "{}: noticed within {decisions} decisions: {}",
        mutation.name(),
        difference.reason
    );
    Ok(())
}

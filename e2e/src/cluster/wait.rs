//! Waiting for a condition in code that is not asynchronous.

use std::time::Duration;

use anyhow::Result;

use crate::harness::wait_until;

const LOOK: Duration = Duration::from_millis(100);

/// Asks again and again until the answer is yes. An error counts as "not yet" and is shown if the time runs out.
pub(super) fn until(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, limit, LOOK, || Ok(ask()?.then_some(())))
}

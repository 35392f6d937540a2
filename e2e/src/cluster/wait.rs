//! Waiting for a condition in code that is not asynchronous.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const LOOK: Duration = Duration::from_millis(100);

/// Asks again and again until the answer is yes. An error counts as "not yet" and is shown if the time runs out.
pub(super) fn until(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(true) => return Ok(()),
            Ok(false) if start.elapsed() > limit => bail!("{what}: not within {limit:?}"),
            Err(error) if start.elapsed() > limit => {
                return Err(error).with_context(|| format!("{what}: not within {limit:?}"));
            }
            _ => std::thread::sleep(LOOK),
        }
    }
}

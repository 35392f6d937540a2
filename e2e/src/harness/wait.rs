//! Waiting for a condition: the only way in which tests let time pass.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// [`until`] for code that is not asynchronous, with so much time between two looks.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    look: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if start.elapsed() > limit => bail!("{what}: not within {limit:?}"),
            Err(error) if start.elapsed() > limit => {
                return Err(error).with_context(|| format!("{what}: not within {limit:?}"));
            }
            _ => std::thread::sleep(look),
        }
    }
}

/// Asks again and again until there is an answer. An error counts as "not yet" and is shown if the time runs out.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if start.elapsed() > limit => bail!("{what}: not within {limit:?}"),
            Err(error) if start.elapsed() > limit => {
                return Err(error).with_context(|| format!("{what}: not within {limit:?}"));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

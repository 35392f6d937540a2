//! What every replica keeps right on the API server: the root certificate where Pods and the API server need it.
//!
//! Replicas do the same work without asking each other: writes are server-side apply of the same fields, and nothing is written that is
//! right already. While the API server does not answer nothing is lost: it is looked at again afterwards. What is served
//! never depends on any of this.

mod roots;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::source::SourceView;

/// Who we are in the managed fields of objects.
const MANAGER: &str = "tulle";
/// After a refused write: first this, then ever longer.
const RETRY: Duration = Duration::from_secs(1);
/// But not longer.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Begins. `name` is that of the webhook configurations; the work ends with the returned set.
pub fn start(client: &Client, bundle: &Arc<str>, name: &str, views: watch::Receiver<Arc<SourceView>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(roots::keep(client.clone(), Arc::clone(bundle), views));
    webhooks::keep(&mut tasks, client, bundle, name);
    tasks
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    RETRY
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_wait_longer_and_longer() {
        let seconds = [1, 2, 3, 6, 100].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 30, 30]);
    }
}

//! How long to wait before a crashed process is started again.

use std::time::Duration;

/// Doubles from `first` to `max`; a process that ran for `reset_after` has recovered and begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first crash.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A run this long forgets earlier crashes.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            max: Duration::from_secs(30),
            reset_after: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait after the `crashes`-th crash in a row (from 1).
    pub fn delay(&self, crashes: u32) -> Duration {
        let factor = 2_u32.saturating_pow(crashes.saturating_sub(1).min(30));
        self.first.saturating_mul(factor).min(self.max)
    }
}

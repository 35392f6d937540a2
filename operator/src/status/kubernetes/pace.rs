//! When each object may be written: at once, then not sooner than a second later, and later and later while it is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Id;

/// Between two writes of one object.
const REST: Duration = Duration::from_secs(1);
/// An object that is refused again and again is tried this often.
const LONGEST: Duration = Duration::from_mins(1);

/// The pace of all objects.
#[derive(Debug, Default)]
pub(super) struct Pace(BTreeMap<Id, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    next: Instant,
    failures: u32,
}

impl Pace {
    /// Since when it may be written, or when; nothing if it was not written lately.
    pub(super) fn next(&self, id: &Id) -> Option<Instant> {
        self.0.get(id).map(|entry| entry.next)
    }

    /// It was written.
    pub(super) fn written(&mut self, id: &Id, now: Instant) {
        let next = now + REST;
        self.0.insert(id.clone(), Entry { next, failures: 0 });
    }

    /// It was refused; says how often in a row.
    pub(super) fn refused(&mut self, id: &Id, now: Instant) -> u32 {
        let failures = self.0.get(id).map_or(0, |entry| entry.failures).saturating_add(1);
        let next = now + backoff(failures, LONGEST);
        self.0.insert(id.clone(), Entry { next, failures });
        failures
    }

    /// Forgets what nobody wants to write any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, entry| entry.next + LONGEST > now);
    }
}

/// One second, two, four...
pub(super) fn backoff(failures: u32, longest: Duration) -> Duration {
    REST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_slow_an_object_down_and_success_ends_that() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let id = Id {
            kind: "Mesh".into(),
            namespace: String::new(),
            name: "default".into(),
        };
        assert_eq!(pace.next(&id), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            pace.refused(&id, now);
            assert_eq!(pace.next(&id), Some(now + Duration::from_secs(seconds)));
        }
        pace.written(&id, now);
        assert_eq!(pace.next(&id), Some(now + REST));
        pace.forget(now + Duration::from_mins(2));
        assert_eq!(pace.next(&id), None);
    }
}

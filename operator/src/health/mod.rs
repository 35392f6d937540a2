//! Whether this process works and may be asked, for the kubelet, and its figures, for Prometheus.
//!
//! Ready means: everything was read once, compiled, and both ports listen. It stays so while the API server is away, because what was
//! read is served; it ends when the process is asked to end, so that nobody new is sent here. Served by plain HTTP: nothing
//! here is secret.

mod server;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use server::serve;

/// What must have happened once before anybody is sent here, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The certificate authority is known.
    CertificateAuthority,
    /// All objects were listed once.
    Objects,
    /// They were compiled once.
    Engine,
    /// Proxies can connect.
    Xds,
    /// The API server can ask.
    Webhook,
}

const STEPS: [(Step, &str); 5] = [
    (Step::CertificateAuthority, "certificate-authority"),
    (Step::Objects, "objects"),
    (Step::Engine, "engine"),
    (Step::Xds, "xds"),
    (Step::Webhook, "webhook"),
];

/// What is known of this process. Clones are the same.
#[derive(Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Default)]
struct Inner {
    done: Mutex<BTreeSet<Step>>,
    ending: OnceLock<()>,
    alive: OnceLock<Alive>,
    figures: OnceLock<Figures>,
}

type Alive = Box<dyn Fn() -> bool + Send + Sync>;
/// The figures as text; nothing if they cannot be written.
type Figures = Box<dyn Fn() -> Option<String> + Send + Sync>;

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").field(&self.0.done).finish()
    }
}

impl Health {
    /// This has happened.
    pub fn done(&self, step: Step) {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner).insert(step);
    }

    /// Nobody new is to be sent here from now on.
    pub fn ending(&self) {
        self.0.ending.get_or_init(|| ());
    }

    /// What to ask from now on: whether the process still works, and its figures. Only the first call counts.
    pub(crate) fn connect(
        &self,
        alive: impl Fn() -> bool + Send + Sync + 'static,
        figures: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        self.0.alive.get_or_init(|| Box::new(alive));
        self.0.figures.get_or_init(|| Box::new(figures));
    }

    /// Whether it works; before it has begun to, it does.
    fn alive(&self) -> bool {
        self.0.alive.get().is_none_or(|alive| alive())
    }

    /// Whether it is ready, and why or why not, a line a step.
    fn ready(&self) -> (bool, String) {
        let done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ending = self.0.ending.get().is_some();
        let mut text = String::new();
        for (step, name) in STEPS {
            let (sign, word) = if done.contains(&step) {
                ('+', "ok")
            } else {
                ('-', "not yet")
            };
            // Writing to a String cannot fail.
            writeln!(text, "[{sign}]{name} {word}").ok();
        }
        if ending {
            text.push_str("[-]ending\n");
        }
        (!ending && done.len() == STEPS.len(), text)
    }

    fn figures(&self) -> Option<String> {
        self.0.figures.get().and_then(|figures| figures())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_all_of_it_until_the_end() {
        let health = Health::default();
        for (step, name) in STEPS {
            let (ready, text) = health.ready();
            assert!(!ready && text.contains(&format!("[-]{name} not yet")), "{text}");
            health.done(step);
        }
        let (ready, text) = health.ready();
        assert!(ready && !text.contains("[-]"), "{text}");
        health.ending();
        let (ready, text) = health.ready();
        assert!(!ready && text.contains("[-]ending"), "{text}");
        assert!(health.alive());
        health.connect(|| false, || None);
        assert!(!health.alive());
    }
}

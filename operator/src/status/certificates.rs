//! When the certificates of proxies end, read from the versions that go out and come back on their streams.
//!
//! It stands between the xDS server and the real source of secrets, and changes no answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use config::model::Key;
use xds::{Identity, SecretAnswer, SecretSource};

/// Takes note of the certificate that each proxy has.
#[derive(Debug)]
pub struct CertificateBook<S> {
    source: S,
    ends: Ends,
}

/// The ends, by workload.
type Ends = Arc<Mutex<BTreeMap<Key, SystemTime>>>;

impl<S> CertificateBook<S> {
    /// A book over a source, and the reader of the book.
    pub fn over(source: S) -> (Self, impl Fn() -> BTreeMap<Key, SystemTime> + Send + Sync + Clone) {
        let ends = Ends::default();
        let book = Self {
            source,
            ends: Arc::clone(&ends),
        };
        (book, move || {
            ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}

impl<S: SecretSource> SecretSource for CertificateBook<S> {
    fn secret(&self, identity: &Identity, name: &str, held: Option<&str>) -> Option<SecretAnswer> {
        let answer = self.source.secret(identity, name, held)?;
        let end = match &answer {
            SecretAnswer::Keep { version, .. } => end_of(version),
            SecretAnswer::Send { resource, .. } => end_of(&resource.version),
        };
        let proxy = identity.proxy.to_string();
        if let (Some(end), Some((namespace, name))) = (end, proxy.split_once('/')) {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            if ends.insert(Key::new(namespace, name), end).is_none() {
                // Who has not come back for a new one is gone.
                let now = SystemTime::now();
                ends.retain(|_, end| *end > now);
            }
        }
        Some(answer)
    }
}

/// The end in a certificate's version, `<unix seconds>.<...>`.
fn end_of(version: &str) -> Option<SystemTime> {
    let seconds = version.split('.').next()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

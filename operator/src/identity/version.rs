//! Leaf versions: `<notAfter unix>.<caKeyId>.<idHash>.<MAC>`.
//!
//! A proxy says on reconnect which version it holds. The MAC proves that this CA issued that leaf to that identity, so
//! a restarted control plane, which remembers no leaf, can leave a good certificate alone. A forged or foreign version
//! is only "not held": the proxy gets a new leaf and nothing else happens.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};

use super::ca::{CertificateAuthority, hex};

/// A leaf that a proxy provably holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When that leaf ends.
    pub not_after: SystemTime,
}

impl CertificateAuthority {
    /// The version of a leaf with this identity and end.
    pub fn version(&self, spiffe_id: &str, not_after: SystemTime) -> String {
        let end = unix(not_after);
        let tag = hmac::sign(&self.version_key, self.signed(end, spiffe_id).as_bytes());
        format!(
            "{end}.{}.{}.{}",
            self.key_id(),
            id_hash(spiffe_id),
            hex(tag.as_ref(), 32)
        )
    }

    /// What `version` proves about the leaf of this identity: nothing, unless this CA issued it and it is still valid.
    pub fn verify_version(&self, version: &str, spiffe_id: &str, now: SystemTime) -> Option<Held> {
        let mut parts = version.split('.');
        let (end, key_id, hash, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || key_id != self.key_id() || hash != id_hash(spiffe_id) {
            return None;
        }
        // One spelling only: `+5` and `05` are numbers too.
        let end = end.parse::<u64>().ok().filter(|number| number.to_string() == end)?;
        let tag = unhex(mac)?;
        hmac::verify(&self.version_key, self.signed(end, spiffe_id).as_bytes(), &tag).ok()?;
        let not_after = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end))?;
        (not_after > now).then_some(Held { not_after })
    }

    fn signed(&self, end: u64, spiffe_id: &str) -> String {
        format!("{end}.{}.{spiffe_id}", self.key_id())
    }
}

/// When to renew a leaf: half a lifetime before its end, earlier by up to a tenth, always the same for one `seed`.
///
/// Without the jitter, proxies that joined together would renew together for ever.
pub fn renew_at(not_after: SystemTime, lifetime: Duration, seed: &str) -> SystemTime {
    let hash = digest::digest(&digest::SHA256, seed.as_bytes());
    let share = hash
        .as_ref()
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let jitter = (lifetime / 10).mul_f64(f64::from(share) / f64::from(u32::MAX));
    not_after
        .checked_sub(lifetime / 2 + jitter)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whole seconds since 1970.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn id_hash(spiffe_id: &str) -> String {
    hex(digest::digest(&digest::SHA256, spiffe_id.as_bytes()).as_ref(), 8)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // Upper case would be a second spelling of one version.
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

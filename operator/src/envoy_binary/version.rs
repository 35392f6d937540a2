//! Envoy's version, as `envoy --version` prints it.

use std::fmt;

use super::PINNED;

/// A release of Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `1` of 1.40.2.
    pub major: u32,
    /// `40` of 1.40.2.
    pub minor: u32,
    /// `2` of 1.40.2.
    pub patch: u32,
}

impl Version {
    /// Whether it is of the minor that tulle was tested with.
    pub fn is_pinned_minor(self) -> bool {
        (self.major, self.minor) == (PINNED.major, PINNED.minor)
    }

    /// Reads the output of `envoy --version`: `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
    pub fn from_output(text: &str) -> Option<Self> {
        let build = text.split("version:").nth(1)?.trim();
        // A distribution's suffix (`1.40.1-dev`) does not matter here.
        let number = build.split('/').nth(1)?.split('-').next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

//! The name of a run, from which the names of its namespaces and links are made.

use std::fmt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// Eight hexadecimal digits: short, because link names have 15 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// The run of a folder: the same at each start, so that people find their namespaces under the same names.
    pub fn for_folder(folder: &Path) -> Self {
        Self(format!(
            "{:08x}",
            xxh3_64(folder.as_os_str().as_encoded_bytes()) & 0xffff_ffff
        ))
    }

    /// Reads a name that was printed.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 8 && text.bytes().all(digits)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Remembers compiled resources: a key and an equal input give the same `Arc` again.
//!
//! The compiling function is a plain `fn` pointer, which cannot read what is not in its input, so no list of dependencies
//! can go stale. Replicas share a key and may differ in input for a while, so a key holds several inputs. What two rounds
//! did not ask for is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::Resource;

/// Rounds that an unused entry survives.
const ROUNDS: u64 = 2;

/// What a memo has done so far; benchmarks and tests read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of a compiling function.
    pub compiled: u64,
    /// Answers from memory.
    pub reused: u64,
    /// Bytes that were encoded.
    pub encoded: u64,
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            compiled: self.compiled + other.compiled,
            reused: self.reused + other.reused,
            encoded: self.encoded + other.encoded,
        }
    }
}

struct Entry<I> {
    input: I,
    resource: Arc<Resource>,
    round: u64,
}

/// The memory of one compiling function.
pub struct Memo<K, I> {
    compile: fn(&I) -> Resource,
    entries: BTreeMap<K, Vec<Entry<I>>>,
    round: u64,
    counts: Counts,
}

impl<K: Ord, I: PartialEq> Memo<K, I> {
    /// An empty memory.
    pub fn new(compile: fn(&I) -> Resource) -> Self {
        Self {
            compile,
            entries: BTreeMap::new(),
            round: 0,
            counts: Counts::default(),
        }
    }

    /// The resource for this input, compiled unless an equal input is remembered under the key.
    pub fn get(&mut self, key: K, input: I) -> Arc<Resource> {
        let variants = self.entries.entry(key).or_default();
        if let Some(entry) = variants.iter_mut().rev().find(|entry| entry.input == input) {
            entry.round = self.round;
            self.counts.reused += 1;
            return Arc::clone(&entry.resource);
        }
        let resource = (self.compile)(&input);
        self.counts.compiled += 1;
        self.counts.encoded += resource.body.len() as u64;
        // An input may change without the bytes: then the old resource stays, and with it the layers that hold it.
        let known = variants.iter().rev().find(|entry| *entry.resource == resource);
        let resource = known.map_or_else(|| Arc::new(resource), |entry| Arc::clone(&entry.resource));
        variants.push(Entry {
            input,
            resource: Arc::clone(&resource),
            round: self.round,
        });
        resource
    }

    /// Begins a round: what the last rounds did not ask for is forgotten.
    pub fn sweep(&mut self) {
        self.round += 1;
        let oldest = self.round.saturating_sub(ROUNDS);
        self.entries.retain(|_, variants| {
            variants.retain(|entry| entry.round >= oldest);
            !variants.is_empty()
        });
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::ptr_arg, reason = "the memo's input is a String")]
    fn compile(name: &String) -> Resource {
        let message = prost_types::Any {
            type_url: name.trim_end_matches('!').into(),
            value: Vec::new(),
        };
        let message = xds::proto::envoy::config::core::v3::TypedExtensionConfig {
            name: name.trim_end_matches('!').into(),
            typed_config: Some(message),
        };
        Resource::new(xds::Kind::ExtensionConfig, "x", &message)
    }

    #[test]
    fn equal_inputs_are_compiled_once_and_equal_bytes_stay() {
        let mut memo = Memo::new(compile);
        let first = memo.get(1, "a".to_owned());
        assert!(Arc::ptr_eq(&first, &memo.get(1, "a".to_owned())));
        assert!(
            Arc::ptr_eq(&first, &memo.get(1, "a!".to_owned())),
            "another input, the same bytes"
        );
        assert!(!Arc::ptr_eq(&first, &memo.get(1, "b".to_owned())));
        assert!(
            Arc::ptr_eq(&first, &memo.get(1, "a".to_owned())),
            "variants live side by side"
        );
        assert_eq!((memo.counts().compiled, memo.counts().reused), (3, 2));
    }

    #[test]
    fn unused_entries_are_forgotten() {
        let mut memo = Memo::new(compile);
        memo.get(1, "a".to_owned());
        for _ in 0..=ROUNDS {
            memo.get(2, "b".to_owned());
            memo.sweep();
        }
        memo.get(1, "a".to_owned());
        memo.get(2, "b".to_owned());
        assert_eq!((memo.counts().compiled, memo.counts().reused), (3, 3));
    }
}

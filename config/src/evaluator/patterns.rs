//! Compiled regexes, each compiled once for an evaluator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::Regex;

use super::re2;

/// How an expression is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Over {
    /// The whole value.
    Whole,
    /// The whole value, or elements of the comma list in it.
    Element,
}

/// Absent regexes could not be compiled.
type Known = HashMap<(Over, Arc<str>), Option<Arc<Regex>>>;

/// The regexes that have been asked for so far. Parse has checked all of them, so that each compiles.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    known: Mutex<Known>,
}

impl Patterns {
    /// Whether the expression matches; absent if it is none that can be compiled.
    pub(super) fn matches(&self, expression: &Arc<str>, over: Over, value: &str) -> Option<bool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = known.entry((over, Arc::clone(expression))).or_insert_with(|| {
            let compiled = match over {
                Over::Whole => re2::compile(expression),
                Over::Element => re2::compile_element(expression),
            };
            compiled.map(Arc::new)
        });
        let compiled = compiled.clone();
        drop(known);
        compiled.map(|regex| regex.is_match(value.as_bytes()))
    }
}

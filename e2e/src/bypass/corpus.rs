//! All attempts, in the same order each time: their places are their numbers.

use std::collections::BTreeSet;

use super::case::Case;
use super::{frames, heads, paths};

/// Every attempt, once.
pub fn corpus() -> Vec<Case> {
    let all = paths::cases().into_iter().chain(heads::cases()).chain(frames::cases());
    let mut known = BTreeSet::new();
    all.filter(|case| {
        let bytes = case.bytes(0, "host");
        known.insert(bytes)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_and_each_says_something_unusual() {
        let cases = corpus();
        assert!(cases.len() >= 3000, "{} attempts", cases.len());
        let classes: BTreeSet<_> = cases.iter().flat_map(|case| case.classes.iter().copied()).collect();
        assert!(classes.len() >= 25, "{classes:?}");
        // The plain name is the measure of the others, not an attempt of its own kind.
        let plain = cases
            .iter()
            .filter(|case| case.classes.len() == 1 && case.classes.contains("path"));
        assert!(plain.count() <= 3);
    }
}

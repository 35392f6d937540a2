//! Which filter slot of a port an object sits in: by hash, with probing.
//!
//! The same set always gives the same slots, and an object keeps its slot when another comes or goes, unless they want the same
//! one: a moved rate limit starts with full buckets.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// Gives each name a slot below `slots`; the names are distinct and no more than there are slots.
pub(crate) fn assign<T>(named: BTreeMap<String, T>, slots: u8) -> BTreeMap<u8, T> {
    let mut taken = BTreeMap::new();
    for (name, value) in named {
        let first = u8::try_from(xxh3_64(name.as_bytes()) % u64::from(slots.max(1))).unwrap_or_default();
        let free = (0..slots)
            .map(|step| (first + step) % slots)
            .find(|slot| !taken.contains_key(slot));
        if let Some(slot) = free {
            taken.insert(slot, value);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(names: &[&str]) -> BTreeMap<String, u8> {
        let wanted = names
            .iter()
            .map(|name| ((*name).to_owned(), (*name).to_owned()))
            .collect();
        assign(wanted, 8).into_iter().map(|(slot, name)| (name, slot)).collect()
    }

    #[test]
    fn every_name_gets_its_own_slot() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        assert_eq!(slots(&names).len(), 8);
    }

    #[test]
    fn removing_one_moves_nobody_who_does_not_collide_with_it() {
        let all = ["a", "b", "c", "d"];
        let before = slots(&all);
        for gone in all {
            let rest: Vec<&str> = all.into_iter().filter(|name| *name != gone).collect();
            let after = slots(&rest);
            let moved = rest.iter().filter(|name| before[**name] != after[**name]).count();
            assert!(moved <= 1, "{moved} moved when {gone} went");
        }
    }
}

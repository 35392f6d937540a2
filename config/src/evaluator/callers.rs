//! Callers in classes: those that the same sources name get the same answers, so one of them speaks for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Caller;
use crate::model::{Source, SpiffeId};

/// Callers that no rule tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerClass {
    /// One of them, real or made up.
    pub example: Caller,
    /// Those that exist.
    pub members: Arc<Vec<SpiffeId>>,
}

/// The classes of all identities, and of whoever else the sources name. `plaintext` asks for callers without a certificate too.
pub fn classes<'a>(
    identities: &BTreeSet<SpiffeId>,
    sources: impl IntoIterator<Item = &'a Source>,
    trust_domain: &str,
    plaintext: bool,
) -> Vec<CallerClass> {
    let own: Arc<str> = format!("spiffe://{trust_domain}/").into();
    let sources: BTreeSet<&Source> = sources.into_iter().collect();
    let mut named: BTreeMap<SpiffeId, Vec<usize>> = BTreeMap::new();
    for (index, source) in sources.into_iter().enumerate() {
        match source {
            Source::Identity(identity) => named.entry(identity.clone()).or_default().push(index),
            // They name every identity of ours, and so tell none apart.
            Source::Authenticated | Source::Unauthenticated => {}
            Source::Prefix(prefix) if *prefix == own => {}
            Source::Prefix(prefix) => {
                let below = below(identities, prefix);
                let nobody = below.is_empty();
                for identity in below {
                    named.entry(identity).or_default().push(index);
                }
                if nobody {
                    named
                        .entry(SpiffeId::from_uri(&format!("{prefix}anyone")))
                        .or_default()
                        .push(index);
                }
            }
        }
    }
    let unnamed: Vec<SpiffeId> = identities
        .iter()
        .filter(|identity| !named.contains_key(identity))
        .cloned()
        .collect();
    let mut groups: BTreeMap<Vec<usize>, Vec<SpiffeId>> = BTreeMap::new();
    for (identity, by) in named {
        groups.entry(by).or_default().push(identity);
    }
    let stranger = || vec![SpiffeId::of(trust_domain, "anywhere", "anyone")];
    groups.insert(Vec::new(), if unnamed.is_empty() { stranger() } else { unnamed });
    let class = |all: Vec<SpiffeId>| {
        let known = |identity: &SpiffeId| identities.contains(identity);
        let example = all.iter().find(|identity| known(identity)).or(all.first())?.clone();
        Some(CallerClass {
            example: Caller::Identity(example),
            members: Arc::new(all.into_iter().filter(known).collect()),
        })
    };
    let nobody = plaintext.then(|| CallerClass {
        example: Caller::Plaintext,
        members: Arc::default(),
    });
    groups.into_values().filter_map(class).chain(nobody).collect()
}

/// The identities below a prefix, and the one that it spells.
fn below(identities: &BTreeSet<SpiffeId>, prefix: &str) -> Vec<SpiffeId> {
    let itself = identities.get(&SpiffeId::from_uri(prefix.trim_end_matches('/')));
    let below = identities
        .range(SpiffeId::from_uri(prefix)..)
        .take_while(|identity| identity.as_str().starts_with(prefix));
    itself.into_iter().chain(below).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Caller;
    use super::classes;
    use crate::model::{Source, SpiffeId};

    fn id(namespace: &str, name: &str) -> SpiffeId {
        SpiffeId::of("t", namespace, name)
    }

    #[test]
    fn who_is_named_alike_is_in_one_class() {
        let known = BTreeSet::from([id("a", "x"), id("a", "y"), id("b", "z"), id("c", "w")]);
        let sources = [
            Source::Identity(id("a", "x")),
            Source::Prefix("spiffe://t/ns/a/".into()),
            Source::Authenticated,
            Source::Identity(id("q", "gone")),
            Source::Prefix("spiffe://other/".into()),
        ];
        let classes = classes(&known, &sources, "t", true);
        let mut seen: Vec<(String, usize)> = classes
            .iter()
            .map(|class| match &class.example {
                Caller::Identity(identity) => (identity.to_string(), class.members.len()),
                _ => ("plaintext".to_owned(), class.members.len()),
            })
            .collect();
        seen.sort();
        let expected = [
            ("plaintext", 0),
            ("spiffe://other/anyone", 0),
            ("spiffe://t/ns/a/sa/x", 1),
            ("spiffe://t/ns/a/sa/y", 1),
            ("spiffe://t/ns/b/sa/z", 2),
            ("spiffe://t/ns/q/sa/gone", 0),
        ];
        assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)));
    }
    #[test]
    fn a_prefix_includes_the_identity_that_it_spells() {
        let known = BTreeSet::from([id("a", "x"), id("a", "xy")]);
        let sources = [Source::Prefix("spiffe://t/ns/a/sa/x/".into())];
        let classes = classes(&known, &sources, "t", false);
        let members: Vec<Vec<SpiffeId>> = classes.iter().map(|class| class.members.to_vec()).collect();
        assert_eq!(members, [vec![id("a", "xy")], vec![id("a", "x")]]);
    }
}

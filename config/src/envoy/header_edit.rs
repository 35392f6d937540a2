//! Header edits that users ask for. Envoy reads `%` in values as a command, so it is doubled: values stay literal.

use super::api::core;
use crate::model::HeaderEdit;

use core::header_value_option::HeaderAppendAction;

/// The headers to set and to add, in this order. Envoy removes first, so that what a user removes must not be set or added.
pub(crate) fn added(edit: &HeaderEdit) -> Vec<core::HeaderValueOption> {
    let set = edit
        .set
        .iter()
        .map(|(name, value)| option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = edit
        .add
        .iter()
        .map(|(name, value)| option(name, value, HeaderAppendAction::AppendIfExistsOrAdd));
    let kept = |option: &core::HeaderValueOption| {
        let header = option.header.as_ref();
        header.is_none_or(|header| !edit.remove.iter().any(|removed| **removed == *header.key))
    };
    set.chain(add).filter(kept).collect()
}

/// The headers to remove.
pub(crate) fn removed(edit: &HeaderEdit) -> Vec<String> {
    edit.remove.iter().map(ToString::to_string).collect()
}

/// One edit and then another, as what one of Envoy's parsers does: it removes, then replaces, then adds.
///
/// Measured with Envoy 1.40: the parser of a weighted cluster always comes before the route's, whatever
/// `most_specific_header_mutations_wins` says, so this order cannot be had from two of them.
pub(crate) fn one_after_the_other(
    first: &HeaderEdit,
    second: &HeaderEdit,
) -> (Vec<core::HeaderValueOption>, Vec<String>) {
    let gone = |name: &str| {
        let replaced = second.set.iter().any(|(set, _)| **set == *name);
        replaced || second.remove.iter().any(|removed| **removed == *name)
    };
    let mut adding = added(first);
    adding.retain(|option| option.header.as_ref().is_none_or(|header| !gone(&header.key)));
    adding.extend(added(second));
    let mut removing = removed(first);
    removing.extend(removed(second));
    removing.sort();
    removing.dedup();
    (adding, removing)
}

/// A header that replaces what is there.
pub(crate) fn set(name: &str, value: &str) -> core::HeaderValueOption {
    option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd)
}

fn option(name: &str, value: &str, action: HeaderAppendAction) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: name.to_owned(),
            value: value.replace('%', "%%"),
            ..Default::default()
        }),
        append_action: action.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal() {
        let edit = HeaderEdit {
            set: vec![("a".into(), "%REQ(x)%".into())],
            ..Default::default()
        };
        let headers = added(&edit);
        assert_eq!(headers[0].header.as_ref().unwrap().value, "%%REQ(x)%%");
    }

    #[test]
    fn the_second_edit_has_the_last_word() {
        let edit = |set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]| HeaderEdit {
            set: set
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            add: add
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            remove: remove.iter().map(|name| (*name).into()).collect(),
        };
        let first = edit(&[("a", "1"), ("b", "1")], &[("c", "1"), ("d", "1")], &["e"]);
        let second = edit(&[("a", "2"), ("d", "2")], &[("b", "2"), ("e", "2")], &["c"]);
        let (adding, removing) = one_after_the_other(&first, &second);
        let adding: Vec<_> = adding
            .into_iter()
            .filter_map(|one| Some((one.header?, one.append_action)))
            .map(|(header, action)| format!("{}={} {action}", header.key, header.value))
            .collect();
        // 2 replaces, 0 adds.
        assert_eq!(adding, ["b=1 2", "a=2 2", "d=2 2", "b=2 0", "e=2 0"]);
        assert_eq!(removing, ["c", "e"]);
    }

    /// Measured with Envoy 1.40: a header that a route both adds and removes is there afterwards.
    #[test]
    fn what_is_removed_is_neither_set_nor_added() {
        let edit = HeaderEdit {
            set: vec![("a".into(), "1".into()), ("b".into(), "1".into())],
            add: vec![("a".into(), "2".into()), ("c".into(), "2".into())],
            remove: vec!["a".into()],
        };
        let names: Vec<_> = added(&edit).into_iter().map(|one| one.header.unwrap().key).collect();
        assert_eq!(
            (names, removed(&edit)),
            (vec!["b".to_owned(), "c".to_owned()], vec!["a".to_owned()])
        );
    }
}

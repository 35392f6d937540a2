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

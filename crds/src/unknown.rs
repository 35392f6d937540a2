//! Fields that nobody knows, with their paths.
//!
//! The API server prunes unknown fields silently for some clients; in a narrowing object that would widen the rule. Such objects
//! therefore keep them, and this walk finds them again.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a narrowing struct keeps of fields it does not know.
pub type Unknown = BTreeMap<String, Value>;

/// The field under which what stands in for an unreadable object says why: its value is `{"path": ..., "message": ...}`, or null
/// where another part says it.
pub const UNREADABLE: &str = "(cannot be read)";

/// Lists unknown fields with their paths.
pub trait UnknownFields {
    /// Appends the path of each unknown field below `path`.
    fn collect_unknown(&self, path: &str, out: &mut Vec<String>);

    /// The path of each unknown field, for example `spec.rules[0].sources[1].serviceAcount`.
    fn unknown_fields(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_unknown("spec", &mut out);
        out
    }
}

impl<T: UnknownFields> UnknownFields for Option<T> {
    fn collect_unknown(&self, path: &str, out: &mut Vec<String>) {
        if let Some(inner) = self {
            inner.collect_unknown(path, out);
        }
    }
}

impl<T: UnknownFields> UnknownFields for Vec<T> {
    fn collect_unknown(&self, path: &str, out: &mut Vec<String>) {
        for (index, inner) in self.iter().enumerate() {
            inner.collect_unknown(&format!("{path}[{index}]"), out);
        }
    }
}

/// Implements [`UnknownFields`] for a struct with a field `unknown`: its own unknown fields, then those of the named fields.
macro_rules! unknown_fields {
    ($type:ty $(, $field:ident => $name:literal)* $(,)?) => {
        impl $crate::unknown::UnknownFields for $type {
            fn collect_unknown(&self, path: &str, out: &mut Vec<String>) {
                out.extend(self.unknown.keys().map(|name| format!("{path}.{name}")));
                $(self.$field.collect_unknown(&format!("{path}.{}", $name), out);)*
            }
        }
    };
}
pub(crate) use unknown_fields;

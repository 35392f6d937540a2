//! Users' mistakes as data: the object, the field, the reason and what to do.
//!
//! A diagnostic is never an `Err` and never only a log line; status, `tulle lint` and the webhook show the same words.

use std::fmt;
use std::sync::Arc;

use crate::origin::ObjectRef;

/// How much of the object a diagnostic takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// What the path names failed closed: the rule if one is named, else the target or the whole object.
    Error,
    /// Nothing failed, but the author should know.
    Warning,
}

/// One finding about one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The object it is about.
    pub object: Arc<ObjectRef>,
    /// The field, in the form `spec.rules[2].http[0].path.value`.
    pub path: String,
    /// The rule that failed; absent when the whole object is concerned.
    pub rule: Option<Arc<str>>,
    /// A word for programs, the same that status conditions carry.
    pub reason: crds::conditions::Reason,
    /// A sentence for people; it says what to do next.
    pub message: String,
    /// What it takes away.
    pub severity: Severity,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: {}", self.object, self.path, self.reason, self.message)
    }
}

//! The pen with which parse and link write diagnostics, and what a field is after parse.
//!
//! A field is absent, good or bad; bad means that a diagnostic says why. Nothing here decides what a bad field takes away:
//! that depends on the kind, so each policy's merge does.

use std::sync::Arc;

use crds::conditions::Reason;

use crate::diagnostic::{Diagnostic, Severity};
use crate::origin::ObjectRef;

/// A field after parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<T> {
    /// It was not written.
    Absent,
    /// It was understood.
    Good(T),
    /// It was not; a diagnostic says why.
    Bad,
}

impl<T> Part<T> {
    /// The value, if it was written and understood.
    pub(crate) fn good(&self) -> Option<&T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }

    /// Whether it was written and not understood.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }

    /// From the answer of a check: `None` was reported by the check.
    pub(crate) fn checked(value: Option<T>) -> Self {
        value.map_or(Self::Bad, Self::Good)
    }
}

/// Collects the diagnostics of one object.
#[derive(Debug)]
pub(crate) struct Findings {
    object: Arc<ObjectRef>,
    rule: Option<Arc<str>>,
    found: Vec<Diagnostic>,
}

impl Findings {
    /// For one object.
    pub(crate) fn new(object: &Arc<ObjectRef>) -> Self {
        Self {
            object: Arc::clone(object),
            rule: None,
            found: Vec::new(),
        }
    }

    /// What follows is about this rule.
    pub(crate) fn in_rule(&mut self, rule: &Arc<str>) {
        self.rule = Some(Arc::clone(rule));
    }

    /// What follows is about the object.
    pub(crate) fn in_object(&mut self) {
        self.rule = None;
    }

    /// The rule, or the object if no rule is named, failed.
    pub(crate) fn error(&mut self, path: &str, reason: Reason, message: impl Into<String>) {
        self.push(path, reason, message.into(), Severity::Error);
    }

    /// Nothing failed, but the author should know.
    pub(crate) fn warning(&mut self, path: &str, reason: Reason, message: impl Into<String>) {
        self.push(path, reason, message.into(), Severity::Warning);
    }

    /// How many there are; a later look tells whether a check found something.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// The diagnostics.
    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.found
    }

    fn push(&mut self, path: &str, reason: Reason, message: String, severity: Severity) {
        self.found.push(Diagnostic {
            object: Arc::clone(&self.object),
            path: path.to_owned(),
            rule: self.rule.clone(),
            reason,
            message,
            severity,
        });
    }
}

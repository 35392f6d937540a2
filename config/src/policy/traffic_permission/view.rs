//! The rules of a port that are compiled alike: those in force, and those of its candidate.

use std::sync::Arc;

use crate::model::{Candidate, DefaultVerdict, PermissionRule, PortPermission};

/// Deny rules and Allow rules, each in the order of their names, and the default.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) deny: &'a [Arc<PermissionRule>],
    pub(super) allow: &'a [Arc<PermissionRule>],
    pub(super) default: &'a DefaultVerdict,
    /// Whether an Allow rule may let in callers without a certificate.
    pub(super) plaintext: bool,
}

impl<'a> From<&'a PortPermission> for View<'a> {
    fn from(permission: &'a PortPermission) -> Self {
        Self {
            deny: &permission.deny,
            allow: &permission.allow,
            default: &permission.default,
            plaintext: true,
        }
    }
}

impl<'a> From<&'a Candidate> for View<'a> {
    fn from(candidate: &'a Candidate) -> Self {
        Self {
            deny: &candidate.deny,
            allow: &candidate.allow,
            default: &candidate.default,
            plaintext: true,
        }
    }
}

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

impl<'a> View<'a> {
    /// What is in force.
    pub(super) fn of(permission: &'a PortPermission, plaintext: bool) -> Self {
        Self {
            deny: &permission.deny,
            allow: &permission.allow,
            default: &permission.default,
            plaintext,
        }
    }

    /// What would be.
    pub(super) fn would_be(candidate: &'a Candidate, plaintext: bool) -> Self {
        Self {
            deny: &candidate.deny,
            allow: &candidate.allow,
            default: &candidate.default,
            plaintext,
        }
    }
}

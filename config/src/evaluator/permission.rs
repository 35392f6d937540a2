//! Who may call a port: any Deny denies; else any Allow allows; else the default. The byte-wise smallest name decides among several.

use std::sync::Arc;

use super::decision::{Answer, Verdict};
use super::matching::{Matching, Reading, demands_nothing};
use super::normalise::Seen;
use crate::model::{DefaultVerdict, PermissionRule, PortPermission, SpiffeId};

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A request, normalised.
    Request(&'a Seen),
    /// Whether there could be a request that is let in. A Deny of some requests is taken to leave others.
    SomeRequest,
    /// A connection, in which there are no requests: only rules without a match of requests decide.
    Connection,
}

impl What<'_> {
    /// How a refusal looks to the caller.
    fn refused(self) -> Answer {
        match self {
            Self::Request(_) | Self::SomeRequest => Answer::Forbidden,
            Self::Connection => Answer::Refused,
        }
    }
}

/// The rules of a port, enforced ones or the candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) deny: &'a [Arc<PermissionRule>],
    pub(super) allow: &'a [Arc<PermissionRule>],
    pub(super) default: &'a DefaultVerdict,
}

impl<'a> Rules<'a> {
    /// Those in force.
    pub(super) fn enforced(permission: &'a PortPermission) -> Self {
        Self {
            deny: &permission.deny,
            allow: &permission.allow,
            default: &permission.default,
        }
    }

    /// Those that would be in force if Shadow permissions were; absent where none reaches the port.
    pub(super) fn candidate(permission: &'a PortPermission) -> Option<Self> {
        let candidate = permission.candidate.as_deref()?;
        Some(Self {
            deny: &candidate.deny,
            allow: &candidate.allow,
            default: &candidate.default,
        })
    }

    /// The verdict about a caller, with or without identity.
    pub(super) fn verdict(&self, matching: Matching<'_>, caller: Option<&SpiffeId>, what: What<'_>) -> Verdict {
        let denies = |rule: &PermissionRule| denies(rule, matching, caller, what);
        if let Some(rule) = smallest(self.deny, denies) {
            return verdict(what.refused(), rule);
        }
        let allows = |rule: &PermissionRule| allows(rule, matching, caller, what);
        if let Some(rule) = smallest(self.allow, allows) {
            return verdict(Answer::Allowed, rule);
        }
        let default = self.default;
        let let_in = match caller {
            Some(id) => default.allow_mesh && super::matching::in_domain(id, matching.trust_domain),
            None => default.allow_plaintext,
        };
        let (answer, word) = if let_in {
            (Answer::Allowed, "Allow")
        } else {
            (what.refused(), "Deny")
        };
        verdict(answer, named(default, word).into())
    }
}

/// A default is named by what it does to this caller.
fn named(default: &DefaultVerdict, word: &str) -> String {
    let port = default.name.splitn(3, '/').nth(2).unwrap_or_default();
    format!("default/{word}/{port}")
}

fn verdict(answer: Answer, rule: Arc<str>) -> Verdict {
    Verdict { answer, rule }
}

/// The smallest name of the rules that hold.
fn smallest(rules: &[Arc<PermissionRule>], holds: impl Fn(&PermissionRule) -> bool) -> Option<Arc<str>> {
    let holding = rules.iter().filter(|rule| holds(rule));
    holding.map(|rule| rule.origin.to_string()).min().map(Arc::from)
}

/// A Deny without sources is about every caller.
fn denies(rule: &PermissionRule, matching: Matching<'_>, caller: Option<&SpiffeId>, what: What<'_>) -> bool {
    let sources = rule.sources.as_deref();
    let http = rule.http.as_deref();
    sources.is_none_or(|sources| matching.sources(sources, caller))
        && match what {
            What::Request(seen) => matching.any(http, seen, Reading::Any),
            What::SomeRequest => http.is_none_or(|list| list.iter().any(demands_nothing)),
            What::Connection => http.is_none(),
        }
}

/// An Allow without sources, which parse refuses, is about nobody.
fn allows(rule: &PermissionRule, matching: Matching<'_>, caller: Option<&SpiffeId>, what: What<'_>) -> bool {
    let http = rule.http.as_deref();
    matching.sources(rule.sources.as_deref().unwrap_or_default(), caller)
        && match what {
            What::Request(seen) => matching.any(http, seen, Reading::Joined),
            What::SomeRequest => http.is_none_or(|list| !list.is_empty()),
            What::Connection => http.is_none(),
        }
}

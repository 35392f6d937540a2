//! Condition types and reasons: enums, so that no status carries a misspelt word. The words are GEP-713's where it has one.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// The object (or the target) is valid and in use.
    Accepted,
    /// Everything that it names exists.
    ResolvedRefs,
    /// It has been compiled and sent.
    Programmed,
    /// Every proxy that it concerns has acknowledged it.
    Enforced,
    /// The summary of the others, for `kubectl wait`, Argo CD and Flux.
    Ready,
}

/// Why a condition or a diagnostic is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// Nothing is wrong.
    Accepted,
    /// Every name resolves.
    ResolvedRefs,
    /// Sent to the proxies.
    Programmed,
    /// Every proxy concerned has acknowledged.
    AllProxiesAcked,
    /// Some proxies have not acknowledged yet.
    Pending,
    /// A proxy refused it.
    Rejected,
    /// No proxy is concerned.
    NoMatchingProxies,
    /// Another object owns what this one wants.
    Conflicted,
    /// A more specific object replaces it.
    Overridden,
    /// A field that nobody knows, in a place where dropping it would widen the rule.
    UnknownField,
    /// A rule for requests on a port without requests.
    ProtocolMismatch,
    /// A Deny rule that could not be compiled denies its sources at L4.
    DeniedAtL4,
    /// The field is valid, but this version cannot do it.
    NotSupportedYet,
    /// The value is not valid.
    Invalid,
    /// The target does not exist.
    TargetNotFound,
    /// A backend does not exist.
    BackendNotFound,
    /// The object may not reach that target.
    NotPermitted,
    /// All slots of the port are taken.
    SlotsExhausted,
    /// Its time is over.
    Expired,
    /// Nothing in it is in force.
    NothingInForce,
    /// Some of it is in force.
    PartiallyInvalid,
    /// Nothing that exists can match it.
    NeverMatches,
    /// Another rule does the same already.
    Redundant,
    /// It takes more than its text suggests.
    WiderThanItLooks,
    /// It takes less than its text suggests.
    NarrowerThanItLooks,
    /// It names a caller that no workload can be.
    UnknownIdentity,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

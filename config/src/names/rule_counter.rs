//! Envoy's counters of permission rules: `http.inbound.<port>.rbac.policy.<rule>.<outcome>`.
//!
//! Envoy makes these names out of our statistics prefix and the names of rules; a rule's name may hold dots. Only HTTP and gRPC
//! ports have them: the network filter of 1.40 counts no rules.

use super::RULE_STATISTICS;

/// What a rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleOutcome {
    /// A request was let in.
    Allowed,
    /// A request was refused.
    Denied,
    /// The candidate policy would have let it in.
    ShadowAllowed,
    /// The candidate policy would have refused it.
    ShadowDenied,
}

impl RuleOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::ShadowAllowed, Self::ShadowDenied];

    /// As Envoy and our metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::ShadowAllowed => "shadow_allowed",
            Self::ShadowDenied => "shadow_denied",
        }
    }
}

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleCounter<'a> {
    /// The workload's port.
    pub port: u16,
    /// The rule that decided.
    pub rule: &'a str,
    /// What it decided.
    pub outcome: RuleOutcome,
}

impl<'a> RuleCounter<'a> {
    /// Reads the name of a counter.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (port, rest) = name.strip_prefix("http.inbound.")?.split_once(RULE_STATISTICS)?;
        let (rule, outcome) = rest.rsplit_once('.')?;
        let outcome = RuleOutcome::ALL.into_iter().find(|known| known.as_str() == outcome)?;
        (!rule.is_empty()).then_some(Self {
            port: port.parse().ok()?,
            rule,
            outcome,
        })
    }
}

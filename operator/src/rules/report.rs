//! The sums laid over the rules of the model, so that a rule which never decided is there with 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use config::Model;
use config::model::{InboundPort, Key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::totals::{Figures, RuleTotals, defaults_at, rules_at};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Lets in.
    Allow,
    /// Refuses.
    Deny,
    /// Would let in.
    ShadowAllow,
    /// Would refuse.
    ShadowDeny,
    /// What holds where no rule decides.
    Default,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleRow {
    /// As the access log and status name it.
    pub rule: String,
    /// The policy's namespace; of a default the workloads'.
    pub namespace: String,
    /// What it does; absent for a rule that concerns no workload.
    pub effect: Option<Effect>,
    /// Whether proxies count it: Envoy counts requests, so a rule that concerns TCP ports only is never counted.
    pub counted: bool,
    /// Requests let in.
    pub allowed: u64,
    /// Requests refused.
    pub denied: u64,
    /// Requests that the candidate policy would let in by this rule.
    pub shadow_allowed: u64,
    /// Requests that the candidate policy would refuse by this rule.
    pub shadow_denied: u64,
    /// When a proxy last reported that it decided.
    pub last_matched: Option<String>,
    /// How many proxies it concerns.
    pub concerned: usize,
    /// What each proxy reported. One without a name stands for those of its namespace that are gone.
    pub proxies: Vec<ProxyRow>,
}

/// One rule at one proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyRow {
    /// `<namespace>/<workload>`.
    pub proxy: String,
    /// As above.
    pub allowed: u64,
    /// As above.
    pub denied: u64,
    /// As above.
    pub shadow_allowed: u64,
    /// As above.
    pub shadow_denied: u64,
    /// As above.
    pub last_matched: Option<String>,
    /// Whether the rule still concerns it.
    pub concerned: bool,
}

impl ProxyRow {
    /// How often the rule decided there, in any way.
    pub fn matched(&self) -> u64 {
        let all = [self.allowed, self.denied, self.shadow_allowed, self.shadow_denied];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

impl RuleRow {
    /// How often the rule decided, in any way.
    pub fn matched(&self) -> u64 {
        let all = [self.allowed, self.denied, self.shadow_allowed, self.shadow_denied];
        all.into_iter().fold(0, u64::saturating_add)
    }

    /// Whether it is a rule that could have decided and never did.
    pub fn never(&self) -> bool {
        self.counted && self.effect != Some(Effect::Default) && self.matched() == 0
    }
}

/// All rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Since when is counted.
    pub since: String,
    /// How many figures were not about a rule of the proxy that reported them, or nothing that the rule can have done.
    pub unknown: u64,
    /// By namespace and name.
    pub items: Vec<RuleRow>,
}

impl RuleReport {
    /// Adds what another replica counts: each counts what its own proxies report.
    pub fn add(&mut self, other: Self) {
        // Before the younger one began, another one counted, and that is lost.
        self.since = std::mem::take(&mut self.since).max(other.since);
        self.unknown = self.unknown.saturating_add(other.unknown);
        for row in other.items {
            match self
                .items
                .iter_mut()
                .find(|own| (&own.namespace, &own.rule) == (&row.namespace, &row.rule))
            {
                None => self.items.push(row),
                Some(own) => own.add(row),
            }
        }
    }
}

impl RuleRow {
    fn add(&mut self, other: Self) {
        let pairs = [
            (&mut self.allowed, other.allowed),
            (&mut self.denied, other.denied),
            (&mut self.shadow_allowed, other.shadow_allowed),
            (&mut self.shadow_denied, other.shadow_denied),
        ];
        for (own, more) in pairs {
            *own = own.saturating_add(more);
        }
        // RFC 3339 in UTC sorts as text.
        self.last_matched = self.last_matched.take().max(other.last_matched);
        for proxy in other.proxies {
            match self.proxies.iter_mut().find(|own| own.proxy == proxy.proxy) {
                None => self.proxies.push(proxy),
                Some(own) => own.add(&proxy),
            }
        }
    }
}

impl ProxyRow {
    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.allowed, other.allowed),
            (&mut self.denied, other.denied),
            (&mut self.shadow_allowed, other.shadow_allowed),
            (&mut self.shadow_denied, other.shadow_denied),
        ];
        for (own, more) in pairs {
            *own = own.saturating_add(more);
        }
        self.last_matched = self.last_matched.take().max(other.last_matched.clone());
    }
}

/// What is known of a rule from the model.
#[derive(Debug, Default)]
struct Facts {
    effect: Option<Effect>,
    counted: bool,
    concerned: BTreeSet<Key>,
}

/// The report.
pub fn report(model: &Arc<Model>, totals: &RuleTotals) -> RuleReport {
    let sums = totals.by_rule(model);
    let row = |((namespace, rule), facts): ((Arc<str>, String), Facts)| {
        let by_proxy = sums.get(rule.as_str());
        let of_namespace = |key: &Key| facts.effect != Some(Effect::Default) || key.namespace == namespace;
        let by_proxy = by_proxy.into_iter().flatten().filter(|(key, _)| of_namespace(key));
        row(&namespace, rule, &facts, by_proxy)
    };
    let rows = rules(model).into_iter().map(row);
    RuleReport {
        since: time(totals.since()),
        unknown: totals.unknown(),
        // Of the two names of a default the one that says what it does; the other one if it did something.
        items: rows
            .filter(|row| row.concerned > 0 || row.effect.is_none() || row.matched() > 0)
            .collect(),
    }
}

/// All rules of the model by namespace and name.
fn rules(model: &Model) -> BTreeMap<(Arc<str>, String), Facts> {
    let mut rules: BTreeMap<(Arc<str>, String), Facts> = BTreeMap::new();
    for report in model
        .reports
        .values()
        .filter(|report| &*report.object.kind == "TrafficPermission")
    {
        for rule in &report.rules_in_force {
            let name = format!("{}/{rule}", report.object);
            rules.insert((Arc::clone(&report.object.namespace), name), Facts::default());
        }
    }
    for (key, workload) in &model.workloads {
        for port in workload.ports.values() {
            at_port(key, port, &mut rules);
            defaults(key, port, &mut rules);
        }
        at_port(key, &workload.undeclared, &mut rules);
    }
    rules
}

fn at_port(key: &Key, port: &InboundPort, rules: &mut BTreeMap<(Arc<str>, String), Facts>) {
    let enforced = port.permission.deny.len() + port.permission.allow.len();
    for (index, (rule, denies)) in rules_at(port).into_iter().enumerate() {
        let id = (Arc::clone(&rule.origin.object.namespace), rule.origin.to_string());
        let facts = rules.entry(id).or_default();
        // Enforced rules come first, and are part of the candidate policy too.
        facts.effect = facts.effect.or(Some(match (index < enforced, denies) {
            (true, false) => Effect::Allow,
            (true, true) => Effect::Deny,
            (false, false) => Effect::ShadowAllow,
            (false, true) => Effect::ShadowDeny,
        }));
        facts.counted |= port.protocol.is_http();
        facts.concerned.insert(key.clone());
    }
}

fn defaults(key: &Key, port: &InboundPort, rules: &mut BTreeMap<(Arc<str>, String), Facts>) {
    for name in defaults_at(port) {
        let says_it = *name == *port.permission.default.name;
        let facts = rules.entry((Arc::clone(&key.namespace), name)).or_default();
        facts.effect = Some(Effect::Default);
        facts.counted |= port.protocol.is_http();
        if says_it {
            facts.concerned.insert(key.clone());
        }
    }
}

fn row<'a>(
    namespace: &str,
    rule: String,
    facts: &Facts,
    by_proxy: impl Iterator<Item = (&'a Key, &'a Figures)>,
) -> RuleRow {
    let by_proxy: Vec<_> = by_proxy.collect();
    let sum = by_proxy
        .iter()
        .fold(Figures::default(), |sum, (_, figures)| sum.and(**figures));
    let proxies = by_proxy.into_iter().map(|(key, figures)| ProxyRow {
        proxy: key.to_string(),
        allowed: figures.allowed,
        denied: figures.denied,
        shadow_allowed: figures.shadow_allowed,
        shadow_denied: figures.shadow_denied,
        last_matched: figures.last.map(time),
        concerned: facts.concerned.contains(key),
    });
    RuleRow {
        rule,
        namespace: namespace.to_owned(),
        effect: facts.effect,
        counted: facts.counted,
        allowed: sum.allowed,
        denied: sum.denied,
        shadow_allowed: sum.shadow_allowed,
        shadow_denied: sum.shadow_denied,
        last_matched: sum.last.map(time),
        concerned: facts.concerned.len(),
        proxies: proxies.collect(),
    }
}

fn time(at: SystemTime) -> String {
    let time = Timestamp::try_from(at).unwrap_or_default();
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

//! The sums, by rule and proxy.
//!
//! Bounded by the model: a proxy's word counts for rules of its own ports only, for what such a rule does, and for as much as a
//! proxy can do. Rules that are gone are forgotten, and proxies that are gone are added up by namespace. Within these bounds a
//! proxy can lie about itself: nobody else knows what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use config::Model;
use config::model::{InboundPort, Key, PermissionRule, Workload};
use config::names::{RuleCounter, RuleOutcome};

/// No proxy decides so many requests between two reports, which are seconds apart.
const MOST: u64 = 100_000_000;

/// What one rule decided, at one proxy or at several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests let in.
    pub allowed: u64,
    /// Requests refused.
    pub denied: u64,
    /// Requests that the candidate policy would let in.
    pub shadow_allowed: u64,
    /// Requests that the candidate policy would refuse.
    pub shadow_denied: u64,
    /// When a report last brought one.
    pub last: Option<SystemTime>,
}

impl Figures {
    fn add(&mut self, outcome: RuleOutcome, count: u64, now: SystemTime) {
        let figure = match outcome {
            RuleOutcome::Allowed => &mut self.allowed,
            RuleOutcome::Denied => &mut self.denied,
            RuleOutcome::ShadowAllowed => &mut self.shadow_allowed,
            RuleOutcome::ShadowDenied => &mut self.shadow_denied,
        };
        *figure = figure.saturating_add(count);
        self.last = self.last.max(Some(now));
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            allowed: self.allowed.saturating_add(other.allowed),
            denied: self.denied.saturating_add(other.denied),
            shadow_allowed: self.shadow_allowed.saturating_add(other.shadow_allowed),
            shadow_denied: self.shadow_denied.saturating_add(other.shadow_denied),
            last: self.last.max(other.last),
        }
    }

    /// How often the rule decided, in any way.
    pub fn matched(&self) -> u64 {
        let all = [self.allowed, self.denied, self.shadow_allowed, self.shadow_denied];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

/// The sums since the control plane started. Clones share them.
#[derive(Clone, Debug)]
pub struct RuleTotals {
    since: SystemTime,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    /// The model by which the book was last put in order. It is not kept alive for this.
    model: Weak<Model>,
    by_rule: BTreeMap<Arc<str>, BTreeMap<Key, Figures>>,
    unknown: u64,
}

impl RuleTotals {
    /// Empty books.
    pub fn new(since: SystemTime) -> Self {
        Self {
            since,
            book: Arc::default(),
        }
    }

    /// Since when is counted.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// How many figures were not about a rule of the proxy that reported them, or nothing that the rule can have done.
    pub fn unknown(&self) -> u64 {
        self.book().unknown
    }

    /// Adds what a proxy reports, which has proved who it is.
    pub fn record<'a>(
        &self,
        model: &Arc<Model>,
        proxy: &Key,
        counters: impl IntoIterator<Item = (RuleCounter<'a>, u64)>,
        now: SystemTime,
    ) {
        let own = model.workloads.get(proxy).map(|workload| rules_of(workload));
        let own = own.unwrap_or_default();
        let mut book = self.book();
        book.tidy(model);
        for (counter, count) in counters {
            let can = own.get(&(counter.port, counter.rule.to_owned()));
            if !can.is_some_and(|can| can.contains(&counter.outcome)) || count > MOST {
                book.unknown = book.unknown.saturating_add(1);
            } else if count > 0 {
                let by_proxy = book.by_rule.entry(counter.rule.into()).or_default();
                let figures = by_proxy.entry(proxy.clone()).or_default();
                figures.add(counter.outcome, count, now);
            }
        }
    }

    /// The sums by rule and proxy. A proxy without a name stands for those of its namespace that are gone.
    pub(super) fn by_rule(&self, model: &Arc<Model>) -> BTreeMap<Arc<str>, BTreeMap<Key, Figures>> {
        let mut book = self.book();
        book.tidy(model);
        book.by_rule.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Forgets rules that are gone and adds up proxies that are gone.
    fn tidy(&mut self, model: &Arc<Model>) {
        // A weak pointer keeps the address from being used again.
        if std::ptr::eq(self.model.as_ptr(), Arc::as_ptr(model)) {
            return;
        }
        self.model = Arc::downgrade(model);
        if self.by_rule.is_empty() {
            return;
        }
        let all = model.workloads.values().flat_map(|workload| rules_of(workload));
        let all: BTreeSet<String> = all.map(|((_, rule), _)| rule).collect();
        self.by_rule.retain(|rule, _| all.contains(&**rule));
        for by_proxy in self.by_rule.values_mut() {
            let gone: Vec<Key> = by_proxy
                .keys()
                .filter(|key| !key.name.is_empty() && !model.workloads.contains_key(*key))
                .cloned()
                .collect();
            for key in gone {
                let figures = by_proxy.remove(&key).unwrap_or_default();
                let rest = by_proxy.entry(Key::new(&key.namespace, "")).or_default();
                *rest = rest.and(figures);
            }
        }
    }
}

/// All that may decide at a workload, as (port, name), and what it can do. What is enforced is part of the candidate policy too.
fn rules_of(workload: &Workload) -> BTreeMap<(u16, String), BTreeSet<RuleOutcome>> {
    let mut can: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for port in workload.ports.values() {
        let enforced = port.permission.deny.len() + port.permission.allow.len();
        for (index, (rule, denies)) in rules_at(port).into_iter().enumerate() {
            let can = can.entry((port.number, rule.origin.to_string())).or_default();
            can.extend(outcomes(denies).into_iter().skip(usize::from(index >= enforced)));
        }
        let [allow, deny] = defaults_at(port);
        for (name, denies) in [(allow, false), (deny, true)] {
            can.entry((port.number, name)).or_default().extend(outcomes(denies));
        }
    }
    can
}

/// What a rule does in force, and as a candidate.
fn outcomes(denies: bool) -> [RuleOutcome; 2] {
    if denies {
        [RuleOutcome::Denied, RuleOutcome::ShadowDenied]
    } else {
        [RuleOutcome::Allowed, RuleOutcome::ShadowAllowed]
    }
}

/// The rules at a port: those in force, then those of the candidate policy only. With each whether it denies.
pub(super) fn rules_at(port: &InboundPort) -> Vec<(&Arc<PermissionRule>, bool)> {
    let permission = &port.permission;
    let candidate = permission.candidate.iter();
    let shadowed = candidate.flat_map(|candidate| with_kind(&candidate.deny, &candidate.allow));
    with_kind(&permission.deny, &permission.allow).chain(shadowed).collect()
}

fn with_kind<'a>(
    deny: &'a [Arc<PermissionRule>],
    allow: &'a [Arc<PermissionRule>],
) -> impl Iterator<Item = (&'a Arc<PermissionRule>, bool)> {
    let deny = deny.iter().map(|rule| (rule, true));
    deny.chain(allow.iter().map(|rule| (rule, false)))
}

/// The names under which the port's default may be reported: one that lets the mesh in still refuses others.
pub(super) fn defaults_at(port: &InboundPort) -> [String; 2] {
    let name = &port.permission.default.name;
    let port = name.rsplit('/').next().unwrap_or_default();
    ["Allow", "Deny"].map(|action| format!("default/{action}/{port}"))
}

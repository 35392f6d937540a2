//! Every rule that a user wrote, with the path at which it stands: what the model does not keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::input::Objects;
use crate::model::{HttpMatch, Source};
use crate::origin::{ObjectRef, Origin};
use crate::policy::traffic_permission::About;
use crate::policy::{fault_injection, rate_limit, traffic_permission, traffic_route};

/// Where calls stand below a rule.
const CALLS: &str = ".grpc";

/// One rule, limit or fault.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    /// `spec.rules[0]`.
    pub(super) path: String,
    /// Where its sources stand below `path`.
    pub(super) sources_at: &'static str,
    /// Where its matches stand below `path`.
    pub(super) http_at: &'static str,
    /// As they were written, in order; absent if there are none or they were not understood.
    pub(super) sources: Option<Vec<Source>>,
    pub(super) http: Option<Vec<HttpMatch>>,
    /// It was not understood; what is wrong with it is said elsewhere.
    pub(super) failed: bool,
}

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: Vec<Rule>,
    by_origin: BTreeMap<Origin, usize>,
    /// Objects that only report.
    pub(super) shadows: BTreeSet<Arc<ObjectRef>>,
}

impl Rules {
    /// Reads them again, as parse does.
    pub(super) fn of(objects: &Objects, trust_domain: &str) -> Self {
        let mut rules = Self::default();
        for object in &objects.permissions {
            let (node, _) = traffic_permission::parse(object);
            if node.shadow {
                rules.shadows.insert(Arc::clone(&node.head.object));
            }
            for rule in &node.rules {
                let sources = rule.sources.good();
                rules.add(Rule {
                    origin: Origin::rule(&node.head.object, &rule.name),
                    path: rule.path.clone(),
                    sources_at: ".sources",
                    http_at: if rule.about == About::Calls { CALLS } else { ".http" },
                    sources: sources.map(|all| all.iter().map(|one| one.resolve(trust_domain)).collect()),
                    http: rule.http.good().cloned(),
                    failed: rule.failed,
                });
            }
        }
        for object in &objects.routes {
            let (node, _) = traffic_route::parse(object);
            for rule in &node.rules {
                rules.add(Rule {
                    origin: Origin::rule(&node.head.object, &rule.name),
                    path: rule.path.clone(),
                    sources_at: ".sources",
                    http_at: ".matches",
                    sources: None,
                    http: rule.matches.clone(),
                    failed: rule.matches.is_none(),
                });
            }
        }
        rules.limits(objects, trust_domain);
        rules.faults(objects, trust_domain);
        rules
    }

    fn limits(&mut self, objects: &Objects, trust_domain: &str) {
        for object in &objects.rate_limits {
            let (node, _) = rate_limit::parse(object);
            for (index, limit) in node.limits.iter().enumerate() {
                let sources = limit.sources.as_ref();
                self.add(Rule {
                    origin: Origin::rule(&node.head.object, &limit.name),
                    path: format!("spec.limits[{index}]"),
                    sources_at: ".match.sources",
                    http_at: ".match.http",
                    sources: sources.map(|all| all.iter().map(|one| one.resolve(trust_domain)).collect()),
                    http: limit.http.clone(),
                    failed: limit.failed,
                });
            }
        }
    }

    fn faults(&mut self, objects: &Objects, trust_domain: &str) {
        for object in &objects.faults {
            let (node, _) = fault_injection::parse(object, std::time::SystemTime::UNIX_EPOCH);
            for (index, fault) in node.faults.iter().enumerate() {
                let injected = fault.injected.as_ref();
                let sources = injected.and_then(|injected| injected.sources.as_ref());
                self.add(Rule {
                    origin: Origin::rule(&node.head.object, &fault.name),
                    path: format!("spec.faults[{index}]"),
                    sources_at: ".match.sources",
                    http_at: ".match.http",
                    sources: sources.map(|all| all.iter().map(|one| one.resolve(trust_domain)).collect()),
                    http: injected.and_then(|injected| injected.http.clone()),
                    failed: injected.is_none(),
                });
            }
        }
    }

    fn add(&mut self, rule: Rule) {
        self.by_origin.insert(rule.origin.clone(), self.all.len());
        self.all.push(rule);
    }

    /// The rule of an origin.
    pub(super) fn get(&self, origin: &Origin) -> Option<&Rule> {
        self.all.get(*self.by_origin.get(origin)?)
    }

    /// Whether those rules of an object are about gRPC calls, and none of them about any request.
    pub(super) fn only_calls(&self, object: &Arc<ObjectRef>, names: &[Arc<str>]) -> bool {
        let named = |rule: &&Rule| rule.origin.rule.as_ref().is_some_and(|name| names.contains(name));
        let mut rules = self.all.iter().filter(|rule| rule.origin.object == *object);
        rules.all(|rule| !named(&rule) || rule.http_at == CALLS)
    }

    /// Those that were not understood.
    pub(super) fn failed(&self) -> impl Iterator<Item = Origin> {
        self.all
            .iter()
            .filter(|rule| rule.failed)
            .map(|rule| rule.origin.clone())
    }

    /// All that were understood.
    pub(super) fn good(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter().filter(|rule| !rule.failed)
    }
}

//! `tulle get rules`: what each permission rule decided, and which never did.
//!
//! Rules are parts of objects, so this is a kind of its own: no `--watch`, and `--never` instead.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::table::Table;
use super::{Asked, GetArgs, Output, output};
use crate::rules::{Effect, RuleReport, RuleRow};

/// Whether this names rules.
pub(super) fn is_meant(kind: &str) -> bool {
    ["rule", "rules"].contains(&kind.to_lowercase().as_str())
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    namespace: Option<String>,
    name: Option<String>,
    never: bool,
}

/// Asks and prints.
pub(super) async fn show(asked: &Asked<'_>, args: GetArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        bail!("rules cannot be watched; ask again, or let Prometheus read tulle_rule_requests_total");
    }
    let wanted = Wanted {
        namespace: args.namespace.filter(|_| !args.all_namespaces),
        name: args.name,
        never: args.never,
    };
    let mut report: RuleReport = asked.rules().await?;
    report.items.retain(|row| wanted.has(row));
    if report.items.is_empty() {
        let place = wanted
            .namespace
            .as_ref()
            .map_or_else(String::new, |namespace| format!(" in {namespace} namespace"));
        if let Some(name) = wanted.name {
            bail!("rule {name:?} not found{place}; list them with `tulle get rules -A`");
        }
        eprintln!("No rules found{place}. (-n NAMESPACE or -A shows others)");
    }
    super::super::print(&render(&report, args.output, wanted.namespace.is_none())?)?;
    if matches!(args.output, None | Some(Output::Wide)) && !report.items.is_empty() {
        let since = &report.since;
        eprintln!("counted since {since}; requests only: a rule that concerns TCP ports only shows -");
    }
    Ok(ExitCode::SUCCESS)
}

impl Wanted {
    fn has(&self, row: &RuleRow) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == row.namespace)
            && self.name.as_ref().is_none_or(|name| names(row, name))
            && (!self.never || row.never())
    }
}

/// A rule answers to its whole name, to that of its object, and to both without the kind and the namespace.
fn names(row: &RuleRow, name: &str) -> bool {
    let of = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let short = row.rule.splitn(3, '/').nth(2).unwrap_or_default();
    [row.rule.as_str(), short]
        .iter()
        .any(|rule| rule.strip_prefix(name).is_some_and(of))
}

fn render(report: &RuleReport, output: Option<Output>, all: bool) -> anyhow::Result<String> {
    Ok(match output {
        Some(Output::Json) => format!("{}\n", serde_json::to_string_pretty(report)?),
        Some(Output::Yaml) => serde_saphyr::to_string(report).context("cannot be shown")?,
        Some(Output::Name) => report
            .items
            .iter()
            .map(|row| [row.rule.as_str(), "\n"].concat())
            .collect(),
        None if report.items.is_empty() => String::new(),
        None => table(report, all, false),
        Some(Output::Wide) => table(report, all, true),
    })
}

fn table(report: &RuleReport, all: bool, wide: bool) -> String {
    let shadow = wide
        || report
            .items
            .iter()
            .any(|row| is_shadow(row) || row.shadow_allowed > 0 || row.shadow_denied > 0);
    let mut headings = vec!["Rule", "Effect", "Allowed", "Denied"];
    if shadow {
        headings.extend(["Would-allow", "Would-deny"]);
    }
    headings.extend(["Last-matched", "Proxies"]);
    if wide {
        headings.push("By-proxy");
    }
    let namespace = all.then_some("Namespace");
    let headings = namespace.into_iter().chain(headings).map(ToOwned::to_owned);
    let rows: Vec<Vec<String>> = report.items.iter().map(|row| cells(row, all, shadow, wide)).collect();
    Table::new(headings).render(&rows)
}

fn is_shadow(row: &RuleRow) -> bool {
    matches!(row.effect, Some(Effect::ShadowAllow | Effect::ShadowDeny))
}

fn cells(row: &RuleRow, all: bool, shadow: bool, wide: bool) -> Vec<String> {
    let number = |value: u64| if row.counted { value.to_string() } else { "-".to_owned() };
    let effect = match row.effect {
        Some(Effect::Allow) => "Allow",
        Some(Effect::Deny) => "Deny",
        Some(Effect::ShadowAllow) => "Shadow Allow",
        Some(Effect::ShadowDeny) => "Shadow Deny",
        Some(Effect::Default) => "Default",
        None => "-",
    };
    let last = match &row.last_matched {
        Some(last) => output::age(last),
        None if row.counted => "never".to_owned(),
        None => "-".to_owned(),
    };
    let matched = row.proxies.iter().filter(|proxy| proxy.concerned).count();
    let mut cells: Vec<String> = all.then(|| row.namespace.clone()).into_iter().collect();
    cells.extend([
        row.rule.clone(),
        effect.to_owned(),
        number(row.allowed),
        number(row.denied),
    ]);
    if shadow {
        cells.extend([number(row.shadow_allowed), number(row.shadow_denied)]);
    }
    cells.extend([last, format!("{matched}/{}", row.concerned)]);
    if wide {
        let by_proxy = row.proxies.iter().map(|at| format!("{}={}", at.proxy, at.matched()));
        cells.push(by_proxy.collect::<Vec<_>>().join(","));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::ProxyRow;

    fn row(rule: &str, effect: Effect, allowed: u64, counted: bool) -> RuleRow {
        let proxy = ProxyRow {
            proxy: "shop/payments-1".into(),
            allowed,
            denied: 0,
            shadow_allowed: 0,
            shadow_denied: 0,
            last_matched: None,
            concerned: true,
        };
        RuleRow {
            rule: rule.into(),
            namespace: "shop".into(),
            effect: Some(effect),
            counted,
            allowed,
            denied: 0,
            shadow_allowed: 0,
            shadow_denied: 0,
            last_matched: None,
            concerned: 2,
            proxies: (allowed > 0).then_some(proxy).into_iter().collect(),
        }
    }

    fn report() -> RuleReport {
        RuleReport {
            since: "2026-01-01T00:00:00Z".into(),
            unknown: 0,
            items: vec![
                row("TrafficPermission/shop/a/read", Effect::Allow, 3, true),
                row("TrafficPermission/shop/a/write", Effect::Allow, 0, true),
                row("TrafficPermission/shop/tcp/all", Effect::Deny, 0, false),
                row("default/Deny/http", Effect::Default, 0, true),
            ],
        }
    }

    #[test]
    fn the_table_tells_zero_from_not_counted() {
        let text = render(&report(), None, false).unwrap();
        let expected = "\
RULE                             EFFECT    ALLOWED   DENIED   LAST-MATCHED   PROXIES
TrafficPermission/shop/a/read    Allow     3         0        never          1/2
TrafficPermission/shop/a/write   Allow     0         0        never          0/2
TrafficPermission/shop/tcp/all   Deny      -         -        -              0/2
default/Deny/http                Default   0         0        never          0/2
";
        assert_eq!(text, expected);
        let wide = render(&report(), Some(Output::Wide), true).unwrap();
        assert!(
            wide.starts_with("NAMESPACE   RULE") && wide.contains("shop/payments-1=3"),
            "{wide}"
        );
    }

    #[test]
    fn figures_of_any_size_are_shown_and_only_proxies_that_it_concerns_are_counted() {
        let mut report = report();
        let row = &mut report.items[0];
        let mut gone = row.proxies[0].clone();
        gone.concerned = false;
        (gone.allowed, gone.denied) = (u64::MAX, u64::MAX);
        (row.shadow_allowed, row.shadow_denied) = (u64::MAX, 1);
        row.proxies.extend([gone.clone(), gone]);
        let wide = render(&report, Some(Output::Wide), true).unwrap();
        let line = wide.lines().find(|line| line.contains("a/read")).unwrap();
        assert!(
            line.contains("   1/2   ") && line.contains(&u64::MAX.to_string()),
            "{line}"
        );
    }

    #[test]
    fn never_means_could_have_and_did_not() {
        let wanted = |name: Option<&str>, never| {
            let name = name.map(ToOwned::to_owned);
            let wanted = Wanted {
                name,
                never,
                ..Wanted::default()
            };
            let found = report().items.into_iter().filter(|row| wanted.has(row));
            found
                .map(|row| row.rule.rsplit('/').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(wanted(None, true), ["write"]);
        assert_eq!(wanted(Some("a"), false), ["read", "write"]);
        assert_eq!(wanted(Some("a/read"), false), ["read"]);
        assert_eq!(wanted(Some("TrafficPermission/shop/tcp/all"), false), ["all"]);
        assert_eq!(wanted(Some("TrafficPermission/shop/tc"), false), [""; 0]);
    }
}

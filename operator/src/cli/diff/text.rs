//! A diff for people: what becomes denied first, then what becomes allowed, then all else, and what would be sent.

use std::fmt::Write;

use config::diff::{AccessChange, Callee, Callers, Change, Effect, RouteChange, say_route};
use config::evaluator::{Answer, Operation, Verdict};

use super::Compared;
use crate::cli::ask::say;
use crate::source::SourceView;

/// So many names are listed.
const NAMED: usize = 4;

/// The whole text.
pub(super) fn render(it: &Compared) -> String {
    let diff = &it.diff;
    let mut text = String::new();
    let order = |change: &&AccessChange| (change.shadow, change.allowed);
    let mut access: Vec<&AccessChange> = diff.access.iter().collect();
    access.sort_by_key(order);
    for change in access {
        one_access(it, change, &mut text);
    }
    for effect in &diff.effects {
        one_effect(it, effect, &mut text);
    }
    for route in &diff.routes {
        one_route(it, route, &mut text);
    }
    for one in &diff.unreachable {
        let (rule, by) = (one.rule.to_string(), one.covered_by.to_string());
        line(
            &mut text,
            "UNREACHABLE",
            &format!("{rule} at {}:{}{}", one.service, one.port, say::place(&it.after, &rule)),
        );
        line(
            &mut text,
            "",
            &format!("{by} comes first and takes everything{}", say::place(&it.after, &by)),
        );
    }
    for place in &diff.unsure {
        let why = "has more matches than there are examples, so more may change there than is said here";
        line(&mut text, "UNSURE", &format!("{place} {why}"));
    }
    for finding in &it.findings {
        line(&mut text, "FINDING", &finding.to_string());
    }
    if !diff.changes_meaning() {
        text.push_str("nothing changes in meaning\n");
    }
    sent(it, &mut text);
    // Writing to a string does not fail.
    let _ = writeln!(text, "compared with {}", it.from);
    text
}

fn line(text: &mut String, word: &str, what: &str) {
    let _ = writeln!(text, "{word:<11} {what}");
}

fn one_access(it: &Compared, change: &AccessChange, text: &mut String) {
    let word = match (change.shadow, change.allowed) {
        (false, true) => "ALLOWED",
        (false, false) => "DENIED",
        (true, true) => "NOT REPORTED",
        (true, false) => "REPORTED",
    };
    let all = match (&change.example, change.whole) {
        (Operation::Connect, _) => String::new(),
        (Operation::Http(_), true) => ", as every request".to_owned(),
        (Operation::Http(_), false) => ", as some requests".to_owned(),
    };
    let who = callers(&change.callers, &it.trust_domain);
    let what = format!(
        "{who} -> {}  {}{all}",
        callees(&change.callees),
        say::operation(&change.example)
    );
    line(text, word, &what);
    line(text, "", &format!("before: {}", verdict(&change.before, &it.before)));
    line(text, "", &format!("after:  {}", verdict(&change.after, &it.after)));
    let ask = change
        .callees
        .first()
        .map(|callee| again(change, callee, &it.trust_domain));
    line(text, "", &format!("ask:    {}", ask.unwrap_or_default()));
}

/// The command that asks about the same call.
fn again(change: &AccessChange, callee: &Callee, trust_domain: &str) -> String {
    let from = match (change.callers.members.first(), &change.callers.example) {
        (Some(id), _) | (None, config::evaluator::Caller::Identity(id)) => {
            let short = say::identity(id, trust_domain);
            if change.callers.members.is_empty() || short.starts_with("spiffe://") {
                id.to_string()
            } else {
                format!("sa/{short}")
            }
        }
        (None, other) => say::caller(other, trust_domain),
    };
    let request = match &change.example {
        Operation::Connect => String::new(),
        Operation::Http(request) => {
            let headers = request
                .headers
                .iter()
                .map(|(name, value)| format!(" -H {}", word(&format!("{name}={value}"))));
            let target = word(&request.target);
            format!(" {} {target}{}", request.method, headers.collect::<String>())
        }
    };
    format!(
        "tulle explain {} workload/{}:{}{request}",
        word(&from),
        callee.workload,
        callee.port
    )
}

/// One word of a shell, as it is.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-=,@+%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn verdict(verdict: &Verdict, view: &SourceView) -> String {
    let rule = say::rule(verdict);
    let word = if verdict.answer == Answer::Allowed {
        "allowed"
    } else {
        "denied"
    };
    format!("{word} by {rule}{}", say::place(view, &rule))
}

/// The callers in short.
pub(super) fn callers(callers: &Callers, trust_domain: &str) -> String {
    if callers.members.is_empty() {
        return match &callers.example {
            config::evaluator::Caller::Plaintext => "plaintext".to_owned(),
            other => format!("whoever is as {}", say::caller(other, trust_domain)),
        };
    }
    few(callers
        .members
        .iter()
        .map(|id| say::identity(id, trust_domain))
        .collect())
}

fn callees(callees: &[Callee]) -> String {
    let name = |callee: &Callee| match callee.port {
        0 => format!("{} (undeclared ports)", callee.group),
        port => format!("{}:{port}", callee.group),
    };
    few(callees.iter().map(name).collect())
}

fn few(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.into_iter().take(NAMED).collect();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", shown.join(", "))
}

fn one_effect(it: &Compared, effect: &Effect, text: &mut String) {
    let (word, view) = match effect.change {
        Change::Begins => ("BEGINS", &*it.after),
        Change::Ends => ("ENDS", &*it.before),
        Change::Changes => ("CHANGES", &*it.after),
    };
    let detail = if effect.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", effect.detail)
    };
    let at = if effect.callees.is_empty() {
        String::new()
    } else {
        format!(" at {}", callees(&effect.callees))
    };
    line(
        text,
        word,
        &format!("{}{detail}{at}{}", effect.subject, say::place(view, &effect.subject)),
    );
}

fn one_route(it: &Compared, route: &RouteChange, text: &mut String) {
    let consumer = route
        .consumer
        .as_ref()
        .map_or_else(String::new, |namespace| format!(" for callers in {namespace}"));
    line(
        text,
        "ROUTE",
        &format!(
            "{}:{}{consumer}, for example {}",
            route.service,
            route.port,
            say::request(&route.example)
        ),
    );
    let place = |view: &SourceView, rule: Option<&str>| rule.map_or_else(String::new, |rule| say::place(view, rule));
    let rule = |side: &Option<config::evaluator::RouteDecision>| side.as_ref().map(|side| side.rule.to_string());
    let (old, new) = (rule(&route.before), rule(&route.after));
    line(
        text,
        "",
        &format!(
            "before: {}{}",
            say_route(route.before.as_ref()),
            place(&it.before, old.as_deref())
        ),
    );
    line(
        text,
        "",
        &format!(
            "after:  {}{}",
            say_route(route.after.as_ref()),
            place(&it.after, new.as_deref())
        ),
    );
}

fn sent(it: &Compared, text: &mut String) {
    let sent = &it.diff.sent;
    let names = few(sent.proxies.iter().map(ToString::to_string).collect());
    let names = if names.is_empty() { names } else { format!(" ({names})") };
    let what = format!(
        "{} proxies{names}, {} resources, {} bytes, {} resources taken back",
        sent.proxies.len(),
        sent.resources,
        sent.bytes,
        sent.removed
    );
    line(text, "SENT", &what);
    for (workload, reason) in &sent.failed {
        line(text, "", &format!("{workload} cannot be served: {reason}"));
    }
}

//! Words that `explain`, `can-i` and `diff` share.

use config::ObjectRef;
use config::evaluator::{Answer, Caller, Destination, Difference, HttpRequest, Operation, Verdict};
use config::model::{HeaderMatchType, PathMatch, Protocol, Source, SpiffeId};

use crate::source::SourceView;

/// `shop/orders` for the service account of a workload of ours, else the URI.
pub(crate) fn identity(id: &SpiffeId, trust_domain: &str) -> String {
    let ours = id
        .as_str()
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain));
    let parts = ours
        .and_then(|rest| rest.strip_prefix("/ns/"))
        .and_then(|rest| rest.split_once("/sa/"));
    parts.map_or_else(|| id.to_string(), |(namespace, name)| format!("{namespace}/{name}"))
}

/// A caller.
pub(crate) fn caller(caller: &Caller, trust_domain: &str) -> String {
    match caller {
        Caller::Workload(key) => key.to_string(),
        Caller::Identity(id) => identity(id, trust_domain),
        Caller::Plaintext => "plaintext".to_owned(),
    }
}

/// A destination, in the form in which it can be written again.
pub(crate) fn destination(to: &Destination) -> String {
    match to {
        Destination::Service { service, port } => format!("{service}:{port}"),
        Destination::Workload { workload, port } => format!("workload/{workload}:{port}"),
    }
}

/// `POST /charges x-role=admin`.
pub(crate) fn request(request: &HttpRequest) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{} {}{}", request.method, request.target, headers.collect::<String>())
}

/// The same for any operation.
pub(crate) fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Connect => "connect".to_owned(),
        Operation::Http(one) => request(one),
    }
}

/// `DENIED 403`.
pub(crate) fn answer(answer: Answer, protocol: Protocol) -> String {
    match (answer, protocol) {
        (Answer::Allowed, _) => "ALLOWED".to_owned(),
        (Answer::Forbidden, Protocol::Grpc) => "DENIED PERMISSION_DENIED".to_owned(),
        (Answer::Forbidden, _) => "DENIED 403".to_owned(),
        (Answer::Malformed(reason), _) => format!("DENIED 400 ({reason})"),
        (Answer::Refused, _) => "DENIED, connection refused".to_owned(),
    }
}

/// The rule that decides, or why none was asked.
pub(crate) fn rule(verdict: &Verdict) -> String {
    match (&*verdict.rule, verdict.answer) {
        ("", Answer::Refused) => "no certificate, where one is needed".to_owned(),
        ("", Answer::Malformed(reason)) => reason.to_owned(),
        ("", _) => "no rule".to_owned(),
        (rule, _) => rule.to_owned(),
    }
}

/// `  (shop.yaml:12)` for a rule of an object that stands in a file.
pub(crate) fn place(view: &SourceView, rule: &str) -> String {
    let place = object_of(rule).and_then(|object| view.places.get(&object));
    place.map_or_else(String::new, |place| {
        format!("  ({}:{})", place.file.display(), place.line)
    })
}

/// The object of a rule's name, `kind/namespace/name/rule`.
pub(crate) fn object_of(rule: &str) -> Option<ObjectRef> {
    let mut parts = rule.splitn(4, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(ObjectRef::new(kind, namespace, name))
}

/// What a request lacks.
pub(crate) fn difference(difference: &Difference, trust_domain: &str) -> String {
    match difference {
        Difference::Source { allowed } => {
            let names: Vec<String> = allowed.iter().map(|one| source(one, trust_domain)).collect();
            format!("the caller would have to be {}", names.join(" or "))
        }
        Difference::Method { allowed, sent } => format!("the method would have to be {allowed}, not {sent}"),
        Difference::Path { allowed, sent } => format!("the path would have to be {}, not {sent}", path(allowed)),
        Difference::Header { allowed, sent } => {
            let wanted = match &allowed.value {
                HeaderMatchType::Exact(value) => format!("{value:?}"),
                HeaderMatchType::Regex(regex) => format!("what {regex:?} matches"),
            };
            let sent = sent
                .as_ref()
                .map_or_else(|| "absent".to_owned(), |value| format!("{value:?}"));
            format!("the header {} would have to be {wanted}, not {sent}", allowed.name)
        }
    }
}

fn source(source: &Source, trust_domain: &str) -> String {
    match source {
        Source::Identity(id) => identity(id, trust_domain),
        Source::Prefix(prefix) => format!("somebody below {prefix}"),
        Source::Authenticated => "any mesh identity".to_owned(),
        Source::Unauthenticated => "without a certificate".to_owned(),
    }
}

fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => path.to_string(),
        PathMatch::Prefix(prefix) => format!("{prefix} or below it"),
        PathMatch::Suffix(suffix) => format!("one that ends in {suffix}"),
        PathMatch::Regex(regex) => format!("one that {regex:?} matches"),
    }
}

#[cfg(test)]
mod tests {
    use config::model::SpiffeId;

    #[test]
    fn identities_of_ours_are_short() {
        let id = SpiffeId::of("tulle.local", "shop", "orders");
        assert_eq!(super::identity(&id, "tulle.local"), "shop/orders");
        assert_eq!(super::identity(&id, "tulle"), id.to_string());
    }
}

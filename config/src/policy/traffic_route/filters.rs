//! Filters of rules and backends: header edits, rewrites and redirects. A filter that is not done fails its rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::filters::{
    FilterType, HeaderFilter, HttpHeader, HttpRouteFilter, PathModifier, PathModifierType, RequestRedirect,
};

use crate::model::{HeaderEdit, HttpMatch, PathMatch, Redirect, Rewrite};
use crate::parse::findings::Findings;
use crate::parse::{path, report_unknown, value};

/// All filters of a rule or a backend together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) request_headers: HeaderEdit,
    pub(crate) response_headers: HeaderEdit,
    pub(crate) rewrite_path: Option<Rewrite>,
    pub(crate) rewrite_host: Option<Arc<str>>,
    pub(crate) redirect: Option<Redirect>,
}

/// Filters of a rule.
pub(super) fn rule_filters(
    list: &[HttpRouteFilter],
    matches: Option<&[HttpMatch]>,
    at: &str,
    findings: &mut Findings,
) -> Filters {
    let filters = read(list, at, findings);
    if filters.redirect.is_some() && (filters.rewrite_path.is_some() || filters.rewrite_host.is_some()) {
        findings.error(
            at,
            Reason::Invalid,
            "a rule redirects or rewrites, not both; remove one of the filters",
        );
    }
    let paths = [
        filters.rewrite_path.as_ref(),
        filters.redirect.as_ref().and_then(|redirect| redirect.path.as_ref()),
    ];
    let replaces_prefix = paths
        .into_iter()
        .flatten()
        .any(|path| matches!(path, Rewrite::Prefix(_)));
    let only_prefixes = |one: &HttpMatch| matches!(&one.path, None | Some(PathMatch::Prefix(_)));
    if replaces_prefix && !matches.is_none_or(|matches| matches.iter().all(only_prefixes)) {
        findings.error(
            at,
            Reason::Invalid,
            "ReplacePrefixMatch needs PathPrefix in every match of the rule; use ReplaceFullPath, or split the rule",
        );
    }
    filters
}

/// Filters of one backend: header edits only.
pub(super) fn backend_filters(list: &[HttpRouteFilter], at: &str, findings: &mut Findings) -> Filters {
    for (index, filter) in list.iter().enumerate() {
        if !matches!(
            filter.filter_type,
            FilterType::RequestHeaderModifier | FilterType::ResponseHeaderModifier
        ) {
            let message = format!(
                "{:?} is not supported on a backend; put it on the rule",
                filter.filter_type
            );
            findings.error(&format!("{at}[{index}].type"), Reason::NotSupportedYet, message);
        }
    }
    read(list, at, findings)
}

fn read(list: &[HttpRouteFilter], at: &str, findings: &mut Findings) -> Filters {
    let mut filters = Filters::default();
    let mut seen = BTreeSet::new();
    for (index, filter) in list.iter().enumerate() {
        let at = format!("{at}[{index}]");
        report_unknown(filter, &at, findings);
        if !seen.insert(filter.filter_type) {
            findings.error(
                &format!("{at}.type"),
                Reason::Invalid,
                "this type of filter occurs twice; put both into one",
            );
        }
        if !fits(filter) {
            findings.error(
                &at,
                Reason::Invalid,
                "the type and the fields do not fit; give the one field that belongs to the type",
            );
            continue;
        }
        one(filter, &at, &mut filters, findings);
    }
    filters
}

/// Whether exactly the field of the type is there.
fn fits(filter: &HttpRouteFilter) -> bool {
    let fields = [
        (
            FilterType::RequestHeaderModifier,
            filter.request_header_modifier.is_some(),
        ),
        (
            FilterType::ResponseHeaderModifier,
            filter.response_header_modifier.is_some(),
        ),
        (FilterType::RequestRedirect, filter.request_redirect.is_some()),
        (FilterType::UrlRewrite, filter.url_rewrite.is_some()),
        (FilterType::RequestMirror, filter.request_mirror.is_some()),
        (FilterType::Cors, filter.cors.is_some()),
    ];
    fields
        .iter()
        .all(|(filter_type, there)| *there == (*filter_type == filter.filter_type))
}

fn one(filter: &HttpRouteFilter, at: &str, filters: &mut Filters, findings: &mut Findings) {
    if let Some(edit) = &filter.request_header_modifier {
        filters.request_headers = header_edit(edit, &format!("{at}.requestHeaderModifier"), findings);
    }
    if let Some(edit) = &filter.response_header_modifier {
        filters.response_headers = header_edit(edit, &format!("{at}.responseHeaderModifier"), findings);
    }
    if let Some(redirect) = &filter.request_redirect {
        filters.redirect = Some(self::redirect(redirect, &format!("{at}.requestRedirect"), findings));
    }
    if let Some(rewrite) = &filter.url_rewrite {
        let at = format!("{at}.urlRewrite");
        filters.rewrite_host = hostname(rewrite.hostname.as_deref(), &at, findings);
        filters.rewrite_path = rewrite
            .path
            .as_ref()
            .and_then(|path| path_modifier(path, &format!("{at}.path"), findings));
    }
    if filter.request_mirror.is_some() {
        findings.error(
            &format!("{at}.requestMirror"),
            Reason::NotSupportedYet,
            "mirroring is not supported yet; remove the filter",
        );
    }
    if filter.cors.is_some() {
        findings.error(
            &format!("{at}.cors"),
            Reason::NotSupportedYet,
            "CORS is not supported yet; remove the filter",
        );
    }
}

fn header_edit(edit: &HeaderFilter, at: &str, findings: &mut Findings) -> HeaderEdit {
    let mut pairs = |list: &[HttpHeader], field: &str| {
        let mut read = Vec::new();
        for (index, header) in list.iter().enumerate() {
            let at = format!("{at}.{field}[{index}]");
            let name = header_name(&header.name, &format!("{at}.name"), findings);
            if let Err(problem) = value::header_value(&header.value) {
                findings.error(
                    &format!("{at}.value"),
                    Reason::Invalid,
                    format!("{:?} {problem}", header.value),
                );
            } else if let Some(name) = name {
                read.push((name, Arc::from(header.value.as_str())));
            }
        }
        read
    };
    let (set, add) = (pairs(&edit.set, "set"), pairs(&edit.add, "add"));
    let remove = edit
        .remove
        .iter()
        .enumerate()
        .filter_map(|(index, name)| header_name(name, &format!("{at}.remove[{index}]"), findings))
        .collect();
    HeaderEdit { set, add, remove }
}

fn header_name(name: &str, at: &str, findings: &mut Findings) -> Option<Arc<str>> {
    let problem = match value::edited_header_name(name) {
        Err(problem) => problem,
        Ok(name) => return Some(name.into()),
    };
    findings.error(at, Reason::Invalid, format!("{name:?} {problem}"));
    None
}

fn redirect(redirect: &RequestRedirect, at: &str, findings: &mut Findings) -> Redirect {
    if redirect
        .scheme
        .as_deref()
        .is_some_and(|scheme| scheme != "http" && scheme != "https")
    {
        findings.error(&format!("{at}.scheme"), Reason::Invalid, "is neither http nor https");
    }
    let status = redirect.status_code.unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&status) {
        findings.error(
            &format!("{at}.statusCode"),
            Reason::Invalid,
            "is no redirect that is taken; use 301, 302, 303, 307 or 308",
        );
    }
    if redirect.port == Some(0) {
        findings.error(
            &format!("{at}.port"),
            Reason::Invalid,
            "0 is not a port; use 1 to 65535",
        );
    }
    Redirect {
        scheme: redirect.scheme.as_deref().map(Arc::from),
        hostname: hostname(redirect.hostname.as_deref(), at, findings),
        port: redirect.port,
        path: redirect
            .path
            .as_ref()
            .and_then(|path| path_modifier(path, &format!("{at}.path"), findings)),
        status,
    }
}

fn hostname(text: Option<&str>, at: &str, findings: &mut Findings) -> Option<Arc<str>> {
    let text = text?;
    if value::is_name(text) {
        return Some(text.into());
    }
    findings.error(
        &format!("{at}.hostname"),
        Reason::Invalid,
        format!("{text:?} is not a host name; use lower-case letters, digits, `-` and `.`"),
    );
    None
}

fn path_modifier(modifier: &PathModifier, at: &str, findings: &mut Findings) -> Option<Rewrite> {
    let (field, text, other) = match modifier.modifier_type {
        PathModifierType::ReplaceFullPath => (
            "replaceFullPath",
            &modifier.replace_full_path,
            &modifier.replace_prefix_match,
        ),
        PathModifierType::ReplacePrefixMatch => (
            "replacePrefixMatch",
            &modifier.replace_prefix_match,
            &modifier.replace_full_path,
        ),
    };
    let (Some(text), None) = (text, other) else {
        findings.error(
            at,
            Reason::Invalid,
            format!("the type and the fields do not fit; give `{field}` alone"),
        );
        return None;
    };
    let is_prefix = modifier.modifier_type == PathModifierType::ReplacePrefixMatch;
    if is_prefix && text.is_empty() {
        return Some(Rewrite::Prefix("".into()));
    }
    if let Some(problem) = path::problem(text) {
        findings.error(&format!("{at}.{field}"), Reason::Invalid, format!("{text:?} {problem}"));
        return None;
    }
    Some(if is_prefix {
        Rewrite::Prefix(path::prefix(text))
    } else {
        Rewrite::Full(text.as_str().into())
    })
}

//! The header by which a 403 names its cause, on request: a runtime key of the proxy's own layer switches it, so that no
//! listener changes.
//!
//! Envoy reports what a filter decided only after its reply is on its way (measured on 1.40). So a filter before the deny
//! filter looks first who will deny (`slots::BLAME`), and the default, which is all that the allow filter denies by, stands in
//! the route.

use super::api::{accesslog, core, hcm, r#type};
use super::reported;
use crate::names::{DENIAL_HEADER_KEY, DENIED_BY_HEADER, METADATA};

use accesslog::access_log_filter::FilterSpecifier;
use hcm::LocalReplyConfig;

const FORBIDDEN: u32 = 403;

/// The field of the route's metadata that names the default of a denial.
pub(crate) const DENIED: &str = "denied";

/// What our proxies do to their own replies.
pub(crate) fn local_replies() -> LocalReplyConfig {
    let blamed = reported::so_far(
        &reported::shadow_result(reported::BLAME_PREFIX),
        reported::DENIED,
        false,
    );
    // The deny filter let it pass and the allow filter has not: faults and limits, which may answer 403 too, come later.
    let passed = reported::so_far(
        &reported::enforced_result(reported::DENY_PREFIX),
        reported::ALLOWED,
        false,
    );
    let stopped = reported::so_far(
        &reported::enforced_result(reported::ALLOW_PREFIX),
        reported::DENIED,
        true,
    );
    LocalReplyConfig {
        mappers: vec![
            mapper(
                vec![blamed],
                reported::format(&reported::shadow_rule(reported::BLAME_PREFIX)),
            ),
            mapper(vec![passed, stopped], format!("%METADATA(ROUTE:{METADATA}:{DENIED})%")),
        ],
        ..Default::default()
    }
}

fn mapper(reported: Vec<accesslog::MetadataFilter>, value: String) -> hcm::ResponseMapper {
    let forbidden = accesslog::ComparisonFilter {
        op: accesslog::comparison_filter::Op::Eq.into(),
        value: Some(core::RuntimeUInt32 {
            default_value: FORBIDDEN,
            runtime_key: format!("{DENIAL_HEADER_KEY}.status"),
        }),
    };
    let on = accesslog::RuntimeFilter {
        runtime_key: DENIAL_HEADER_KEY.to_owned(),
        percent_sampled: Some(r#type::FractionalPercent::default()),
        use_independent_randomness: true,
    };
    let mut filters = vec![
        filter(FilterSpecifier::StatusCodeFilter(accesslog::StatusCodeFilter {
            comparison: Some(forbidden),
        })),
        filter(FilterSpecifier::RuntimeFilter(on)),
    ];
    filters.extend(
        reported
            .into_iter()
            .map(|one| filter(FilterSpecifier::MetadataFilter(one))),
    );
    hcm::ResponseMapper {
        filter: Some(filter(FilterSpecifier::AndFilter(accesslog::AndFilter { filters }))),
        headers_to_add: vec![core::HeaderValueOption {
            header: Some(core::HeaderValue {
                key: DENIED_BY_HEADER.to_owned(),
                value,
                ..Default::default()
            }),
            append_action: core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn filter(specifier: FilterSpecifier) -> accesslog::AccessLogFilter {
    accesslog::AccessLogFilter {
        filter_specifier: Some(specifier),
    }
}

//! Rate limits: buckets in an ECDS filter for each object, descriptor actions in the route configuration.
//!
//! So a route change refills no bucket, and a change of one object refills only its own. Filters have no default bucket:
//! a request that no limit matches gets no `x-ratelimit-*` headers.

use std::sync::Arc;

use xds::{Kind, Resource};

use super::disjoint;
use crate::envoy::api::{core, local_ratelimit, ratelimit, route, r#type};
use crate::envoy::carrier;
use crate::envoy::common::{duration, extension};
use crate::envoy::header_edit::set;
use crate::model::{Limit, LimitKey, LimitObject, PortLimits, TokenBucket};
use crate::names::{ExtensionName, LIMITED_BY_HEADER, SOURCE_HEADER, StatPrefix};

use route::rate_limit::action::{ActionSpecifier, GenericKey, HeaderValueMatch, RequestHeaders};

/// The descriptor entry that says which limit counts the request.
const LIMIT_ENTRY: &str = "limit";
/// The descriptor entry that says who called.
const SOURCE_ENTRY: &str = "source";
/// Buckets of a limit by caller; an invented identity cannot push others out, since identities are verified.
const CALLER_BUCKETS: u32 = 10_000;

/// What one slot depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotInput {
    /// The workload port.
    pub(crate) port: u16,
    /// The slot.
    pub(crate) slot: u8,
    /// Who sits in it.
    pub(crate) object: Option<Arc<LimitObject>>,
}

/// An empty slot.
pub(crate) fn empty(port: u16, slot: u8) -> SlotInput {
    SlotInput {
        port,
        slot,
        object: None,
    }
}

/// Compiles the filter of a slot.
pub(crate) fn slot(input: &SlotInput) -> Resource {
    let name = ExtensionName::Limit(input.port, input.slot).to_string();
    let filter = match &input.object {
        None => local_ratelimit::LocalRateLimit {
            stat_prefix: "limit.empty".to_owned(),
            ..Default::default()
        },
        Some(object) => filter(input.slot, object),
    };
    Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter))
}

fn filter(slot: u8, object: &LimitObject) -> local_ratelimit::LocalRateLimit {
    // A filter has one answer: where the limits of an object differ in theirs, the first one's is given.
    let first = object.limits.first();
    let headers = first.map(|limit| limit.headers.iter()).into_iter().flatten();
    let named = set(LIMITED_BY_HEADER, &object.object.to_string());
    let all = core::RuntimeFractionalPercent {
        default_value: Some(r#type::FractionalPercent {
            numerator: 100,
            ..Default::default()
        }),
        ..Default::default()
    };
    local_ratelimit::LocalRateLimit {
        stat_prefix: StatPrefix::Limit(&object.object).to_string(),
        stage: slot.into(),
        status: first.map(|limit| r#type::HttpStatus {
            code: limit.status.into(),
        }),
        filter_enabled: Some(all.clone()),
        filter_enforced: Some(all),
        descriptors: object.limits.iter().map(descriptor).collect(),
        max_dynamic_descriptors: Some(CALLER_BUCKETS),
        always_consume_default_token_bucket: Some(false),
        enable_x_ratelimit_headers: headers_version(object).into(),
        enable_retry_after_header: true,
        rate_limited_as_resource_exhausted: true,
        response_headers_to_add: std::iter::once(named)
            .chain(headers.map(|(name, value)| set(name, value)))
            .collect(),
        ..Default::default()
    }
}

/// A caller has no use for the numbers of a limit that refuses nothing.
fn headers_version(object: &LimitObject) -> ratelimit::XRateLimitHeadersRfcVersion {
    if object.limits.iter().all(|limit| limit.shadow) {
        ratelimit::XRateLimitHeadersRfcVersion::Off
    } else {
        ratelimit::XRateLimitHeadersRfcVersion::DraftVersion03
    }
}

fn descriptor(limit: &Limit) -> ratelimit::LocalRateLimitDescriptor {
    let entry = |key: &str, value: String| ratelimit::rate_limit_descriptor::Entry {
        key: key.to_owned(),
        value,
    };
    let mut entries = vec![entry(LIMIT_ENTRY, limit.origin.to_string())];
    match limit.key {
        LimitKey::None => {}
        // Without a value: a bucket for each one that occurs.
        LimitKey::SourceIdentity => entries.push(entry(SOURCE_ENTRY, String::new())),
    }
    ratelimit::LocalRateLimitDescriptor {
        entries,
        token_bucket: Some(bucket(&limit.bucket)),
        shadow_mode: limit.shadow,
    }
}

fn bucket(bucket: &TokenBucket) -> r#type::TokenBucket {
    r#type::TokenBucket {
        max_tokens: bucket.max_tokens,
        tokens_per_fill: Some(bucket.tokens_per_fill),
        fill_interval: Some(duration(bucket.fill_interval)),
    }
}

/// The descriptor actions of all limits of a port. Each filter reads those of its own stage, which is its slot.
pub(crate) fn actions(limits: &PortLimits, trust_domain: &str) -> Vec<route::RateLimit> {
    let all = limits
        .slots
        .iter()
        .flat_map(|(slot, object)| object.limits.iter().map(move |limit| (*slot, limit)));
    all.flat_map(|(slot, limit)| {
        let alternatives = alternatives(limit, trust_domain);
        alternatives
            .into_iter()
            .map(move |headers| action(slot, limit, headers))
    })
    .collect()
}

/// Header matches of which a counted request fulfils exactly one: each fulfilled one would take a token.
fn alternatives(limit: &Limit, trust_domain: &str) -> Vec<Vec<route::HeaderMatcher>> {
    let sources = disjoint::sources(limit.sources.as_deref(), trust_domain);
    let requests = limit.http.as_ref().map_or_else(
        || vec![Vec::new()],
        |all| {
            disjoint::requests(
                all.iter()
                    .map(|http| carrier::matchers(None, Some(http), trust_domain))
                    .collect(),
            )
        },
    );
    let pair = |source: &Option<crate::model::Source>| {
        let source = carrier::matchers(source.as_ref(), None, trust_domain);
        requests
            .iter()
            .map(move |request| source.iter().chain(request).cloned().collect())
            .collect::<Vec<_>>()
    };
    sources.iter().flat_map(pair).collect()
}

fn action(slot: u8, limit: &Limit, headers: Vec<route::HeaderMatcher>) -> route::RateLimit {
    let (key, value) = (LIMIT_ENTRY.to_owned(), limit.origin.to_string());
    let counted = if headers.is_empty() {
        let generic = GenericKey {
            descriptor_key: key,
            descriptor_value: value,
            ..Default::default()
        };
        ActionSpecifier::GenericKey(generic)
    } else {
        let matched = HeaderValueMatch {
            descriptor_key: key,
            descriptor_value: value,
            headers,
            ..Default::default()
        };
        ActionSpecifier::HeaderValueMatch(matched)
    };
    let caller = (limit.key == LimitKey::SourceIdentity).then(|| {
        // Always there, since our own proxy sets it: no request escapes for want of a key.
        ActionSpecifier::RequestHeaders(RequestHeaders {
            header_name: SOURCE_HEADER.to_owned(),
            descriptor_key: SOURCE_ENTRY.to_owned(),
            ..Default::default()
        })
    });
    let actions = std::iter::once(counted).chain(caller);
    route::RateLimit {
        stage: Some(slot.into()),
        actions: actions
            .map(|specifier| route::rate_limit::Action {
                action_specifier: Some(specifier),
            })
            .collect(),
        ..Default::default()
    }
}

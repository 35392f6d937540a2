//! The control plane's own figures, and those of rules, as Prometheus reads them (`OpenMetrics` text).
//!
//! The registry is made for each question out of what is known then, so nothing has to be kept up to date. Figures of single
//! proxies are not here: they would multiply; `/rules` has them.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::engine::EngineView;
use crate::identity::CertificateAuthority;
use crate::rules::RuleReport;
use crate::webhook::Reviews;

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What else this process counts.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) ca: Arc<CertificateAuthority>,
    /// Absent where there is no webhook.
    pub(crate) reviews: Option<Reviews>,
}

/// All figures; `streams` are those of the xDS server and of whoever writes status.
pub(super) fn text(
    view: &EngineView,
    streams: &[(&'static str, u64)],
    rules: &RuleReport,
    process: &Process,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tulle");
    let streams = streams
        .iter()
        .map(|(name, value)| (*name, "The xDS server, or the writing of status", *value));
    let figures = gauges(view).into_iter().chain(counters(view)).chain(streams);
    for (name, help, value) in figures.chain(of_process(process)) {
        // The format itself puts `_total` behind the name of a counter.
        if let Some(name) = name.strip_suffix("_total") {
            registry.register(name, help, ConstCounter::new(value));
        } else {
            // The format knows integers with a sign only.
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            registry.register(name, help, ConstGauge::new(value));
        }
    }
    let busy = view.counters.busy.as_secs_f64();
    registry.register(
        "build_seconds",
        "The time that builds took, with publishing",
        ConstCounter::new(busy),
    );
    registry.register("objects_by_kind", "Objects that are served, by kind", by_kind(view));
    let versions = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("envoy", crate::envoy_binary::PINNED.to_string()),
    ];
    registry.register(
        "build",
        "This program, and the Envoy that belongs to it",
        Info::new(versions.to_vec()),
    );
    if let Some(reviews) = &process.reviews {
        registry.register(
            "admission_reviews",
            "Questions of the API server, by answer",
            reviews.family(),
        );
    }
    registry.register(
        "rule_requests",
        "Requests that a permission rule decided, since the control plane started",
        by_rule(rules),
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn by_kind(view: &EngineView) -> Family<[(&'static str, String); 1], Gauge> {
    let family = Family::default();
    for object in view.source.by_name.keys() {
        let gauge: &Gauge = &family.get_or_create(&[("kind", object.kind.to_string())]);
        gauge.inc();
    }
    family
}

fn of_process(process: &Process) -> [Figure; 2] {
    let end = process.ca.not_after().duration_since(SystemTime::UNIX_EPOCH);
    [
        (
            "certificates_issued_total",
            "Certificates of workloads that were issued",
            process.ca.issued(),
        ),
        (
            "certificate_authority_end_seconds",
            "When the certificate authority ends (Unix time)",
            end.unwrap_or_default().as_secs(),
        ),
    ]
}

type Labels = [(&'static str, String); 3];

/// Also those that never decided anything: an absent series could not be told from a missing one.
fn by_rule(rules: &RuleReport) -> Family<Labels, Counter> {
    let family = Family::default();
    for row in rules.items.iter().filter(|row| row.counted) {
        let outcomes = [
            ("allowed", row.allowed),
            ("denied", row.denied),
            ("shadow_allowed", row.shadow_allowed),
            ("shadow_denied", row.shadow_denied),
        ];
        for (outcome, value) in outcomes {
            let labels = [
                ("namespace", row.namespace.clone()),
                ("rule", row.rule.clone()),
                ("outcome", outcome.to_owned()),
            ];
            let counter: &Counter = &family.get_or_create(&labels);
            counter.inc_by(value);
        }
    }
    family
}

type Figure = (&'static str, &'static str, u64);

fn gauges(view: &EngineView) -> [Figure; 7] {
    let connected = view.proxies.values().filter(|proxy| proxy.connected).count();
    let synced = view.proxies.values().filter(|proxy| proxy.synced()).count();
    let rejections = view.proxies.values().map(|proxy| proxy.rejections.len()).sum();
    [
        ("proxies_connected", "Proxies with a stream", wide(connected)),
        (
            "proxies_synced",
            "Proxies that acknowledged all that they were sent",
            wide(synced),
        ),
        ("rejections", "Resources that proxies refuse now", wide(rejections)),
        ("objects", "Objects that are served", wide(view.source.by_name.len())),
        (
            "broken_files",
            "Files that are not served as they are",
            wide(view.source.problems.len()),
        ),
        ("findings", "Findings about objects", wide(view.model.diagnostics.len())),
        ("revision", "The revision of the mesh", view.revision),
    ]
}

fn counters(view: &EngineView) -> [Figure; 8] {
    let counters = &view.counters;
    [
        ("builds_total", "Models built", counters.builds),
        ("snapshots_compiled_total", "Snapshots compiled", counters.snapshots),
        (
            "snapshots_published_total",
            "Snapshots that differed and were published",
            counters.published,
        ),
        ("resources_compiled_total", "Resources compiled", counters.compiled),
        ("resources_reused_total", "Resources taken from memory", counters.reused),
        ("resources_encoded_bytes_total", "Bytes encoded", counters.encoded),
        ("nacks_total", "Refusals by proxies", counters.nacks),
        (
            "compile_failures_total",
            "Compilations that failed by a defect of tulle",
            counters.failures,
        ),
    ]
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

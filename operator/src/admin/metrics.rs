//! The control plane's own figures in Prometheus' text format. Few and fixed, so there is no registry.

use crate::engine::EngineView;

/// All figures; `streams` are the xDS server's counters.
pub(super) fn text(view: &EngineView, streams: &[(&'static str, u64)]) -> String {
    let own = gauges(view).into_iter().chain(counters(view));
    let figures = own.chain(
        streams
            .iter()
            .map(|(name, value)| (*name, "What the xDS server did.", *value)),
    );
    figures.map(|(name, help, value)| figure(name, help, value)).collect()
}

type Figure = (&'static str, &'static str, u64);

fn figure(name: &str, help: &str, value: u64) -> String {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    format!("# HELP tulle_{name} {help}\n# TYPE tulle_{name} {kind}\ntulle_{name} {value}\n")
}

fn gauges(view: &EngineView) -> [Figure; 7] {
    let connected = view.proxies.values().filter(|proxy| proxy.connected).count();
    let synced = view.proxies.values().filter(|proxy| proxy.synced()).count();
    let rejections = view.proxies.values().map(|proxy| proxy.rejections.len()).sum();
    [
        ("proxies_connected", "Proxies with a stream.", wide(connected)),
        (
            "proxies_synced",
            "Proxies that acknowledged all that they were sent.",
            wide(synced),
        ),
        ("rejections", "Resources that proxies refuse now.", wide(rejections)),
        ("objects", "Objects that are served.", wide(view.source.by_name.len())),
        (
            "broken_files",
            "Files that are not served as they are.",
            wide(view.source.problems.len()),
        ),
        (
            "findings",
            "Findings about objects.",
            wide(view.model.diagnostics.len()),
        ),
        ("revision", "The revision of the mesh.", view.revision),
    ]
}

fn counters(view: &EngineView) -> [Figure; 8] {
    let counters = &view.counters;
    [
        ("builds_total", "Models built.", counters.builds),
        ("snapshots_compiled_total", "Snapshots compiled.", counters.snapshots),
        (
            "snapshots_published_total",
            "Snapshots that differed and were published.",
            counters.published,
        ),
        ("resources_compiled_total", "Resources compiled.", counters.compiled),
        (
            "resources_reused_total",
            "Resources taken from memory.",
            counters.reused,
        ),
        ("resources_encoded_bytes_total", "Bytes encoded.", counters.encoded),
        ("nacks_total", "Refusals by proxies.", counters.nacks),
        (
            "compile_failures_total",
            "Compilations that failed by a defect of tulle.",
            counters.failures,
        ),
    ]
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

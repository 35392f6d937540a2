//! The control plane's own figures in Prometheus' text format. Few and fixed, so there is no registry.

use crate::engine::EngineView;

/// All figures.
pub(super) fn text(view: &EngineView, streams: &[(&'static str, u64)]) -> String {
    let connected = view.proxies.values().filter(|proxy| proxy.connected).count();
    let synced = view.proxies.values().filter(|proxy| proxy.synced()).count();
    let rejections: usize = view.proxies.values().map(|proxy| proxy.rejections.len()).sum();
    let counters = &view.counters;
    let mut out = String::new();
    let mut figure = |name: &str, kind: &str, help: &str, value: u64| {
        let text = format!("# HELP tulle_{name} {help}\n# TYPE tulle_{name} {kind}\ntulle_{name} {value}\n");
        out.push_str(&text);
    };
    figure("proxies_connected", "gauge", "Proxies with a stream.", wide(connected));
    figure(
        "proxies_synced",
        "gauge",
        "Proxies that acknowledged all that they were sent.",
        wide(synced),
    );
    figure(
        "rejections",
        "gauge",
        "Resources that proxies refuse now.",
        wide(rejections),
    );
    figure(
        "objects",
        "gauge",
        "Objects that are served.",
        wide(view.source.by_name.len()),
    );
    figure(
        "broken_files",
        "gauge",
        "Files that are not served as they are.",
        wide(view.source.problems.len()),
    );
    figure(
        "findings",
        "gauge",
        "Findings about objects.",
        wide(view.model.diagnostics.len()),
    );
    figure("revision", "gauge", "The revision of the mesh.", view.revision);
    figure("builds_total", "counter", "Models built.", counters.builds);
    figure(
        "snapshots_compiled_total",
        "counter",
        "Snapshots compiled.",
        counters.snapshots,
    );
    figure(
        "snapshots_published_total",
        "counter",
        "Snapshots that differed and were published.",
        counters.published,
    );
    figure("nacks_total", "counter", "Refusals by proxies.", counters.nacks);
    figure(
        "compile_failures_total",
        "counter",
        "Compilations that failed by a defect of tulle.",
        counters.failures,
    );
    figure(
        "resources_compiled_total",
        "counter",
        "Resources compiled.",
        counters.compiled,
    );
    figure(
        "resources_reused_total",
        "counter",
        "Resources taken from memory.",
        counters.reused,
    );
    figure(
        "resources_encoded_bytes_total",
        "counter",
        "Bytes encoded.",
        counters.encoded,
    );
    for (name, value) in streams {
        figure(name, "counter", "What the xDS server did.", *value);
    }
    out
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

//! The statistics sink: what permission rules decided, to the control plane, and nothing else.
//!
//! Envoy counts each rule by name. The sink drops every other statistic and reports what was added since its last report, so a
//! proxy that decides nothing sends nothing at all (measured on 1.40: no request is made where every delta is 0). A report
//! that the control plane does not take is lost; Envoy does not try again.

use serde_json::{Value, json};

use super::REPORT_CLUSTER;

/// How often Envoy looks.
const FLUSH: &str = "5s";
/// Keeps one report below the size that the control plane reads.
const MOST_DATA_POINTS: u32 = 500;

/// The interval at which statistics are reported.
pub(super) fn interval() -> Value {
    FLUSH.into()
}

/// The sinks.
pub(super) fn sinks() -> Value {
    let sink = json!({
        "@type": "type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig",
        "grpc_service": {"envoy_grpc": {"cluster_name": REPORT_CLUSTER}, "timeout": "5s"},
        "report_counters_as_deltas": true,
        "report_histograms_as_deltas": true,
        "emit_tags_as_attributes": false,
        // Rule names are part of the full name.
        "use_tag_extracted_name": false,
        "max_data_points_per_request": MOST_DATA_POINTS,
        "custom_metric_conversions": {"matcher_list": {"matchers": [{
            "predicate": {"not_matcher": {"and_matcher": {"predicate": [
                name_is(&json!({"prefix": "http.inbound."})),
                name_is(&json!({"contains": config::names::RULE_STATISTICS})),
            ]}}},
            "on_match": {"action": {
                "name": "drop",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig.DropAction",
                },
            }},
        }]}},
    });
    json!([{"name": "envoy.stat_sinks.open_telemetry", "typed_config": sink}])
}

fn name_is(matcher: &Value) -> Value {
    json!({"single_predicate": {
        "input": {
            "name": "stat_full_name_match_input",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.stats.v3.StatFullNameMatchInput",
            },
        },
        "value_match": matcher,
    }})
}

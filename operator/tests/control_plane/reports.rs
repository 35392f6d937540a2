//! Reports of rule counters: who may send them, whose they are, and where they show.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tonic::{Code, Request, Status};
use tulle_operator::process::AdminClient;
use tulle_operator::rules::RuleReport;

use super::*;

const RULE: &str = "TrafficPermission/shop/payments/orders";

/// What a proxy sends that claims to be somebody else.
fn report(rule: &str, count: i64, temporality: AggregationTemporality) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(count)),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: vec![point],
        aggregation_temporality: temporality.into(),
        is_monotonic: true,
    };
    let metric = Metric {
        name: format!("http.inbound.8080.rbac.policy.{rule}.allowed"),
        data: Some(metric::Data::Sum(sum)),
        ..Metric::default()
    };
    let claim = KeyValue {
        key: "service.name".into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("shop/elsewhere".into())),
        }),
        ..KeyValue::default()
    };
    let resource = Resource {
        attributes: vec![claim],
        ..Resource::default()
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    }];
    let resource_metrics = vec![ResourceMetrics {
        resource: Some(resource),
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    ExportMetricsServiceRequest { resource_metrics }
}

async fn send(
    place: &Place,
    plane: &ControlPlane,
    token: &str,
    body: ExportMetricsServiceRequest,
) -> Result<(), Status> {
    let root = fs::read_to_string(place.state.join("ca/root.pem")).unwrap();
    let channel = client::channel(plane.xds_address(), &root).await;
    let mut request = Request::new(body);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    MetricsServiceClient::new(channel).export(request).await.map(drop)
}

async fn rules(plane: &ControlPlane) -> RuleReport {
    let body = AdminClient::new(plane.admin_socket()).get("/rules").await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_for_whoever_proved_to_send_it() {
    let (place, delta) = (Place::new(), AggregationTemporality::Delta);
    let plane = place.start().await.unwrap();
    let code = async |token: &str, body| send(&place, &plane, token, body).await.unwrap_err().code();
    assert_eq!(code("", report(RULE, 1, delta)).await, Code::Unauthenticated);
    assert_eq!(code("a.b.c", report(RULE, 1, delta)).await, Code::Unauthenticated);
    // A good token, but not where that workload lives.
    let stolen = place.token("elsewhere");
    assert_eq!(code(&stolen, report(RULE, 1, delta)).await, Code::PermissionDenied);
    assert_eq!(
        code(&place.token("nobody"), report(RULE, 1, delta)).await,
        Code::PermissionDenied
    );
    let (own, long) = (place.token("payments-1"), "x".repeat(600 << 10));
    assert_eq!(code(&own, report(&long, 1, delta)).await, Code::OutOfRange);
    let nothing = rules(&plane).await;
    assert!(
        nothing.items.iter().all(|row| row.matched() == 0) && nothing.unknown == 0,
        "{nothing:?}"
    );

    for body in [
        report(RULE, 5, delta),
        report(RULE, 3, delta),
        // Neither may be added: a sum that never ends, and less than nothing.
        report(RULE, 70, AggregationTemporality::Cumulative),
        report(RULE, -1, delta),
        report("TrafficPermission/shop/payments/made-up", 9, delta),
        ExportMetricsServiceRequest::default(),
    ] {
        send(&place, &plane, &own, body).await.unwrap();
    }
    let report = rules(&plane).await;
    let row = report.items.iter().find(|row| row.rule == RULE).unwrap();
    assert_eq!((row.allowed, row.denied, report.unknown), (8, 0, 1));
    assert_eq!((row.proxies.len(), &*row.proxies[0].proxy), (1, "shop/payments-1"));

    let text = AdminClient::new(plane.admin_socket()).get("/metrics").await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in [
        format!("tulle_rule_requests_total{{namespace=\"shop\",rule=\"{RULE}\",outcome=\"allowed\"}} 8"),
        format!("tulle_rule_requests_total{{namespace=\"shop\",rule=\"{RULE}\",outcome=\"denied\"}} 0"),
        "# TYPE tulle_proxies_connected gauge".to_owned(),
        "# TYPE tulle_builds counter".to_owned(),
        "tulle_xds_streams_accepted_total 0".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    plane.shutdown().await;
}

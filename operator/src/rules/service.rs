//! Where proxies report: OTLP's metrics service, on the xDS port, behind the same proof of identity.
//!
//! Who reports is decided by the token and the peer's address before a byte of the report is read. What the report says about
//! its sender is not looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use config::Model;
use config::model::Key;
use config::names::RuleCounter;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric, number_data_point};
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use xds::{Identity, Refusal};

use super::RuleTotals;

/// Our proxies send at most 500 counters at a time.
const MOST_BYTES: usize = 512 << 10;

/// Finds out who sends a request, from where it comes and its `authorization`.
pub(crate) type Who = Arc<dyn Fn(SocketAddr, Option<&str>) -> Result<Identity, Refusal> + Send + Sync>;
/// The newest model, once there is one.
pub(crate) type Newest = Arc<dyn Fn() -> Option<Arc<Model>> + Send + Sync>;

/// What the service needs.
#[derive(Clone)]
pub(crate) struct Reports {
    pub(crate) totals: RuleTotals,
    pub(crate) model: Newest,
}

type Interceptor = Arc<dyn Fn(Request<()>) -> Result<Request<()>, Status> + Send + Sync>;

/// The gRPC service.
pub(crate) fn service(
    reports: Reports,
    who: Who,
) -> InterceptedService<MetricsServiceServer<Reports>, impl tonic::service::Interceptor + Clone> {
    let server = MetricsServiceServer::new(reports).max_decoding_message_size(MOST_BYTES);
    let admit: Interceptor = Arc::new(move |request| admit(request, &who));
    InterceptedService::new(server, move |request| admit(request))
}

fn admit(mut request: Request<()>, who: &Who) -> Result<Request<()>, Status> {
    let Some(peer) = request.remote_addr() else {
        return Err(Status::internal("the connection does not say where it comes from"));
    };
    let header = request.metadata().get("authorization");
    let identity = who(peer, header.and_then(|value| value.to_str().ok())).map_err(|refusal| {
        tracing::info!(%peer, %refusal, "a report was refused");
        match refusal {
            Refusal::Unauthenticated(why) => Status::unauthenticated(why),
            Refusal::Denied(why) => Status::permission_denied(why),
            Refusal::Unavailable(why) => Status::unavailable(why),
        }
    })?;
    request.extensions_mut().insert(identity);
    Ok(request)
}

#[tonic::async_trait]
impl MetricsService for Reports {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let sender = request
            .extensions()
            .get::<Identity>()
            .map(|identity| identity.proxy.to_string());
        let sender = sender.ok_or_else(|| Status::unauthenticated("nobody proved who sends this"))?;
        let model = (self.model)().ok_or_else(|| Status::unavailable("the control plane is starting"))?;
        let Some((namespace, name)) = sender.split_once('/') else {
            return Err(Status::permission_denied("not a workload"));
        };
        let metrics = request.get_ref().resource_metrics.iter();
        let metrics = metrics.flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
        let counters = metrics.filter_map(|metric| Some((RuleCounter::parse(&metric.name)?, added(metric))));
        let proxy = Key::new(namespace, name);
        self.totals.record(&model, &proxy, counters, SystemTime::now());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// What a counter grew by. Sums since the start of a proxy, which ours do not send, would be counted again and again.
fn added(metric: &Metric) -> u64 {
    let Some(metric::Data::Sum(sum)) = &metric.data else {
        return 0;
    };
    if sum.aggregation_temporality != i32::from(AggregationTemporality::Delta) {
        return 0;
    }
    let points = sum.data_points.iter().filter_map(|point| match point.value? {
        number_data_point::Value::AsInt(value) => u64::try_from(value).ok(),
        number_data_point::Value::AsDouble(_) => None,
    });
    points.fold(0, u64::saturating_add)
}

//! Generates the xDS API from the protos that the `envoy-types` package ships.
//!
//! The package is a dependency for a target that does not exist: the lock file pins it and cargo fetches it, but it is never
//! compiled. Maps become `BTreeMap`, so that equal messages encode to equal bytes. Only the service that is used (ADS) is
//! generated, and its server answers with a message whose resources are already encoded (see `src/wire.rs`).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost_types::FileDescriptorSet;
use tonic_prost_build::manual;

/// What the compiler, the bootstrap and the sessions need; imports come along by themselves.
///
/// The first two must stay first: the resolver of package-relative names looks at all that was loaded before
/// (`common.ratelimit.v3` inside `envoy.extensions.filters.http.*`).
const FILES: &[&str] = &[
    "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto",
    "envoy/extensions/filters/http/ratelimit/v3/rate_limit.proto",
    "envoy/config/accesslog/v3/accesslog.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/core/v3/extension.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/metrics/v3/metrics_service.proto",
    "envoy/config/overload/v3/overload.proto",
    "envoy/config/rbac/v3/rbac.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/config/trace/v3/opentelemetry.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/grpc/v3/als.proto",
    "envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.proto",
    "envoy/extensions/filters/http/cors/v3/cors.proto",
    "envoy/extensions/filters/http/credential_injector/v3/credential_injector.proto",
    "envoy/extensions/filters/http/fault/v3/fault.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/health_check/v3/health_check.proto",
    "envoy/extensions/filters/http/lua/v3/lua.proto",
    "envoy/extensions/filters/http/rbac/v3/rbac.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.proto",
    "envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto",
    "envoy/extensions/filters/listener/original_dst/v3/original_dst.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.proto",
    "envoy/extensions/filters/network/rbac/v3/rbac.proto",
    "envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.proto",
    "envoy/extensions/filters/network/tcp_bandwidth_limit/v3/tcp_bandwidth_limit.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/http/injected_credentials/generic/v3/generic.proto",
    "envoy/extensions/http/stateful_session/cookie/v3/cookie.proto",
    "envoy/extensions/http/stateful_session/header/v3/header.proto",
    "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.proto",
    "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto",
    "envoy/extensions/load_balancing_policies/maglev/v3/maglev.proto",
    "envoy/extensions/load_balancing_policies/random/v3/random.proto",
    "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.proto",
    "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto",
    "envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto",
    "envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.proto",
    "envoy/extensions/matching/input_matchers/metadata/v3/metadata.proto",
    "envoy/extensions/matching/input_matchers/runtime_fraction/v3/runtime_fraction.proto",
    "envoy/extensions/rbac/principals/mtls_authenticated/v3/mtls_authenticated.proto",
    "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.proto",
    "envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler.proto",
    "envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler.proto",
    "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/accesslog/v3/als.proto",
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/metrics/v3/metrics_service.proto",
    "envoy/service/runtime/v3/rtds.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
    "envoy/type/matcher/v3/string.proto",
    "xds/type/matcher/v3/matcher.proto",
];

/// Folders of the package in which imports are looked up.
const INCLUDES: &[&str] = &[
    "data-plane-api",
    "xds",
    "protoc-gen-validate",
    "googleapis",
    "cel-spec/proto",
    "opentelemetry-proto",
    "client_model",
];

/// Packages that only define options of other protos; no message that is sent has one of their types.
const OPTIONS: &[&str] = &[
    "validate",
    "udpa.annotations",
    "xds.annotations.v3",
    "envoy.annotations",
    "google.api",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut config = prost_build::Config::new();
    config
        .btree_map(["."])
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .out_dir(&out)
        .include_file("xds_api.rs")
        .compile_fds(descriptors(&protos()?)?)?;
    if feature("SERVER") {
        generate_service(&out.join("server"), Side::Server)?;
    }
    if feature("CLIENT") {
        generate_service(&out.join("client"), Side::Client)?;
    }
    Ok(())
}

/// The needed files and what they import, without services, comments and option definitions.
fn descriptors(protos: &Path) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let includes: Vec<PathBuf> = INCLUDES.iter().map(|folder| protos.join(folder)).collect();
    let mut compiler = protox::Compiler::new(includes)?;
    // Comments would be a third of the generated text, and are not in our words.
    compiler.include_source_info(false).include_imports(true);
    compiler.open_files(FILES)?;
    let mut descriptors = compiler.file_descriptor_set();
    descriptors.file.retain(|file| !OPTIONS.contains(&file.package()));
    for file in &mut descriptors.file {
        file.service.clear();
    }
    Ok(descriptors)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Server,
    Client,
}

/// The ADS service, by hand since the two sides use different types for the same response.
fn generate_service(out: &Path, side: Side) -> Result<(), Box<dyn Error>> {
    const DISCOVERY: &str = "crate::proto::envoy::service::discovery::v3";
    std::fs::create_dir_all(out)?;
    let response = if side == Side::Server {
        "crate::wire::DeltaResponse".into()
    } else {
        format!("{DISCOVERY}::DeltaDiscoveryResponse")
    };
    let method = |name: &str, route: &str, input: String, output: String| {
        manual::Method::builder()
            .name(name)
            .route_name(route)
            .input_type(input)
            .output_type(output)
            .codec_path("tonic_prost::ProstCodec")
            .client_streaming()
            .server_streaming()
            .build()
    };
    let service = manual::Service::builder()
        .name("AggregatedDiscoveryService")
        .package("envoy.service.discovery.v3")
        .method(method(
            "stream_aggregated_resources",
            "StreamAggregatedResources",
            format!("{DISCOVERY}::DiscoveryRequest"),
            format!("{DISCOVERY}::DiscoveryResponse"),
        ))
        .method(method(
            "delta_aggregated_resources",
            "DeltaAggregatedResources",
            format!("{DISCOVERY}::DeltaDiscoveryRequest"),
            response,
        ))
        .build();
    manual::Builder::new()
        .build_server(side == Side::Server)
        .build_client(side == Side::Client)
        .build_transport(false)
        .out_dir(out)
        .compile(&[service]);
    Ok(())
}

fn feature(name: &str) -> bool {
    std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
}

/// The `proto` folder of the pinned package, as cargo knows it.
fn protos() -> Result<PathBuf, Box<dyn Error>> {
    // Offline first: the answer is nearly always on disk, and a build must not depend on the network then.
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[]))?;
    let packages = metadata
        .get("packages")
        .and_then(|list| list.as_array())
        .ok_or("cargo metadata lists no packages")?;
    let named = |package: &&serde_json::Value| package.get("name").is_some_and(|name| name == "envoy-types");
    let package = packages
        .iter()
        .find(named)
        .ok_or("envoy-types is not in Cargo.lock: run `cargo update -p tulle-xds`")?;
    let manifest = package
        .get("manifest_path")
        .and_then(|path| path.as_str())
        .ok_or("envoy-types has no manifest")?;
    Ok(Path::new(manifest)
        .parent()
        .ok_or("envoy-types has no folder")?
        .join("proto"))
}

fn metadata(extra: &[&str]) -> Result<serde_json::Value, Box<dyn Error>> {
    let manifest = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let output = Command::new(std::env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .args(extra)
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

//! One small world, and rows of questions and answers about it.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

pub(crate) use std::sync::Arc;

pub(crate) use super::common::{identity, key, mesh, model_of, permission};
pub(crate) use tulle_config::evaluator::{
    Answer, Caller, Decision, Destination, Difference, HttpRequest, Operation, Request, evaluate, nearest,
};
pub(crate) use tulle_config::model::{Model, SpiffeId};

pub(crate) const WORLD: &str = r"
{apiVersion: v1, kind: Service, metadata: {name: payments, namespace: shop}, spec: {clusterIP: 240.0.0.1, selector: {app: payments}, ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 90, targetPort: grpc}, {name: tcp-db, port: 5432, targetPort: db}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: payments, namespace: shop, labels: {app: payments}}, spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080, appProtocol: http}, {name: grpc, port: 9000, appProtocol: grpc}, {name: db, port: 5432, appProtocol: tcp}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: orders, namespace: shop}, spec: {address: 10.0.0.2, serviceAccount: orders}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: audit, namespace: shop-audit}, spec: {address: 10.0.0.3, serviceAccount: audit}}
";
pub(crate) const PERMISSIVE: &str = "mtls: {mode: Permissive}";
pub(crate) const ORDERS: &str = "sources: [{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]";
pub(crate) const ANYONE: &str = "sources: [{type: Authenticated}]";

/// A GET unless the text says another method; headers as `name: value`.
pub(crate) fn http(text: &str, headers: &[&str]) -> Operation {
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let split = |header: &&str| {
        let (name, value) = header.split_once(": ").unwrap();
        (name.into(), value.into())
    };
    Operation::Http(HttpRequest {
        method: method.into(),
        target: target.into(),
        authority: "payments".into(),
        headers: headers.iter().map(split).collect(),
    })
}

/// `shop/orders`, a URI, or `-` for nobody.
pub(crate) fn caller(text: &str) -> Caller {
    match text {
        "-" => Caller::Plaintext,
        uri if uri.starts_with("spiffe://") => Caller::Identity(SpiffeId::from_uri(uri)),
        account => Caller::Identity(identity(account)),
    }
}

pub(crate) fn ask(model: &Model, from: &str, port: u16, operation: Operation) -> Decision {
    let to = Destination::Workload {
        workload: key("shop/payments"),
        port,
    };
    let from = caller(from);
    evaluate(model, &Request { from, to, operation })
}

/// `allowed RULE`, `403 RULE`, `400` or `refused RULE`.
pub(crate) fn said(decision: &Decision) -> String {
    let verdict = &decision.arrivals[0].verdict;
    let answer = match verdict.answer {
        Answer::Allowed => "allowed",
        Answer::Forbidden => "403",
        Answer::Malformed(_) => "400",
        Answer::Refused => "refused",
    };
    let rule = verdict
        .rule
        .strip_prefix("TrafficPermission/shop/")
        .unwrap_or(&verdict.rule);
    format!("{answer} {rule}").trim_end().to_owned()
}

/// What is asked, `-` for a connection, and the expected answer.
pub(crate) type Row<'a> = (&'a str, u16, &'a str, &'a [&'a str], &'a str);

pub(crate) fn world(more: &[String]) -> Arc<Model> {
    model_of(&format!("{WORLD}{}", more.concat()))
}

pub(crate) fn rows(title: &str, more: &[String], rows: &[Row<'_>]) {
    let model = world(more);
    for (from, port, operation, headers, expected) in rows {
        let asked = match *operation {
            "-" => Operation::Connect,
            text => http(text, headers),
        };
        let found = said(&ask(&model, from, *port, asked));
        assert_eq!(found, *expected, "{title}: {from} {port} {operation} {headers:?}");
    }
}

pub(crate) fn allow(name: &str, rule: &str) -> String {
    permission(name, &format!("action: Allow, rules: [{{name: r, {rule}}}]"))
}

pub(crate) fn deny(name: &str, rule: &str) -> String {
    permission(name, &format!("action: Deny, rules: [{{name: r, {rule}}}]"))
}

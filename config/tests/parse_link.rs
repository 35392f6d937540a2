//! Parse and link on a small mesh: topology, and who may call whom.

mod common;

use std::time::Duration;

use common::*;
use crds::conditions::Reason;
use tulle_config::model::*;

#[test]
fn services_find_their_workloads() {
    let model = shop("");
    assert_eq!(model.diagnostics, []);
    let http = service_port(&model, "shop/payments", 80);
    assert_eq!(http.protocol, Protocol::Http);
    let endpoints: Vec<(String, u16)> = http.endpoints.iter().map(|e| (e.address.to_string(), e.port)).collect();
    assert_eq!(
        endpoints,
        [("10.0.0.1".to_owned(), 8000), ("10.0.0.2".to_owned(), 8001)]
    );
    assert_eq!(
        http.identities.iter().cloned().collect::<Vec<_>>(),
        [identity("shop/payments")]
    );
    assert_eq!(http.endpoints[0].workload, Some(key("shop/payments-1")));
    assert_eq!(service_port(&model, "shop/payments", 5432).protocol, Protocol::Tcp);
    let orders = &model.services[&key("shop/orders")];
    assert!(orders.addresses.is_empty());
    assert_eq!(orders.ports[&9000].protocol, Protocol::Grpc);
    // Ports behind Services exist on the workload, and speak what the Service says.
    assert_eq!(inbound(&model, "shop/payments-1", 8000).protocol, Protocol::Http);
    assert_eq!(&*inbound(&model, "shop/payments-1", 8000).name, "web");
    assert_eq!(inbound(&model, "shop/payments-1", 5432).protocol, Protocol::Tcp);
    assert_eq!(inbound(&model, "shop/orders-1", 9000).protocol, Protocol::Grpc);
    assert_eq!(inbound(&model, "shop/payments-1", 0).number, 0);
    assert_eq!(&*workload(&model, "shop/payments-1").group, "payments");
    assert_eq!(model.identities.len(), 3);
    assert_eq!(http.upstream.keepalive, Duration::from_secs(5));
    assert_eq!(http.routes, None);
}

#[test]
fn slices_add_endpoints_and_find_workloads_by_address() {
    let model = shop(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {name: p, namespace: shop, labels: {kubernetes.io/service-name: payments}}, \
         ports: [{name: tcp-db, port: 6000}], endpoints: [{addresses: [10.9.9.9]}, {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.0.0.4], conditions: {ready: false}}]}",
    );
    let db = service_port(&model, "shop/payments", 5432);
    let all: Vec<_> = db
        .endpoints
        .iter()
        .map(|e| (e.address.to_string(), e.port, e.workload.clone(), e.draining))
        .collect();
    assert_eq!(
        all,
        [
            ("10.0.0.1".to_owned(), 5432, Some(key("shop/payments-1")), false),
            ("10.0.0.2".to_owned(), 5432, Some(key("shop/payments-2")), false),
            ("10.0.0.3".to_owned(), 6000, Some(key("shop/orders-1")), true),
            ("10.9.9.9".to_owned(), 6000, None, false),
        ]
    );
    assert!(workload(&model, "shop/orders-1").ports.contains_key(&6000));
    // A slice of one namespace declares nothing in another.
    assert!(workload(&model, "other/stranger").ports.is_empty());
}

#[test]
fn protocols_are_stated_or_well_known_or_tcp() {
    let model = model_of(
        r"
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: ns}, spec: {clusterIP: 240.0.0.1, selector: {app: a}, ports: [
  {name: one, port: 80, targetPort: 7001}, {name: two, port: 81, targetPort: 7002}, {name: three, port: 82, targetPort: http}, {name: http-four, port: 83, targetPort: 7004, appProtocol: mysql}, {name: five, port: 84, targetPort: 7005, protocol: UDP}]}}
---
{apiVersion: mesh.tulle.dev/v1alpha1, kind: Workload, metadata: {name: a, namespace: ns, labels: {app: a}}, spec: {address: 10.0.0.1, ports: [{name: http, port: 7003}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b, namespace: ns}, spec: {clusterIP: 240.0.0.2, selector: {app: a}, ports: [{name: grpc, port: 90, targetPort: 7001}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: c, namespace: ns}, spec: {type: ExternalName, externalName: example.com}}
",
    );
    let protocols: Vec<_> = model.services[&key("ns/a")]
        .ports
        .values()
        .map(|port| port.protocol)
        .collect();
    assert_eq!(
        protocols,
        [Protocol::Http, Protocol::Tcp, Protocol::Http, Protocol::Tcp]
    );
    // Two Services disagree: the first by name counts, and the other hears of it.
    assert_eq!(inbound(&model, "ns/a", 7001).protocol, Protocol::Http);
    let expected = [
        ("spec.ports[4].protocol".to_owned(), Reason::NotSupportedYet),
        ("spec.ports[0].appProtocol".to_owned(), Reason::Conflicted),
        ("spec.type".to_owned(), Reason::NotSupportedYet),
    ];
    assert_eq!(found(&model), expected);
}

/// A port behind no Service is selected by no policy about Services.
#[test]
fn selection_is_per_port() {
    let allow = permission(
        "allow",
        &format!("targetRefs: [{{kind: Service, name: payments}}], action: Allow, rules: [{{{FROM_ORDERS}}}]"),
    );
    for (default, expected) in [("AllowUntilSelected", 3), ("Allow", 3), ("Deny", 0)] {
        let model = shop(&format!(
            "{allow}{}",
            mesh(&format!("permissions: {{defaultAction: {default}}}"))
        ));
        assert_eq!(allowed(&model, "shop/payments-1", 9999).len(), expected, "{default}");
    }
}

/// A Shadow permission makes a candidate that is what the same object makes when it is enforced; others make none.
fn candidate_is(model: &Model, enforced: Option<&Model>) {
    let of = |model: &Model| inbound(model, "shop/payments-1", 8000).permission.clone();
    let wanted = enforced.map(|model| (of(model).default.clone(), of(model).deny.len(), of(model).allow.len()));
    let candidate = of(model).candidate.clone();
    let candidate = candidate.map(|one| (one.default.clone(), one.deny.len(), one.allow.len()));
    assert_eq!(candidate, wanted);
}

/// Name, policies, who gets in by each default, whether plaintext does.
type Row<'a> = (&'a str, &'a str, [&'a [&'a str]; 3], [bool; 3]);

#[test]
fn the_table_of_defaults() {
    let allow = permission(
        "allow",
        &format!("targetRefs: [{{kind: Service, name: payments}}], action: Allow, rules: [{{{FROM_ORDERS}}}]"),
    );
    let deny = permission(
        "deny",
        "targetRefs: [{kind: Service, name: payments}], action: Deny, rules: [{sources: [{type: Namespace, namespace: {name: other}}]}]",
    );
    let shadow = permission(
        "shadow",
        &format!(
            "targetRefs: [{{kind: Service, name: payments}}], action: Allow, mode: Shadow, rules: [{{{FROM_ORDERS}}}]"
        ),
    );
    let failed = permission(
        "failed",
        "targetRefs: [{kind: Service, name: payments}], action: Allow, rules: [{sources: [{type: Authenticated, nobody: knows}]}]",
    );
    let both = format!("{allow}{deny}");
    let everyone = ["other/default", "shop/orders", "shop/payments"];
    let not_other = ["shop/orders", "shop/payments"];
    let (orders, nobody): ([&str; 1], [&str; 0]) = (["shop/orders"], []);
    // Policies; who gets in by AllowUntilSelected, Allow, Deny; whether plaintext gets in on a Permissive port.
    let rows: [Row<'_>; 6] = [
        ("none", "", [&everyone, &everyone, &nobody], [true, true, false]),
        ("Allow", &allow, [&orders, &everyone, &orders], [false, false, false]),
        ("Deny", &deny, [&not_other, &not_other, &nobody], [true, true, false]),
        ("both", &both, [&orders, &not_other, &orders], [false, false, false]),
        ("Shadow", &shadow, [&everyone, &everyone, &nobody], [true, true, false]),
        ("failed", &failed, [&nobody, &everyone, &nobody], [false, false, false]),
    ];
    for (name, policies, who, plaintext) in rows {
        for (column, default) in ["AllowUntilSelected", "Allow", "Deny"].into_iter().enumerate() {
            let strict = shop(&format!(
                "{policies}{}",
                mesh(&format!("permissions: {{defaultAction: {default}}}"))
            ));
            assert_eq!(
                allowed(&strict, "shop/payments-1", 8000),
                who[column],
                "{name} {default}"
            );
            assert!(
                !inbound(&strict, "shop/payments-1", 8000)
                    .permission
                    .default
                    .allow_plaintext,
                "{name} {default}"
            );
            let settings = mesh(&format!(
                "mtls: {{mode: Permissive}}, permissions: {{defaultAction: {default}}}"
            ));
            let permissive = shop(&format!("{policies}{settings}"));
            let verdict = &inbound(&permissive, "shop/payments-1", 8000).permission.default;
            assert_eq!(verdict.allow_plaintext, plaintext[column], "{name} {default}");
            let enforced = (name == "Shadow").then(|| shop(&format!("{allow}{settings}")));
            candidate_is(&permissive, enforced.as_deref());
            named(verdict);
        }
    }
}

fn named(verdict: &DefaultVerdict) {
    let word = if verdict.allow_mesh { "Allow" } else { "Deny" };
    assert_eq!(&*verdict.name, format!("default/{word}/web"));
}

#[test]
fn sections_and_ports() {
    let model = shop(&permission(
        "p",
        &format!(
            "targetRefs: [{{kind: Service, name: payments, sectionName: http}}], action: Allow, rules: [{{name: r, {FROM_ORDERS}}}]"
        ),
    ));
    assert_eq!(allowed(&model, "shop/payments-1", 8000), ["shop/orders"]);
    assert_eq!(allowed(&model, "shop/payments-1", 5432).len(), 3);
    let report = &model.reports.values().next().unwrap();
    assert_eq!(report.targets[0].text, "Service payments, port http");
    assert_eq!(report.targets[0].ports.len(), 2);
    assert_eq!(report.rules_in_force, ["r".into()]);

    // `ports` narrows the rule, never the selection.
    let model = shop(&permission(
        "p",
        &format!(
            "targetRefs: [{{kind: Service, name: payments}}], action: Allow, rules: [{{{FROM_ORDERS}, ports: [http]}}]"
        ),
    ));
    assert_eq!(allowed(&model, "shop/payments-1", 8000), ["shop/orders"]);
    assert!(allowed(&model, "shop/payments-1", 5432).is_empty());

    // An unresolved section takes from the whole Service and gives nothing.
    let unresolved = "targetRefs: [{kind: Service, name: payments, sectionName: htpp}]";
    let model = shop(&permission(
        "p",
        &format!("{unresolved}, action: Allow, rules: [{{{FROM_ORDERS}}}]"),
    ));
    assert!(allowed(&model, "shop/payments-1", 8000).is_empty() && allowed(&model, "shop/payments-1", 5432).is_empty());
    assert_eq!(
        found(&model),
        [("spec.targetRefs[0].sectionName".to_owned(), Reason::TargetNotFound)]
    );
    let model = shop(&permission(
        "p",
        &format!("{unresolved}, action: Deny, rules: [{{{FROM_ORDERS}}}]"),
    ));
    assert_eq!(
        allowed(&model, "shop/payments-1", 8000),
        ["other/default", "shop/payments"]
    );
    assert_eq!(
        allowed(&model, "shop/payments-1", 5432),
        ["other/default", "shop/payments"]
    );
}

#[test]
fn ports_of_a_workload() {
    // Ports of a Workload by name and number; a number that nobody declared is denied with all undeclared ports.
    let deny = |ports: &str| {
        shop(&permission(
            "p",
            &format!("targetRefs: [{{kind: Workload, name: payments-1}}], action: Deny, rules: [{{ports: [{ports}]}}]"),
        ))
    };
    let open = |model: &Model, port: u16| !allowed(model, "shop/payments-1", port).is_empty();
    let named = deny("web");
    assert_eq!(
        [
            open(&named, 8000),
            open(&named, 9999),
            open(&named, 5432),
            open(&named, 0)
        ],
        [false, true, true, true]
    );
    let number = deny("\"9999\"");
    assert_eq!(
        [open(&number, 8000), open(&number, 9999), open(&number, 0)],
        [true, false, true]
    );
    let undeclared = deny("\"12345\"");
    assert_eq!([open(&undeclared, 8000), open(&undeclared, 0)], [true, false]);
    // A name that the one target lacks: the Deny denies on all of it.
    let unknown = deny("wbe");
    assert_eq!(
        [open(&unknown, 8000), open(&unknown, 9999), open(&unknown, 0)],
        [false, false, false]
    );
    assert_eq!(
        found(&unknown),
        [("spec.rules[0].ports".to_owned(), Reason::TargetNotFound)]
    );
}

#[test]
fn requests_on_ports_without_requests() {
    let http = "http: [{method: GET}]";
    // The target has both kinds of port: the rule concerns the one, status lists the other.
    let model = shop(&permission(
        "p",
        &format!("targetRefs: [{{kind: Service, name: payments}}], action: Deny, rules: [{{name: r, {http}}}]"),
    ));
    assert_eq!(model.diagnostics, []);
    let (deny, _) = rules(&inbound(&model, "shop/payments-1", 8000).permission);
    assert_eq!(deny, ["TrafficPermission/shop/p/r"]);
    assert!(inbound(&model, "shop/payments-1", 5432).permission.deny.is_empty());
    let report = model.reports.values().next().unwrap();
    assert_eq!(report.targets[0].not_concerned.len(), 2);

    // Named explicitly it is a mistake: an Allow grants nothing, a Deny denies whatever is sent.
    for (action, expected) in [("Allow", vec![]), ("Deny", vec!["other/default", "shop/payments"])] {
        for (section, ports) in [(", sectionName: tcp-db", ""), ("", ", ports: [tcp-db]")] {
            let spec = format!(
                "targetRefs: [{{kind: Service, name: payments{section}}}], action: {action}, rules: [{{name: r, {FROM_ORDERS}, {http}{ports}}}]"
            );
            let model = shop(&permission("p", &spec));
            assert_eq!(
                allowed(&model, "shop/payments-1", 5432),
                expected,
                "{action}{section}{ports}"
            );
            assert!(found(&model).contains(&("spec.rules[0].http".to_owned(), Reason::ProtocolMismatch)));
            assert_eq!(model.reports.values().next().unwrap().rules_failed, ["r".into()]);
        }
    }
}

#[test]
fn namespaces_and_the_mesh() {
    let deny_all = "action: Deny, rules: [{}]";
    let in_namespace = |namespace: &str, target: &str| {
        let text = permission("p", &format!("targetRefs: [{target}], {deny_all}"))
            .replace("namespace: shop", &format!("namespace: {namespace}"));
        shop(&text)
    };
    let open = |model: &Model| ["shop/payments-1", "other/stranger"].map(|name| !allowed(model, name, 0).is_empty());
    assert_eq!(open(&in_namespace("tulle-system", "{kind: Mesh}")), [false, false]);
    assert_eq!(
        open(&in_namespace("tulle-system", "{kind: Namespace, name: other}")),
        [true, false]
    );
    assert_eq!(
        open(&in_namespace(
            "tulle-system",
            "{kind: Workload, selector: {matchLabels: {app: payments}}}"
        )),
        [true, true]
    );
    assert_eq!(
        open(&in_namespace("shop", "{kind: Namespace, name: shop}")),
        [false, true]
    );
    // Refused: reaches nothing. Too far: reaches what it may.
    let refused = in_namespace("shop", "{kind: Namespace, name: other}");
    assert_eq!(open(&refused), [true, true]);
    assert_eq!(
        found(&refused),
        [("spec.targetRefs[0].name".to_owned(), Reason::NotPermitted)]
    );
    let too_far = in_namespace("shop", "{kind: Mesh}");
    assert_eq!(open(&too_far), [false, true]);
    assert_eq!(
        found(&too_far),
        [("spec.targetRefs[0].kind".to_owned(), Reason::NotPermitted)]
    );
    // Absent: the namespace. Labels: the namespace's.
    assert_eq!(open(&shop(&permission("p", deny_all))), [false, true]);
    assert_eq!(
        open(&in_namespace(
            "shop",
            "{kind: Workload, selector: {matchLabels: {app: payments}}}"
        )),
        [false, true]
    );
    // Of several targets the good ones work.
    let some = in_namespace(
        "shop",
        "{kind: Service, name: nothing}, {kind: Workload, name: payments-1}",
    );
    assert_eq!(open(&some), [false, true]);
    let resolved: Vec<bool> = some
        .reports
        .values()
        .next()
        .unwrap()
        .targets
        .iter()
        .map(|target| target.resolved)
        .collect();
    assert_eq!(resolved, [false, true]);
}

#[test]
fn sources() {
    let rule = |source: &str| {
        let model = shop(&permission(
            "p",
            &format!("action: Allow, rules: [{{sources: [{source}]}}]"),
        ));
        allowed(&model, "shop/payments-1", 8000).join(" ")
    };
    assert_eq!(rule(""), "");
    assert_eq!(rule("{type: Authenticated}"), "other/default shop/orders shop/payments");
    assert_eq!(
        rule("{type: Namespace, namespace: {name: shop}}"),
        "shop/orders shop/payments"
    );
    assert_eq!(rule("{type: Namespace, namespace: {name: sho}}"), "");
    assert_eq!(
        rule("{type: SPIFFE, spiffe: {match: Exact, value: 'spiffe://tulle.local/ns/shop/sa/orders'}}"),
        "shop/orders"
    );
    assert_eq!(
        rule("{type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns/shop/sa/orders'}}"),
        "shop/orders"
    );
    assert_eq!(
        rule("{type: SPIFFE, spiffe: {match: PathPrefix, value: 'spiffe://tulle.local/ns/other/'}}"),
        "other/default"
    );
    assert_eq!(
        rule("{type: SPIFFE, spiffe: {match: TrustDomain, value: tulle.local}}"),
        "other/default shop/orders shop/payments"
    );
    assert_eq!(rule("{type: SPIFFE, spiffe: {match: TrustDomain, value: tulle}}"), "");
    assert_eq!(rule("{type: Unauthenticated}"), "");
}

#[test]
fn mtls_overrides() {
    let model = shop(&mesh(
        "mtls: {mode: Strict, overrides: [{namespace: shop, port: 8000, mode: Strict}, {namespace: shop, selector: {matchLabels: {app: payments}}, mode: Permissive}, {port: 9000, mode: Permissive}]}",
    ));
    let mode = |name: &str, port: u16| inbound(&model, name, port).mtls;
    assert_eq!(mode("shop/payments-1", 8000), MtlsMode::Strict);
    assert_eq!(mode("shop/payments-2", 8001), MtlsMode::Permissive);
    assert_eq!(mode("shop/payments-1", 0), MtlsMode::Permissive);
    assert_eq!(mode("shop/orders-1", 9000), MtlsMode::Permissive);
    assert_eq!(mode("shop/orders-1", 0), MtlsMode::Strict);
    assert_eq!(mode("other/stranger", 0), MtlsMode::Strict);

    // A port that nobody declared is one of the undeclared ports, which are Strict together; elsewhere it is declared.
    let model = shop(&mesh(
        "mtls: {mode: Permissive, overrides: [{namespace: shop, port: 9000, mode: Strict}]}",
    ));
    let mode = |name: &str, port: u16| inbound(&model, name, port).mtls;
    assert_eq!(mode("shop/payments-1", 0), MtlsMode::Strict);
    assert_eq!(mode("shop/payments-1", 8000), MtlsMode::Permissive);
    assert_eq!(mode("shop/orders-1", 9000), MtlsMode::Strict);
    assert_eq!(mode("shop/orders-1", 0), MtlsMode::Permissive);
    assert_eq!(mode("other/stranger", 0), MtlsMode::Permissive);
}

#[test]
fn path_parameters_are_refused_where_an_enforced_rule_looks_at_the_path() {
    let refused = |more: &str| inbound(&shop(more), "shop/payments-1", 8000).refuse_path_parameters;
    let with = |http: &str| permission("p", &format!("action: Deny, rules: [{{http: [{http}]}}]"));
    assert!(!refused(""));
    assert!(!refused(&with("{method: GET}")));
    assert!(!refused(&with("{path: {value: /}}")));
    assert!(refused(&with("{path: {value: /admin}}")));
    assert!(!refused(&format!(
        "{}{}",
        with("{path: {value: /admin}}"),
        mesh("normalization: {allowPathParameters: true}")
    )));
    let limit = |mode: &str| {
        format!(
            "\n---\n{{apiVersion: mesh.tulle.dev/v1alpha1, kind: RateLimit, metadata: {{name: l, namespace: shop}}, spec: {{mode: {mode}, limits: [{{name: a, match: {{http: [{{path: {{value: /x}}}}]}}, rate: {{requests: 1, unit: Second}}}}]}}}}"
        )
    };
    assert!(refused(&limit("Enforce")));
    assert!(!refused(&limit("Shadow")));
}

#[test]
fn a_pod_is_an_endpoint_only_where_a_slice_says_so() {
    let pod = |uid: &str| {
        format!(
            "\n---\nkind: Workload\nmetadata: {{name: pod, namespace: shop, labels: {{app: pods}}{uid}}}\nspec: {{address: 10.9.9.9, serviceAccount: pod, ports: [{{port: 8080}}]}}"
        )
    };
    let service = "\n---\nkind: Service\nmetadata: {name: pods, namespace: shop}\nspec: {clusterIP: 240.9.9.9, selector: {app: pods}, ports: [{port: 80, targetPort: 8080}]}";
    let slice = "\n---\nkind: EndpointSlice\nmetadata: {name: pods-x, namespace: shop, labels: {kubernetes.io/service-name: pods}}\naddressType: IPv4\nports: [{name: '', port: 8080}]\nendpoints: [{addresses: [10.9.9.9], conditions: {ready: true}}]";
    let annotated = pod(", annotations: {mesh.tulle.dev/pod: uid-1}");
    let endpoints = |yaml: &str| {
        let model = model_of(yaml);
        let named = |endpoint: &tulle_config::model::Endpoint| endpoint.workload.clone().map(|key| key.to_string());
        let found: Vec<_> = service_port(&model, "shop/pods", 80)
            .endpoints
            .iter()
            .map(named)
            .collect();
        // Ready or not, it is behind the Service: policies on the Service concern it.
        assert!(model.workloads[&key("shop/pod")].ports.contains_key(&8080));
        found
    };
    let itself = [Some("shop/pod".to_owned())];
    assert_eq!(
        endpoints(&(pod("") + service)),
        itself,
        "a process is called as soon as it is selected"
    );
    assert!(endpoints(&(annotated.clone() + service)).is_empty());
    assert_eq!(endpoints(&(annotated + service + slice)), itself);
}

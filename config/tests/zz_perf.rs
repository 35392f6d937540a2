//! temp
mod common;
use common::*;
#[test]
fn perf() {
    let mut y = String::new();
    for i in 0..1000 {
        y += &format!(
            "\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: s{i}, namespace: shop}}, spec: {{clusterIP: 10.{}.{}.1, selector: {{app: s{i}}}, ports: [{{name: http, port: 80, targetPort: 8000}}]}}}}",
            i / 250,
            i % 250
        );
        for r in 0..3 {
            y += &format!(
                "\n---\n{{kind: Workload, metadata: {{name: w{i}-{r}, namespace: shop, labels: {{app: s{i}}}}}, spec: {{address: 10.{}.{}.{}, serviceAccount: s{i}}}}}",
                i / 250,
                i % 250,
                r + 10
            );
        }
        y += &permission(
            &format!("p{i}"),
            &format!(
                "targetRefs: [{{kind: Service, name: s{i}}}], action: Allow, rules: [{{{FROM_ORDERS}, http: [{{path: {{value: /a}}}}]}}]"
            ),
        );
        if i < 50 {
            y += &permission(
                &format!("d{i}"),
                "action: Deny, rules: [{sources: [{type: Namespace, namespace: {name: bad}}]}]",
            );
            y += &permission(
                &format!("e{i}"),
                "targetRefs: [{kind: Workload, selector: {matchLabels: {app: s1}}}], action: Deny, rules: [{sources: [{type: Namespace, namespace: {name: bad}}]}]",
            );
        }
        y += &object(
            "TrafficRoute",
            &format!("r{i}"),
            &format!("parentRefs: [{{name: s{i}}}], rules: [{{backendRefs: [{{name: s{i}, port: 80}}]}}]"),
        );
    }
    let mut o = objects("");
    for d in y.split("\n---\n").filter(|d| !d.trim().is_empty()) {
        add(&mut o, d);
    }
    for _ in 0..2 {
        let t = std::time::Instant::now();
        let m = model(&o);
        eprintln!("{:?} {} {}", t.elapsed(), m.workloads.len(), m.diagnostics.len());
    }
}

//! What the chart lets the operator do, and how its pods are confined. Each list is complete: what is new must be added here,
//! with a thought.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests too"
)]

use serde_json::{Value, json};
use tulle_e2e::install::Renderer;

/// Role, API group, resources, names (if they are limited), verbs.
const ALLOWED: &[&str] = &[
    "ClusterRole tulle | / | namespaces pods services | * | list watch",
    "ClusterRole tulle | discovery.k8s.io/ | endpointslices | * | list watch",
    "ClusterRole tulle | mesh.tulle.dev/ | faultinjections meshes ratelimits trafficpermissions trafficroutes workloads | * | list watch",
    "ClusterRole tulle | mesh.tulle.dev/ | faultinjections/status meshes/status meshstatuses/status ratelimits/status \
     trafficpermissions/status trafficroutes/status | * | patch",
    "ClusterRole tulle | mesh.tulle.dev/ | meshstatuses | * | create delete list patch watch",
    "ClusterRole tulle | / | configmaps | * | create",
    "ClusterRole tulle | / | configmaps | tulle-ca | delete list patch watch",
    "ClusterRole tulle | admissionregistration.k8s.io/ | mutatingwebhookconfigurations validatingwebhookconfigurations | tulle | \
     list patch watch",
    "ClusterRole tulle | urls | /.well-known/openid-configuration /openid/v1/jwks | * | get",
    "Role tulle-system/tulle | / | secrets | * | create",
    "Role tulle-system/tulle | / | secrets | tulle-ca | get",
    "Role tulle-system/tulle | coordination.k8s.io/ | leases | * | create",
    "Role tulle-system/tulle | coordination.k8s.io/ | leases | tulle | get update",
];

fn objects() -> Option<Vec<Value>> {
    Some(Renderer::find().unwrap()?.objects(&[]).unwrap())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A rule in one line, as in the list.
fn line(role: &Value, rule: &Value) -> String {
    let meta = &role["metadata"];
    let namespace = meta["namespace"]
        .as_str()
        .map_or_else(String::new, |name| format!("{name}/"));
    let (groups, urls) = (words(&rule["apiGroups"]), words(&rule["nonResourceURLs"]));
    let (place, what) = if urls.is_empty() {
        (
            groups.iter().map(|group| format!("{group}/")).collect(),
            words(&rule["resources"]),
        )
    } else {
        (vec!["urls".to_owned()], urls)
    };
    let names = words(&rule["resourceNames"]);
    let names = if names.is_empty() {
        "*".to_owned()
    } else {
        names.join(" ")
    };
    format!(
        "{} {namespace}{} | {} | {} | {names} | {}",
        role["kind"].as_str().unwrap(),
        meta["name"].as_str().unwrap(),
        place.join(" "),
        what.join(" "),
        words(&rule["verbs"]).join(" ")
    )
}

#[test]
fn rights_are_exactly_those_of_the_list() {
    let Some(objects) = objects() else { return };
    let roles = [of_kind(&objects, "ClusterRole"), of_kind(&objects, "Role")].concat();
    let rules = |role: &&Value| -> Vec<String> {
        let rules = role["rules"].as_array().unwrap();
        rules.iter().map(|rule| line(role, rule)).collect()
    };
    let mut there: Vec<String> = roles.iter().flat_map(rules).collect();
    let mut allowed: Vec<&str> = ALLOWED.to_vec();
    there.sort();
    allowed.sort_unstable();
    assert_eq!(there, allowed);
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        let [binding] = *of_kind(&objects, kind) else {
            panic!("one {kind}");
        };
        assert_eq!(binding["roleRef"]["kind"], kind.trim_end_matches("Binding"));
        assert_eq!(binding["roleRef"]["name"], "tulle");
        let account = json!([{"kind": "ServiceAccount", "name": "tulle", "namespace": "tulle-system"}]);
        assert_eq!(binding["subjects"], account);
    }
}

/// What no list of rights may ever hold, whoever edits it.
#[test]
fn no_right_is_a_wildcard_or_reaches_secrets_of_the_cluster() {
    let Some(objects) = objects() else { return };
    let mut rules = 0;
    for role in objects.iter().filter(|object| object.get("rules").is_some()) {
        for rule in role["rules"].as_array().unwrap() {
            rules += 1;
            let (resources, verbs) = (words(&rule["resources"]), words(&rule["verbs"]));
            for field in ["apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs"] {
                assert!(words(&rule[field]).iter().all(|word| !word.contains('*')), "{rule}");
            }
            for verb in ["bind", "escalate", "impersonate", "deletecollection"] {
                assert!(!verbs.contains(&verb.to_owned()), "{rule}");
            }
            assert!(
                resources
                    .iter()
                    .all(|resource| !resource.starts_with("serviceaccounts")),
                "{rule}"
            );
            if resources.contains(&"secrets".to_owned()) {
                assert_eq!(role["kind"], "Role");
                let named = rule["resourceNames"] == json!(["tulle-ca"]);
                assert!(named || verbs == ["create"], "{rule}");
            }
        }
    }
    assert_eq!(rules, ALLOWED.len());
}

/// The pods of the chart, the test's included, with their containers.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let deployment = of_kind(objects, "Deployment")
        .into_iter()
        .map(|object| &object["spec"]["template"]["spec"]);
    deployment
        .chain(of_kind(objects, "Pod").into_iter().map(|object| &object["spec"]))
        .collect()
}

#[test]
fn pods_meet_the_restricted_level_and_more() {
    let Some(objects) = objects() else { return };
    let pods = pods(&objects);
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["runAsUser"], 65532);
        assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}));
        for field in [
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "hostUsers",
            "initContainers",
            "ephemeralContainers",
        ] {
            assert_eq!(pod.get(field), None, "{field}");
        }
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            assert_eq!(volume["emptyDir"], json!({}), "{volume}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let wanted = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], wanted);
            let ports = container["ports"].as_array().into_iter().flatten();
            assert!(ports.clone().all(|port| port.get("hostPort").is_none()));
        }
    }
    let account = of_kind(&objects, "ServiceAccount");
    assert_eq!(account[0]["automountServiceAccountToken"], false);
    assert_eq!(
        of_kind(&objects, "Pod")[0]["spec"]["automountServiceAccountToken"],
        false
    );
}

#[test]
fn webhooks_concern_what_they_must_and_hold_no_certificate() {
    let Some(objects) = objects() else { return };
    let service = |path| json!({"name": "tulle", "namespace": "tulle-system", "path": path, "port": 443});
    let mutating = of_kind(&objects, "MutatingWebhookConfiguration")[0];
    let [injection] = mutating["webhooks"].as_array().unwrap().as_slice() else {
        panic!("one webhook: {mutating}");
    };
    // No caBundle beside it: the operator owns that field.
    assert_eq!(injection["clientConfig"], json!({"service": service("/mutate")}));
    assert_eq!(injection["failurePolicy"], "Fail");
    assert_eq!(injection["reinvocationPolicy"], "IfNeeded");
    assert_eq!(
        injection["namespaceSelector"],
        json!({"matchExpressions": [
            {"key": "mesh.tulle.dev/inject", "operator": "In", "values": ["true"]},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "tulle-system"]},
        ]})
    );
    assert_eq!(
        injection["objectSelector"],
        json!({"matchExpressions": [{"key": "mesh.tulle.dev/inject", "operator": "NotIn", "values": ["false"]}]})
    );
    assert_eq!(
        injection["rules"],
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}])
    );
    let validating = of_kind(&objects, "ValidatingWebhookConfiguration")[0];
    let [advice] = validating["webhooks"].as_array().unwrap().as_slice() else {
        panic!("one webhook: {validating}");
    };
    assert_eq!(advice["clientConfig"], json!({"service": service("/validate")}));
    assert_eq!(advice["failurePolicy"], "Ignore");
    let mut kinds: Vec<String> = crds::all().into_iter().map(|kind| kind.spec.names.plural).collect();
    // Only the operator writes these.
    kinds.retain(|kind| kind != "meshstatuses");
    kinds.sort();
    assert_eq!(words(&advice["rules"][0]["resources"]), kinds);
    assert_eq!(words(&advice["rules"][0]["apiGroups"]), ["mesh.tulle.dev"]);
    for webhook in [injection, advice] {
        assert_eq!(webhook["sideEffects"], "None");
        assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 5);
    }
}

#[test]
fn the_network_is_closed_but_for_what_is_served_and_asked() {
    let Some(objects) = objects() else { return };
    let policy = &of_kind(&objects, "NetworkPolicy")[0]["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let ports = |side: &str| -> Vec<(bool, Vec<String>)> {
        let peer = if side == "ingress" { "from" } else { "to" };
        let rules = policy[side].as_array().unwrap();
        let port = |port: &Value| port["port"].to_string().replace('"', "");
        let row = |rule: &Value| {
            let list = rule["ports"].as_array().unwrap().iter().map(port).collect();
            (rule.get(peer).is_some(), list)
        };
        rules.iter().map(row).collect()
    };
    let list = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    assert_eq!(
        ports("ingress"),
        [(false, list("xds webhook http-metrics")), (true, list("status"))]
    );
    assert_eq!(
        ports("egress"),
        [
            (true, list("15013")),
            (false, list("53 53")),
            (false, list("443 6443 8443"))
        ]
    );
}

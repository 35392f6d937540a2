//! Ways to break what users write: files that do not parse, and objects that parse and are wrong inside.
//!
//! Each case has a file with two permissions on two ports of the Service `guarded`: an Allow and a Deny. Tests of standalone and
//! of Kubernetes break them in the same ways.

use std::fmt::Write;

use super::yaml::{NAMESPACE, account, object, workload_with};

/// A way to break a file: its name, and what it makes of the good text.
pub type Breakage = (&'static str, fn(&str) -> Vec<u8>);

/// Breaks nothing where there is nothing to break; a test then misses the case.
fn replaced(text: &str, from: &str, to: &str) -> Vec<u8> {
    text.replace(from, to).into_bytes()
}

/// Files that do not parse, or not as objects.
pub const FILES: &[Breakage] = &[
    ("unclosed bracket", |text| replaced(text, "rules:", "rules: [")),
    ("tab as indentation", |text| replaced(text, "  action:", "\taction:")),
    ("empty", |_| Vec::new()),
    ("only a comment", |_| b"# nothing here yet\n".to_vec()),
    ("huge", |text| {
        [text.as_bytes(), "# filler\n".repeat(200_000).as_bytes()].concat()
    }),
    ("invalid UTF-8", |text| [text.as_bytes(), b"# \xff\xfe\n"].concat()),
    ("NUL byte", |text| [text.as_bytes(), b"\0\n"].concat()),
    ("half written", |text| text.bytes().take(text.len() * 2 / 3).collect()),
    ("repeated key", |text| {
        replaced(text, "  action:", "  action: Allow\n  action:")
    }),
    ("unknown apiVersion", |text| {
        replaced(text, "mesh.tulle.dev/v1alpha1", "mesh.tulle.dev/v9")
    }),
    ("unknown kind", |text| {
        replaced(text, "kind: TrafficPermission", "kind: TraficPermission")
    }),
    ("no name", |text| replaced(text, "name: case-", "label: case-")),
    ("a name that is none", |text| {
        replaced(text, "name: case-", "name: Case_")
    }),
    ("no spec", |text| replaced(text, "spec:", "spek:")),
    ("rules of the wrong type", |text| {
        replaced(text, "rules:", "rules: all\n  more:")
    }),
    ("an action that does not exist", |text| {
        text.replace("action: Allow", "action: Permit")
            .replace("action: Deny", "action: Refuse")
            .into_bytes()
    }),
    ("the same object twice", |text| [text, text].concat().into_bytes()),
    ("nested too deeply", |text| {
        [text, "x: ", &"[".repeat(100_000)].concat().into_bytes()
    }),
    ("aliases that multiply", |text| [text, &bomb()].concat().into_bytes()),
    ("a source of the wrong type", |text| {
        replaced(text, "sources:", "sources: everyone\n    was:")
    }),
];

/// Objects that parse and are wrong inside.
pub const OBJECTS: &[Breakage] = &[
    ("unknown field in a rule", |text| replaced(text, "http:", "htpp:")),
    ("unknown field in a source", |text| {
        replaced(text, "serviceAccount: {", "serviceAccount: {cluster: other, ")
    }),
    ("unknown field in a target", |text| {
        replaced(text, "targetRefs: [{", "targetRefs: [{port: 1, ")
    }),
    ("unknown field in a match", |text| {
        replaced(text, "method: GET", "methods: [GET]")
    }),
    ("a port name that does not exist", |text| {
        replaced(text, "sectionName: ", "sectionName: no")
    }),
    ("a gRPC match on an HTTP port", |text| {
        replaced(text, "http: [{method: GET}]", "grpc: [{method: {service: a.B}}]")
    }),
    ("http and grpc in one rule", |text| {
        replaced(text, "http: [{method: GET}]", "http: [{method: GET}]\n    grpc: [{}]")
    }),
    ("an empty list of matches", |text| {
        replaced(text, "http: [{method: GET}]", "http: []")
    }),
    ("a regex that is none", |text| {
        replaced(text, "{method: GET}", "{path: {type: RegularExpression, value: '(('}}")
    }),
    ("a regex that is too long", |text| {
        replaced(
            text,
            "{method: GET}",
            &format!("{{path: {{type: RegularExpression, value: '{}'}}}}", "a?".repeat(4000)),
        )
    }),
    ("a source without its part", |text| {
        replaced(text, "serviceAccount: {", "namespace: {")
    }),
    ("a SPIFFE ID that is none", |text| {
        let source = account("frontend");
        let bad = "{type: SPIFFE, spiffe: {match: Exact, value: 'http://frontend'}}";
        text.replace(&source, bad).replace(&account("orders"), bad).into_bytes()
    }),
    ("a match of the query", |text| {
        replaced(text, "{method: GET}", "{queryParams: [{name: a, value: b}]}")
    }),
    ("a rule port that does not exist", |text| {
        replaced(text, "http: [{method: GET}]", "ports: [nowhere]")
    }),
    ("an empty list of ports", |text| {
        replaced(text, "http: [{method: GET}]", "ports: []")
    }),
    ("a path that does not begin with a slash", |text| {
        replaced(text, "{method: GET}", "{path: {type: PathPrefix, value: charges}}")
    }),
];

fn bomb() -> String {
    let mut text = "bomb0: &b0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let lower = vec![format!("*b{}", level - 1); 10].join(",");
        // Writing to a string does not fail.
        let _ = writeln!(text, "bomb{level}: &b{level} [{lower}]");
    }
    text
}

/// All of them.
pub fn cases() -> Vec<Breakage> {
    FILES.iter().chain(OBJECTS).copied().collect()
}

/// The port of the first case at which only orders may GET.
pub const FIRST_ALLOWED: u16 = 8100;
/// The port of the first case at which frontend may not GET.
pub const FIRST_DENIED: u16 = 8200;

/// The good file of a case: only orders may GET at one port, and frontend may not GET at another.
pub fn good(case: usize) -> String {
    let permission = |action: &str, first: u16, source: &str| {
        let port = usize::from(first) + case;
        let spec = format!(
            "targetRefs: [{{kind: Service, name: guarded, sectionName: p{port}}}]\naction: {action}\nrules:\n- name: rule\n  \
             sources: [{}]\n  http: [{{method: GET}}]\n",
            account(source)
        );
        object(
            "TrafficPermission",
            &format!("case-{case}-{}", action.to_lowercase()),
            &spec,
        )
    };
    permission("Allow", FIRST_ALLOWED, "orders") + &permission("Deny", FIRST_DENIED, "frontend")
}

/// The Service of all cases, with one workload.
pub fn guarded() -> String {
    service()
        + &workload_with(
            "guarded-1",
            "guarded",
            "v1",
            &[ports(FIRST_ALLOWED), ports(FIRST_DENIED)].concat(),
        )
}

/// The same for a cluster, where a Workload has an address and at most 64 ports: one for each of the two ports of a case.
pub fn guarded_by_two() -> String {
    let one = |name: &str, address: &str, first: u16| {
        workload_with(name, "guarded", "v1", &ports(first))
            .replace("  process:", &format!("  address: {address}\n  process:"))
    };
    service() + &one("guarded-1", "10.254.0.7", FIRST_ALLOWED) + &one("guarded-2", "10.254.0.8", FIRST_DENIED)
}

/// The ports of all cases from the first.
pub fn ports(first: u16) -> Vec<u16> {
    let count = u16::try_from(cases().len()).unwrap_or(u16::MAX - first);
    (first..first + count).collect()
}

/// The Service alone, for a Pod that listens on all its ports.
pub fn service() -> String {
    let list: Vec<String> = [ports(FIRST_ALLOWED), ports(FIRST_DENIED)]
        .concat()
        .iter()
        .map(|port| format!("{{name: p{port}, port: {port}, targetPort: {port}, appProtocol: http}}"))
        .collect();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: guarded, namespace: {NAMESPACE}}}\nspec:\n  \
         selector: {{app: guarded}}\n  ports: [{}]\n",
        list.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::{cases, good};

    #[test]
    fn each_case_breaks_something() {
        for (case, (name, breakage)) in cases().into_iter().enumerate() {
            assert_ne!(breakage(&good(case)), good(case).into_bytes(), "{name}");
        }
        assert!(cases().len() >= 30);
    }
}

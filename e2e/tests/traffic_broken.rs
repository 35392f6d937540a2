//! Broken input: every kind of bad file is named with what to do, nothing panics, and no decision becomes more permissive,
//! neither at once nor after `kill -9` and a restart.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tulle_e2e::harness::yaml::{NAMESPACE, account, app, object, workload_with};
use tulle_e2e::harness::{ControlPlane, Mesh, Namespace, Steps, can_run};

const WAIT: Duration = Duration::from_secs(15);

/// A way to break a file: its name, and what it makes of the good text.
type Breakage = (&'static str, fn(&str) -> Vec<u8>);

fn replaced(text: &str, from: &str, to: &str) -> Vec<u8> {
    assert!(text.contains(from), "nothing to break: {from}");
    text.replace(from, to).into_bytes()
}

/// Files that do not parse, or not as objects.
const FILES: &[Breakage] = &[
    ("unclosed bracket", |text| replaced(text, "rules:", "rules: [")),
    ("tab as indentation", |text| replaced(text, "  action:", "\taction:")),
    ("empty", |_| Vec::new()),
    ("only a comment", |_| b"# nothing here yet\n".to_vec()),
    ("huge", |text| {
        [text.as_bytes(), "# filler\n".repeat(200_000).as_bytes()].concat()
    }),
    ("invalid UTF-8", |text| [text.as_bytes(), b"# \xff\xfe\n"].concat()),
    ("NUL byte", |text| [text.as_bytes(), b"\0\n"].concat()),
    ("half written", |text| text.as_bytes()[..text.len() * 2 / 3].to_vec()),
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
const OBJECTS: &[Breakage] = &[
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

fn cases() -> Vec<Breakage> {
    FILES.iter().chain(OBJECTS).copied().collect()
}

const FIRST_ALLOWED: u16 = 8100;
const FIRST_DENIED: u16 = 8200;

/// The good file of a case: only orders may GET at one port, and frontend may not GET at another.
fn good(case: usize) -> String {
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

fn guarded() -> String {
    let count = u16::try_from(cases().len()).unwrap_or(u16::MAX);
    let ports: Vec<u16> = (FIRST_ALLOWED..FIRST_ALLOWED + count)
        .chain(FIRST_DENIED..FIRST_DENIED + count)
        .collect();
    let list: Vec<String> = ports
        .iter()
        .map(|port| format!("{{name: p{port}, port: {port}, targetPort: {port}, appProtocol: http}}"))
        .collect();
    let service = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: guarded, namespace: {NAMESPACE}}}\nspec:\n  \
         selector: {{app: guarded}}\n  ports: [{}]\n",
        list.join(", ")
    );
    service + &workload_with("guarded-1", "guarded", "v1", &ports)
}

#[test]
fn broken_files_never_open_a_port() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = [app("frontend"), app("orders"), guarded()].concat();
    let policies: Vec<(String, String)> = (0..cases().len())
        .map(|case| (format!("case-{case}.yaml"), good(case)))
        .collect();
    let mut files = vec![("apps.yaml", apps.as_str())];
    files.extend(policies.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    let mesh = Mesh::start("broken", &files)?;
    let mut steps = Steps::default();
    steps.run("the good files do what they say", || decisions(&mesh, true));
    steps.run("each broken file or object is named", || broken(&mesh));
    steps.run("no decision is more permissive at once", || decisions(&mesh, false));
    steps.run("kill -9 and restart", || {
        mesh.kill_control_plane().and_then(|()| mesh.settled())
    });
    steps.run("each is still named after the restart", || named(&mesh));
    steps.run("no decision is more permissive after the restart", || {
        decisions(&mesh, false)
    });
    steps.run("repaired files are in force again", || repaired(&mesh));
    steps.finish()
}

/// What frontend, who may do nothing, and orders, who may do all, are answered at each case's two ports.
fn decisions(mesh: &Mesh, good: bool) -> Result<()> {
    let (frontend, orders) = (mesh.workload("shop/frontend-1")?, mesh.workload("shop/orders-1")?);
    let ask = |from: &Namespace, first: u16, case: usize| {
        let port = usize::from(first) + case;
        from.call(&[&format!("http://guarded:{port}/")])
    };
    let mut wrong = Vec::new();
    for (case, (name, _)) in cases().iter().enumerate() {
        for first in [FIRST_ALLOWED, FIRST_DENIED] {
            let refused = mesh.await_condition("refusal", Duration::from_secs(3), || {
                let answered = ask(&frontend, first, case)?;
                // Not even once: an answer now and a refusal a moment later would be a hole.
                Ok((answered.all(403) || answered.status(200) > 0).then_some(answered.all(403)))
            });
            if !refused.unwrap_or_default() {
                wrong.push(format!("{name}: frontend passes at {}", usize::from(first) + case));
            }
            if good && !ask(&orders, first, case)?.all(200) {
                wrong.push(format!("{name}: orders is refused at {}", usize::from(first) + case));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn broken(mesh: &Mesh) -> Result<()> {
    for (case, (_, breakage)) in cases().into_iter().enumerate() {
        let unfinished = mesh.folder().join(".unfinished");
        std::fs::write(&unfinished, breakage(&good(case)))?;
        std::fs::rename(&unfinished, mesh.folder().join(format!("case-{case}.yaml")))?;
    }
    named(mesh)
}

/// Waits until every case is named by file and line, or by object and field path, with words for the author.
fn named(mesh: &Mesh) -> Result<()> {
    mesh.await_condition("every broken file is named", WAIT, || {
        let missing = unnamed(&mesh.ask("/problems")?);
        ensure!(missing.is_empty(), "not named: {missing:?}");
        Ok(Some(()))
    })
}

fn unnamed(problems: &Value) -> Vec<&'static str> {
    let mut words: BTreeMap<usize, String> = BTreeMap::new();
    for problem in ["files", "objects"]
        .iter()
        .filter_map(|list| problems[*list].as_array())
        .flatten()
    {
        let text = problem.to_string();
        let case = text
            .split("case-")
            .nth(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let message = problem["message"].as_str().unwrap_or_default();
        if let Some(Ok(case)) = case.map(|digits| digits.parse())
            && message.len() > 20
        {
            words.insert(case, message.to_owned());
        }
    }
    let all = cases();
    all.iter()
        .enumerate()
        .filter(|(case, _)| !words.contains_key(case))
        .map(|(_, (name, _))| *name)
        .collect()
}

fn repaired(mesh: &Mesh) -> Result<()> {
    for case in 0..cases().len() {
        mesh.write(&format!("case-{case}.yaml"), &good(case))?;
    }
    mesh.await_condition("nothing is wrong any more", WAIT, || {
        let problems = mesh.ask("/problems")?;
        let none = |list: &str| problems[list].as_array().is_none_or(Vec::is_empty);
        ensure!(none("files") && none("objects"), "{problems}");
        Ok(Some(()))
    })?;
    mesh.settled()?;
    decisions(mesh, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_accepted_copy_the_control_plane_refuses_to_start() -> Result<()> {
    for (name, breakage) in FILES
        .iter()
        .filter(|(name, _)| !["empty", "only a comment"].contains(name))
    {
        let mut plane =
            ControlPlane::prepare(|folder| Ok(std::fs::write(folder.join("case-0.yaml"), breakage(&good(0)))?))?;
        let refused = plane
            .start()
            .await
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default();
        ensure!(refused.contains("case-0.yaml"), "{name}: {refused}");
        ensure!(!refused.contains("panicked"), "{name}: {refused}");
    }
    Ok(())
}

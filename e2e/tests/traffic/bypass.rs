//! Denied resources by other names: thousands of requests that say path, host or headers differently, at two servers that
//! read them differently, through the caller's own proxy and straight at the destination's with the caller's certificate.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use tulle_e2e::bypass::{Answer, Case, HITS_PATH, Hits, Resource, Tally, corpus, servlet};
use tulle_e2e::harness::yaml::{app, object};
use tulle_e2e::harness::{Loot, Mesh, Namespace, Steps, can_run};

/// The servers: one in Rust that takes paths as they are, one in Python that reads them as servlet containers do.
const SERVERS: [&str; 2] = ["shopper", "servlet"];
const CALLER: &str = "desk/caller-1";
/// What servers of some kind read differently than it is written; each must be able to reach `/admin` where nothing denies.
const MEANINGFUL: [&str; 13] = [
    "dot",
    "encoded dot",
    "encoded slash",
    "encoded letter",
    "backslash",
    "encoded backslash",
    "duplicate slash",
    "path parameter",
    "fragment",
    "query",
    "null byte",
    "absolute form",
    "host",
];

struct Attack<'a> {
    mesh: &'a Mesh,
    loot: Loot,
    cases: Vec<Case>,
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the caller's application, through both proxies.
    Through,
    /// From the caller's machine with its certificate, through the destination's proxy only.
    Straight,
}

#[test]
fn no_other_name_reaches_a_denied_resource() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let objects = [app("shopper"), servlet("servlet"), caller()].concat();
    let mesh = Mesh::start("bypass", &[("apps.yaml", &objects)])?;
    let attack = Attack {
        loot: Loot::take(&mesh, CALLER)?,
        cases: corpus(),
        mesh: &mesh,
    };
    ensure!(attack.cases.len() >= 3000, "only {} attempts", attack.cases.len());
    let mut steps = Steps::default();
    steps.run("without a proxy most attempts reach what they mean", || attack.bare());
    steps.run("without a policy many attempts reach what they mean", || attack.open());
    steps.run("a Deny of a path and of a header holds", || attack.denied());
    steps.run("an Allow of a path lets nothing else through", || attack.allowed());
    steps.run("a producer route leads nowhere else", || attack.routed("shop"));
    steps.run("a consumer route leads nowhere else", || attack.routed("desk"));
    steps.finish()
}

fn meaningful(tally: &Tally) -> Result<()> {
    for class in MEANINGFUL.iter().chain(&["role header", "duplicate host", "method"]) {
        ensure!(
            tally.reaching(class) > 0,
            "no attempt of class {class:?} reaches anything"
        );
    }
    Ok(())
}

/// Server, way, and whether by HTTP/2, which the servlet does not speak.
fn combinations() -> impl Iterator<Item = (&'static str, Way, bool)> {
    let versions = |server: &'static str| [Way::Through, Way::Straight].map(|way| (server, way, false));
    let http2 = [Way::Through, Way::Straight].map(|way| ("shopper", way, true));
    SERVERS.into_iter().flat_map(versions).chain(http2)
}

fn caller() -> String {
    "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {name: caller-1, namespace: desk, labels: {app: caller}}\nspec:\n  \
     serviceAccount: caller\n  process: {command: [sleep, infinity]}\n"
        .to_owned()
}

impl Attack<'_> {
    fn bare(&self) -> Result<()> {
        let server = self.mesh.workload("shop/servlet-1")?;
        let answers = server.bypass(&["127.0.0.1:8080", "--host", "servlet"])?;
        let tally = self.tally("servlet, no proxy", &answers, &[Resource::Admin, Resource::Role]);
        ensure!(
            tally.reached.len() >= 1500,
            "the attempts mean little:\n{}",
            tally.table("bare")
        );
        meaningful(&tally)
    }

    fn open(&self) -> Result<()> {
        for (server, way, http2) in combinations() {
            let tally = self.run(server, way, http2, &[Resource::Admin, Resource::Role])?;
            ensure!(
                tally.reached.len() >= 500,
                "{server}: only {} attempts reach it",
                tally.reached.len()
            );
            for class in ["dot", "encoded letter", "role header", "host", "x-envoy header"] {
                ensure!(
                    tally.reaching(class) > 0,
                    "{server}: no attempt of class {class:?} reaches it"
                );
            }
        }
        Ok(())
    }

    fn denied(&self) -> Result<()> {
        for server in SERVERS {
            let spec = format!(
                "targetRefs: [{{kind: Service, name: {server}}}]\naction: Deny\nrules:\n\
                 - {{name: admin, http: [{{path: {{type: PathPrefix, value: /admin}}}}]}}\n\
                 - {{name: role, http: [{{headers: [{{name: x-role, value: admin}}]}}]}}\n"
            );
            self.mesh.apply(
                &format!("{server}-deny.yaml"),
                &object("TrafficPermission", server, &spec),
            )?;
        }
        self.refuses("/admin", 403)?;
        self.everywhere(
            &[Resource::Admin, Resource::Role],
            &["/", "/public", "/open", "/administrator", "/public/admin"],
        )?;
        for server in SERVERS {
            self.mesh.remove(&format!("{server}-deny.yaml"))?;
        }
        self.passes("/admin")
    }

    fn allowed(&self) -> Result<()> {
        for server in SERVERS {
            let spec = format!(
                "targetRefs: [{{kind: Service, name: {server}}}]\naction: Allow\nrules:\n\
                 - {{name: public, sources: [{{type: Authenticated}}], http: [{{path: {{type: PathPrefix, value: /public}}}}]}}\n"
            );
            self.mesh.apply(
                &format!("{server}-allow.yaml"),
                &object("TrafficPermission", server, &spec),
            )?;
        }
        self.refuses("/admin", 403)?;
        self.everywhere(
            &[Resource::Private],
            &["/public", "/public/", "/public/x?y=/../admin", "/admin/../public"],
        )?;
        for server in SERVERS {
            self.mesh.remove(&format!("{server}-allow.yaml"))?;
        }
        self.passes("/admin")
    }

    /// A route is no permission, but it must not be tricked either.
    fn routed(&self, namespace: &str) -> Result<()> {
        for server in SERVERS {
            let text = format!(
                "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficRoute\nmetadata: {{name: {server}, namespace: {namespace}}}\nspec:\n  \
                 parentRefs: [{{kind: Service, name: {server}, namespace: shop, port: 80}}]\n  rules:\n  \
                 - matches: [{{path: {{type: PathPrefix, value: /public}}}}]\n    \
                 backendRefs: [{{name: {server}, namespace: shop, port: 80}}]\n"
            );
            self.mesh.apply(&format!("{server}-route.yaml"), &text)?;
        }
        self.refuses("/admin", 404)?;
        let before = self.hits()?;
        // Who goes straight takes no route.
        for (server, way, http2) in combinations().filter(|(_, way, _)| *way == Way::Through) {
            let tally = self.run(server, way, http2, &[Resource::Private])?;
            self.none(&tally)?;
        }
        ensure!(
            self.hits()?.private == before.private,
            "the servlet served something private"
        );
        self.passes("/public")?;
        for server in SERVERS {
            self.mesh.remove(&format!("{server}-route.yaml"))?;
        }
        self.passes("/admin")
    }

    /// Both servers, both ways, both protocols; what is allowed still passes.
    fn everywhere(&self, resources: &[Resource], allowed: &[&str]) -> Result<()> {
        let mut attempts = 0;
        for (server, way, http2) in combinations() {
            let before = self.hits()?;
            let tally = self.run(server, way, http2, resources)?;
            let after = self.hits()?;
            self.none(&tally)?;
            attempts += tally.attempts;
            // What the servlet counted, whoever got the answers.
            let count = |hits: Hits, resource| match resource {
                Resource::Admin => hits.admin,
                Resource::Private => hits.private,
                Resource::Role => hits.role,
            };
            let grown = resources.iter().find(|one| count(before, **one) != count(after, **one));
            ensure!(grown.is_none(), "the servlet served {grown:?}: {before:?} -> {after:?}");
        }
        say(&format!("{attempts} attempts, 0 reached {resources:?}\n"));
        for path in allowed {
            self.passes(path)?;
        }
        Ok(())
    }

    fn none(&self, tally: &Tally) -> Result<()> {
        let tell = |index: &usize| {
            self.cases
                .get(*index)
                .map(|case| format!("{case:?}"))
                .unwrap_or_default()
        };
        let first: Vec<String> = tally.reached.iter().take(20).map(tell).collect();
        ensure!(
            tally.reached.is_empty(),
            "{} attempts reached a denied resource:\n{}",
            tally.reached.len(),
            first.join("\n")
        );
        let crossed: Vec<String> = tally.crossed.iter().take(5).map(tell).collect();
        ensure!(
            crossed.is_empty(),
            "attempts got the answers of others:\n{}",
            crossed.join("\n")
        );
        Ok(())
    }

    fn run(&self, server: &str, way: Way, http2: bool, resources: &[Resource]) -> Result<Tally> {
        let (caller, place) = (self.caller(way)?, self.address(server, way)?);
        let sni = format!("80.{server}.shop.tulle.mesh");
        let mut arguments = vec![place.as_str(), "--host", server];
        if way == Way::Straight {
            arguments.extend(["--sni", &sni]);
            arguments.extend(self.loot.arguments());
        }
        if http2 {
            arguments.push("--http2");
        }
        let start = std::time::Instant::now();
        let answers = caller.bypass(&arguments)?;
        let version = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        let seconds = start.elapsed().as_secs_f64();
        let tally = self.tally(
            &format!("{server}, {way:?}, {version} ({seconds:.1} s)"),
            &answers,
            resources,
        );
        let least = if http2 { 3000 } else { self.cases.len() };
        ensure!(tally.attempts >= least, "only {} attempts were sent", tally.attempts);
        // An HTTP/2 stream with an underscored header is reset, which the caller's proxy answers with 503.
        let mute = tally.status(&answers, 0) + tally.status(&answers, 503);
        ensure!(
            mute * 20 < tally.attempts,
            "{mute} attempts got no answer:\n{}",
            tally.table("mute")
        );
        let unserved = tally.status(&answers, 502);
        ensure!(
            unserved == 0,
            "{unserved} attempts did not reach the server for other reasons"
        );
        Ok(tally)
    }

    fn tally(&self, title: &str, answers: &[Answer], resources: &[Resource]) -> Tally {
        let tally = Tally::of(&self.cases, answers, resources);
        say(&tally.table(title));
        tally
    }

    fn caller(&self, way: Way) -> Result<Namespace> {
        let caller = self.mesh.workload(CALLER)?;
        Ok(match way {
            Way::Through => caller,
            Way::Straight => caller.as_envoy(),
        })
    }

    fn address(&self, server: &str, way: Way) -> Result<String> {
        Ok(match way {
            Way::Through => format!("{server}.shop:80"),
            Way::Straight => format!("{}:8080", self.mesh.workload(&format!("shop/{server}-1"))?.address),
        })
    }

    fn hits(&self) -> Result<Hits> {
        let asked = self
            .mesh
            .workload("shop/servlet-1")?
            .call(&[&format!("http://127.0.0.1:8080{HITS_PATH}")])?;
        let body = asked.outcomes.first().and_then(|outcome| outcome.body.clone());
        Ok(serde_json::from_value(
            body.context("the servlet does not tell its counts")?,
        )?)
    }

    /// A path is served by both servers.
    fn passes(&self, path: &str) -> Result<()> {
        self.await_status(path, 200)
    }

    fn refuses(&self, path: &str, status: u16) -> Result<()> {
        self.await_status(path, status)
    }

    /// An acknowledgement means that Envoy's main thread has it; its workers follow within a moment.
    fn await_status(&self, path: &str, status: u16) -> Result<()> {
        let caller = self.caller(Way::Through)?;
        for server in SERVERS {
            let url = format!("http://{server}.shop{path}");
            let limit = std::time::Duration::from_secs(20);
            self.mesh
                .await_condition(&format!("{url} is answered {status}"), limit, || {
                    Ok(caller.call(&[&url, "-n", "5"])?.all(status).then_some(()))
                })?;
        }
        Ok(())
    }
}

fn say(text: &str) {
    // There is nobody to tell if this fails.
    let _ = write!(std::io::stderr(), "{text}");
}

//! How long `tulle explain` and `tulle diff` think, on a mesh of many services and policies: no network, no Envoy.
//!
//! Figures are medians of several rounds in one process; reading the folder and building the model are told apart from the
//! answers, because a running control plane has done both already.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use clap::Args;
use config::evaluator::{Caller, Destination, Evaluator, HttpRequest, Operation, Request};
use config::model::Key;
use config::{Model, Settings};
use operator::source::{self, SourceView, Written};

use crate::sim::world::{NAMESPACE, World};

/// Arguments of `bench explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Services.
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Permissions, one a service, then again from the first.
    #[arg(long, default_value_t = 1000)]
    policies: usize,
    /// Workloads.
    #[arg(long, default_value_t = 3000)]
    workloads: usize,
    /// Rounds of which the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Runs it.
pub(super) fn run(args: &ExplainArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(args.services, args.workloads);
    world.write(folder.path())?;
    std::fs::remove_file(folder.path().join(crate::sim::world::PERMISSION_FILE))?;
    for number in 0..args.policies {
        let file = folder.path().join(format!("p{number:04}.yaml"));
        std::fs::write(file, permission(number, args.services, "/charges"))?;
    }
    let (read, view) = median(1, || source::read_once(folder.path()));
    let view = view.context("cannot read the folder")?;
    anyhow::ensure!(view.problems.is_empty(), "{:?}", view.problems);
    say("read the folder", read);
    let (built, model) = median(args.rounds, || model(&view));
    say("build the model", built);
    println!(
        "  {} services, {} workloads, {} policies",
        model.services.len(),
        model.workloads.len(),
        args.policies
    );

    let question = question(args)?;
    let (explained, decision) = median(args.rounds * 20, || Evaluator::new(&model).evaluate(&question));
    anyhow::ensure!(!decision.arrivals.is_empty(), "the request arrives nowhere");
    say("explain one request", explained);
    let (listed, rows) = median(1, || config::matrix::matrix(&model, |_| true, |_| true));
    say("list who may call what", listed);
    println!("  {} rows of {} callers", rows.len(), model.identities.len());
    let (linted, findings) = median(1, || config::lint::lint(&view.objects, &model));
    say("lint", linted);
    println!("  {} findings", findings.len());

    compare(
        args,
        &view,
        &model,
        "one policy",
        &permission(0, args.services, "/charges/new"),
    )?;
    compare(args, &view, &model, "a policy on every workload", &World::permission(1))
}

/// The diff of one file.
fn compare(args: &ExplainArgs, view: &SourceView, model: &Arc<Model>, what: &str, text: &str) -> Result<()> {
    let written = |text: &str| {
        let problems = |problems| anyhow::anyhow!("{problems:?}");
        Written::parse(text.as_bytes().to_vec(), Path::new("new.yaml")).map_err(problems)
    };
    let after = self::model(&written(text)?.applied_to(view, false));
    println!("diff of {what}");
    let (meant, diff) = median(args.rounds, || config::diff::meaning(model, &after));
    say("  in meaning", meant);
    println!("    {} changes of access", diff.access.len());
    let (all, diff) = median(args.rounds.min(3), || {
        config::diff::diff(model, &after, &Settings::default())
    });
    say("  with what would be sent", all);
    println!(
        "    {} proxies, {} resources, {} bytes",
        diff.sent.proxies.len(),
        diff.sent.resources,
        diff.sent.bytes
    );
    Ok(())
}

fn model(view: &SourceView) -> Arc<Model> {
    config::build(&view.objects, &Settings::default(), SystemTime::now())
}

/// A request of the last service's workload to the first service.
fn question(args: &ExplainArgs) -> Result<Request> {
    let last = args.services.checked_sub(1).context("at least one service")?;
    Ok(Request {
        from: Caller::Workload(Key::new(NAMESPACE, &World::workload(last))),
        to: Destination::Service {
            service: Key::new(NAMESPACE, &World::service(0)),
            port: 80,
        },
        operation: Operation::Http(HttpRequest {
            method: "POST".into(),
            target: "/charges/1".into(),
            authority: "s0000".into(),
            headers: Vec::new(),
        }),
    })
}

/// One service lets two others in, one of them to one path only; every tenth also denies something.
fn permission(number: usize, services: usize, path: &str) -> String {
    let of = |offset: usize| World::service((number + services.saturating_sub(offset)) % services.max(1));
    let source =
        |name: &str| format!("{{type: ServiceAccount, serviceAccount: {{namespace: {NAMESPACE}, name: {name}}}}}");
    let (action, rules) = if number % 10 == 9 {
        ("Deny", "  - {name: no-delete, http: [{method: DELETE}]}\n".to_owned())
    } else {
        let (first, second) = (source(&of(1)), source(&of(2)));
        let rules = format!(
            "  - {{name: charges, sources: [{first}], http: [{{method: POST, path: {{type: PathPrefix, value: {path}}}}}]}}\n  - {{name: all, sources: [{second}]}}\n"
        );
        ("Allow", rules)
    };
    format!(
        "apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\nmetadata: {{name: p{number:04}, namespace: {NAMESPACE}}}\nspec:\n  \
         targetRefs: [{{kind: Service, name: {}}}]\n  action: {action}\n  rules:\n{rules}",
        World::service(number % services.max(1))
    )
}

fn median<T>(rounds: usize, mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::new();
    let mut timed = || {
        let start = Instant::now();
        let result = run();
        times.push(start.elapsed());
        result
    };
    for _ in 1..rounds {
        drop(timed());
    }
    let last = timed();
    times.sort();
    (times.get(times.len() / 2).copied().unwrap_or_default(), last)
}

fn say(what: &str, time: Duration) {
    println!("{what:<28} {:>10.3} ms", time.as_secs_f64() * 1000.0);
}

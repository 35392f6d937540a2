//! Every kind of policy, on calls by every way to reach its target.

use anyhow::{Context, Result, ensure};
use tulle_e2e::harness::Steps;
use tulle_e2e::pods::until;
use tulle_e2e::probe::CallSummary;

use super::reach::urls;
use super::stage::{SHOP, Shop};

pub(crate) fn steps(shop: &Shop, steps: &mut Steps) {
    if let Err(error) = shop.apply_policies() {
        steps.run("the policies are applied", || Err(error));
        return;
    }
    steps.run("kubectl lists and explains every kind", || listed(shop));
    steps.run("a TrafficPermission decides about requests, whatever the way", || {
        permission(shop)
    });
    steps.run("a TrafficPermission decides about connections", || connections(shop));
    steps.run("a TrafficRoute splits and matches at the Service", || route(shop));
    steps.run("a RateLimit counts a caller, whatever the way", || limit(shop));
    steps.run("a FaultInjection breaks its caller's calls, whatever the way", || {
        fault(shop)
    });
}

/// What people type.
fn listed(shop: &Shop) -> Result<()> {
    until("every policy is ready", || {
        let listed = shop.kubectl(SHOP, &["get", "tp,tr,rl,fi", "--no-headers"])?;
        let ready = |line: &str| line.split_whitespace().any(|word| word == "AllProxiesAcked");
        let kinds = ["trafficpermission.", "trafficroute.", "ratelimit.", "faultinjection."];
        Ok(listed.lines().all(ready) && kinds.iter().all(|kind| listed.contains(kind)))
    })?;
    let all = shop.kubectl(SHOP, &["get", "tulle"])?;
    ensure!(
        all.contains("trafficpermission.") && all.contains("meshstatus."),
        "{all}"
    );
    let mesh = shop.cluster.kubectl(&["get", "mesh"])?;
    ensure!(mesh.contains("default") && mesh.contains("PROXIES"), "{mesh}");
    for kind in crds::all() {
        let name = &kind.spec.names.singular.as_deref().context("a kind has a name")?;
        let explained = shop.cluster.kubectl(&["explain", name])?;
        ensure!(
            explained.contains("DESCRIPTION:") && !explained.contains("<empty>"),
            "{explained}"
        );
    }
    let field = shop
        .cluster
        .kubectl(&["explain", "trafficpermission.spec.rules.sources.type"])?;
    ensure!(field.contains("ServiceAccount"), "{field}");
    Ok(())
}

fn permission(shop: &Shop) -> Result<()> {
    until("the permission holds", || {
        Ok(shop.call("deploy/frontend", &["http://payments/charges"])?.all(403))
    })?;
    for url in urls(shop, "payments")? {
        let url = format!("{url}charges/7");
        // Connections that the frontend kept from before are cut at their next byte, which its callers see as 503.
        let mut served = 0;
        until("the frontend is refused", || {
            let answers = shop.call("deploy/frontend", &[&url, "-n", "3", "--fresh"])?;
            served += answers.status(200);
            Ok(answers.all(403))
        })?;
        ensure!(served == 0, "{url}: {served} calls of the frontend were served");
        let cases = [
            ("deploy/orders", "GET", url.as_str(), 200),
            ("deploy/orders", "POST", &url, 200),
            ("deploy/orders", "PUT", &url, 403),
            ("deploy/orders", "DELETE", &url, 403),
            ("deploy/frontend", "GET", &url, 403),
        ];
        for (from, method, url, status) in cases {
            let answers = shop.call(from, &[url, "-X", method, "-n", "3", "--fresh"])?;
            let said = || format!("{from} {method} {url}: {:?} {:?}", answers.statuses, answers.errors);
            ensure!(answers.all(status), "{}", said());
        }
        let other = url.replace("charges", "refunds");
        ensure!(shop.call("deploy/orders", &[&other])?.all(403), "{other}");
    }
    Ok(())
}

fn connections(shop: &Shop) -> Result<()> {
    let address = shop.field(SHOP, "pod/ledger-1", ".status.podIP")?;
    let books = shop.field(SHOP, "service/books", ".spec.clusterIP")?;
    for host in ["ledger-1.ledger", "ledger", "books", &books, &address] {
        until("strangers to the books are refused", || {
            Ok(shop.banner(SHOP, "deploy/frontend", host, 5432)?.is_empty())
        })?;
        let banner = shop.banner(SHOP, "pod/ledger-0", host, 5432)?;
        ensure!(banner.starts_with("ledger"), "{host}: {banner:?}");
    }
    Ok(())
}

fn route(shop: &Shop) -> Result<()> {
    let service: Vec<String> = urls(shop, "payments")?.into_iter().take(4).collect();
    for url in &service {
        let url = format!("{url}charges");
        let testers = shop.call("deploy/orders", &[&url, "-H", "x-canary: yes", "-n", "20"])?;
        ensure!(
            testers.all(200) && testers.version("v2") == 20,
            "{url}: {:?}",
            testers.versions
        );
        let split = shop.call("deploy/orders", &[&url, "-n", "300"])?;
        let canary = split.version("v2");
        ensure!(split.all(200), "{url}: {:?} {:?}", split.statuses, split.errors);
        // One in ten: beyond these bounds once in ten million runs.
        ensure!((5..=75).contains(&canary), "{url}: {canary} of 300");
    }
    // Who dials one Pod means it.
    for version in ["v1", "v2"] {
        let addresses = shop.addresses(&format!("app=payments,version={version}"))?;
        let url = format!(
            "http://{}:8080/charges",
            addresses.first().context("a Pod has an address")?
        );
        let answers = shop.call("deploy/orders", &[&url, "-H", "x-canary: yes", "-n", "10"])?;
        ensure!(
            answers.all(200) && answers.version(version) == 10,
            "{url}: {:?}",
            answers.versions
        );
    }
    Ok(())
}

/// Answers that only these statuses have.
fn only(answers: &CallSummary, statuses: [u16; 2]) -> Result<()> {
    let known: usize = statuses.iter().map(|status| answers.status(*status)).sum();
    ensure!(
        known == answers.outcomes.len(),
        "{:?} {:?}",
        answers.statuses,
        answers.errors
    );
    Ok(())
}

fn limit(shop: &Shop) -> Result<()> {
    for url in urls(shop, "ratings")? {
        // Two replicas with ten at once; each refills one a second.
        until("the caller's buckets are empty", || {
            let answers = shop.call("deploy/orders", &[&url, "-n", "100"])?;
            only(&answers, [200, 429])?;
            let refused = answers.outcomes.iter().find(|one| one.status == Some(429));
            Ok(refused.is_some_and(|one| one.headers.contains_key("retry-after")))
        })
        .with_context(|| url.clone())?;
    }
    // Another caller has buckets of its own.
    let answers = shop.call("pod/ledger-0", &["http://ratings/", "-n", "10"])?;
    ensure!(answers.all(200), "{:?} {:?}", answers.statuses, answers.errors);
    shop.remove("ratelimit", "ratings")?;
    until("the limit is gone", || {
        Ok(shop.call("deploy/orders", &["http://ratings/", "-n", "100"])?.all(200))
    })
}

fn fault(shop: &Shop) -> Result<()> {
    for url in urls(shop, "ratings")? {
        let answers = shop.call("deploy/frontend", &[&url, "-n", "100"])?;
        only(&answers, [200, 503])?;
        // One in two: beyond these bounds once in ten million runs.
        let broken = answers.status(503);
        ensure!((23..=77).contains(&broken), "{url}: {broken} of 100");
        let others = shop.call("deploy/orders", &[&url, "-n", "20"])?;
        ensure!(others.all(200), "{url}: {:?}", others.statuses);
    }
    shop.remove("faultinjection", "broken-ratings")?;
    until("the fault is gone", || {
        Ok(shop.call("deploy/frontend", &["http://ratings/", "-n", "50"])?.all(200))
    })
}

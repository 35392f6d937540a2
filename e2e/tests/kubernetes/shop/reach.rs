//! Without a policy: who reaches whom, by which name or address, and as whom.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::harness::Steps;
use tulle_e2e::probe::CallSummary;

use super::stage::{OUTSIDE, SHOP, Shop};

pub(crate) fn steps(shop: &Shop, steps: &mut Steps) {
    steps.run(
        "a Service is reached by its names, its address and its Pods' addresses",
        || ways(shop),
    );
    steps.run("a workload reaches itself by its Service: 100 of 100", || {
        own_service(shop)
    });
    steps.run("the members of a StatefulSet reach each other by name", || {
        members(shop)
    });
    steps.run("plaintext from outside the mesh is refused", || plaintext(shop));
    steps.run("what is outside the mesh is reached, in plaintext", || outwards(shop));
    steps.run(
        "an ingress takes strangers at its public port and calls with its identity",
        || ingress(shop),
    );
}

/// URLs that lead to a Service's HTTP port: by names, its address, a headless Service and a Pod's address. The Service has
/// port 80 in front of 8080, and a headless one beside it.
pub(crate) fn urls(shop: &Shop, service: &str) -> Result<Vec<String>> {
    let address = shop.field(SHOP, &format!("service/{service}"), ".spec.clusterIP")?;
    let pods = shop.addresses(&format!("app={service}"))?;
    let pod = pods.first().context("a Pod has an address")?;
    Ok(vec![
        format!("http://{service}/"),
        format!("http://{service}.shop/"),
        format!("http://{service}.shop.svc.cluster.local/"),
        format!("http://{address}/"),
        format!("http://{service}-headless:8080/"),
        format!("http://{pod}:8080/"),
    ])
}

/// Every answer came from this application, which saw this caller.
pub(crate) fn served(answers: &CallSummary, app: &str, caller: &str) -> Result<()> {
    ensure!(answers.all(200), "{:?} {:?}", answers.statuses, answers.errors);
    for answer in &answers.outcomes {
        let header = "/headers/x-forwarded-client-cert";
        let seen = answer
            .body
            .as_ref()
            .and_then(|body| body.pointer(header))
            .and_then(Value::as_str);
        let seen = seen.unwrap_or_default();
        ensure!(
            answer.app.as_deref() == Some(app) && seen.ends_with(&format!("/ns/shop/sa/{caller}")),
            "{answer:?}"
        );
    }
    Ok(())
}

fn ways(shop: &Shop) -> Result<()> {
    for service in ["ratings", "payments"] {
        for url in urls(shop, service)? {
            let answers = shop.call("deploy/frontend", &[&url, "-n", "20", "--fresh"])?;
            served(&answers, service, "frontend").with_context(|| url.clone())?;
        }
    }
    for address in shop.addresses("app=payments")? {
        let answers = shop.call("deploy/orders", &[&format!("http://{address}:8080/"), "-n", "5"])?;
        served(&answers, "payments", "orders").with_context(|| address.clone())?;
    }
    // Only a ClusterIP selects these.
    for address in shop.addresses("app=orders")? {
        let answers = shop.call("deploy/frontend", &[&format!("http://{address}:8080/"), "-n", "5"])?;
        served(&answers, "orders", "frontend").with_context(|| address.clone())?;
    }
    // A proxy that was not asked to know endpoints sends what it does not know as it is, and Strict refuses that.
    for address in shop.addresses("app=frontend")? {
        let answers = shop.call("deploy/orders", &[&format!("http://{address}:8080/"), "-n", "5"])?;
        ensure!(answers.status(200) == 0, "{address}: {:?}", answers.statuses);
    }
    let grpc = shop.call(
        "deploy/frontend",
        &["http://ratings:9000/shop.Ratings/Get", "--grpc", "-n", "20"],
    )?;
    let good = grpc.outcomes.iter().filter(|one| one.grpc_status == Some(0)).count();
    ensure!(good == 20, "{:?} {:?}", grpc.statuses, grpc.errors);
    Ok(())
}

fn own_service(shop: &Shop) -> Result<()> {
    // The only Pod behind its Service.
    for url in ["http://payments-v2/", "http://payments-v2.shop.svc.cluster.local/"] {
        let answers = shop.call("deploy/payments-v2", &[url, "-n", "100", "--fresh"])?;
        served(&answers, "payments", "payments").with_context(|| url)?;
        ensure!(answers.outcomes.len() == 100, "{}", answers.outcomes.len());
    }
    let answers = shop.call("deploy/orders", &["http://orders/", "-n", "100", "--fresh"])?;
    served(&answers, "orders", "orders")?;
    let address = shop.addresses("app=payments,version=v2")?;
    let own = format!("http://{}:8080/", address.first().context("a Pod has an address")?);
    let answers = shop.call("deploy/payments-v2", &[&own, "-n", "100", "--fresh"])?;
    ensure!(
        answers.status(200) == 100,
        "{own}: {:?} {:?}",
        answers.statuses,
        answers.errors
    );
    Ok(())
}

fn members(shop: &Shop) -> Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        let name = format!("ledger-{to}.ledger");
        for host in [name.clone(), format!("{name}.shop.svc.cluster.local")] {
            let answers = shop.call(
                &format!("pod/ledger-{from}"),
                &[&format!("http://{host}:8080/"), "-n", "20"],
            )?;
            served(&answers, "ledger", "ledger").with_context(|| host.clone())?;
            let banner = shop.banner(SHOP, &format!("pod/ledger-{from}"), &host, 5432)?;
            ensure!(banner.starts_with("ledger"), "{host}: {banner:?}");
        }
    }
    let answers = shop.call("deploy/frontend", &["http://ledger:8080/", "-n", "20", "--fresh"])?;
    served(&answers, "ledger", "frontend")
}

fn plaintext(shop: &Shop) -> Result<()> {
    let mut urls = urls(shop, "ratings")?;
    // Outside of the namespace the short name means nothing.
    urls.retain(|url| url != "http://ratings/" && !url.contains("headless"));
    urls.push("http://ratings-headless.shop:8080/".to_owned());
    for url in urls {
        let answers = shop.call_from(OUTSIDE, "deploy/stranger", &[&url, "-n", "5", "--fresh"])?;
        ensure!(answers.all(0), "{url}: {:?}", answers.statuses);
    }
    let banner = shop.banner(OUTSIDE, "deploy/stranger", "ledger.shop", 5432)?;
    ensure!(banner.is_empty(), "{banner}");
    // It is the mesh that refuses, not the network.
    let answers = shop.call_from(OUTSIDE, "deploy/stranger", &["http://stranger/", "-n", "5"])?;
    ensure!(answers.all(200), "{:?} {:?}", answers.statuses, answers.errors);
    Ok(())
}

fn outwards(shop: &Shop) -> Result<()> {
    let url = format!("http://stranger.{OUTSIDE}/");
    let answers = shop.call("deploy/frontend", &[&url, "-n", "5", "--fresh"])?;
    ensure!(answers.all(200), "{:?} {:?}", answers.statuses, answers.errors);
    Ok(())
}

fn ingress(shop: &Shop) -> Result<()> {
    let public = shop.call_from(
        OUTSIDE,
        "deploy/stranger",
        &["http://ingress.shop/", "-n", "10", "--fresh"],
    )?;
    ensure!(public.all(200), "{:?} {:?}", public.statuses, public.errors);
    let other = shop.call_from(
        OUTSIDE,
        "deploy/stranger",
        &["http://ingress.shop:8080/", "-n", "3", "--fresh"],
    )?;
    ensure!(other.all(0), "its other port is Strict: {:?}", other.statuses);
    let inside = shop.call("deploy/frontend", &["http://ingress/", "-n", "10", "--fresh"])?;
    ensure!(
        inside.all(200),
        "the mesh calls it too: {:?} {:?}",
        inside.statuses,
        inside.errors
    );
    let onwards = shop.call("deploy/ingress", &["http://orders/", "-n", "10"])?;
    served(&onwards, "orders", "ingress")
}

//! Cost follows the change, counted at simulated proxies: names, messages and bytes, never milliseconds.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tulle_e2e::harness::{ControlPlane, until};
use tulle_e2e::sim::fleet::spec;
use tulle_e2e::sim::world::PERMISSION_FILE;
use tulle_e2e::sim::{Behaviour, Client, ClientSpec, Fleet, Received, Traffic, World};
use xds::Kind;

const QUIET: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_mins(1);

async fn plane(world: World) -> Result<ControlPlane> {
    let mut plane = ControlPlane::prepare(|folder| world.write(folder))?;
    plane.start().await?;
    Ok(plane)
}

fn specs(plane: &ControlPlane, range: std::ops::Range<usize>) -> Result<Vec<ClientSpec>> {
    let tokens = plane.tokens()?;
    range.map(|index| spec(&tokens, index)).collect()
}

/// Waits until nothing has come for a while, then forgets what came.
async fn quiet(fleet: &Fleet) -> Result<()> {
    let mut before = usize::MAX;
    until("silence", LIMIT, async || {
        let now: usize = fleet.0.iter().map(|client| client.log().len()).sum();
        let silent = now == std::mem::replace(&mut before, now);
        tokio::time::sleep(QUIET).await;
        Ok(silent.then_some(()))
    })
    .await?;
    fleet.take();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_change_among_a_thousand_services_sends_one_resource_to_its_subscribers() -> Result<()> {
    let world = World::new(1000, 1000);
    let plane = plane(world).await?;
    let cluster = |service: usize| format!("svc/bench/{}/80", World::service(service));
    let mut specs = specs(&plane, 0..8)?;
    for (index, spec) in specs.iter_mut().enumerate() {
        // Half of the proxies have the changed service in their scope.
        let only: BTreeSet<String> = [cluster(if index % 2 == 0 { 500 } else { 501 })].into();
        spec.session = std::mem::take(&mut spec.session).only(only);
    }
    let fleet = Fleet::start(&plane.server()?, specs).await?;
    quiet(&fleet).await?;
    plane.write(&World::file(500), &world.text(500, 1))?;
    let subscribers = || fleet.0.iter().step_by(2);
    until("the subscribers receive it", LIMIT, async || {
        Ok(subscribers().all(|client| !client.log().is_empty()).then_some(()))
    })
    .await?;
    tokio::time::sleep(QUIET).await;
    let received = fleet.take();
    let mut sizes = BTreeSet::new();
    for (index, received) in received.iter().enumerate() {
        if index % 2 == 1 {
            ensure!(
                received.is_empty(),
                "client {index} subscribes to something else and received {received:?}"
            );
            continue;
        }
        let [response] = received.as_slice() else {
            anyhow::bail!("client {index} received {received:?}")
        };
        let [resource] = response.resources.as_slice() else {
            anyhow::bail!("client {index} received {response:?}")
        };
        ensure!(
            response.kind == Some(Kind::Endpoints) && resource.name == cluster(500),
            "{response:?}"
        );
        ensure!(response.removed.is_empty(), "{response:?}");
        sizes.insert(response.bytes);
    }
    ensure!(
        sizes.len() == 1 && sizes.iter().all(|bytes| *bytes < 1024),
        "sizes in bytes: {sizes:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_policy_change_sends_each_proxy_its_own_route_only() -> Result<()> {
    let plane = plane(World::new(20, 20)).await?;
    let fleet = Fleet::start(&plane.server()?, specs(&plane, 0..20)?).await?;
    quiet(&fleet).await?;
    plane.write(PERMISSION_FILE, &World::permission(1))?;
    fleet.settle(QUIET, LIMIT).await?;
    for (index, received) in fleet.take().into_iter().enumerate() {
        let own = format!("in/{}", World::address(index));
        let ours = |response: &Received| {
            response.kind == Some(Kind::Route)
                && response
                    .resources
                    .iter()
                    .all(|resource| resource.name.starts_with("in/"))
        };
        ensure!(
            received.len() == 1 && received.iter().all(ours),
            "client {index} ({own}) received {received:?}"
        );
        ensure!(
            received.iter().all(|response| response.resources.len() == 1),
            "client {index}: {received:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_refuses_everything_and_one_that_never_reads_change_nothing_for_others() -> Result<()> {
    let plane = plane(World::new(20, 30)).await?;
    let server = plane.server()?;
    let fleet = Fleet::start(&server, specs(&plane, 0..20)?).await?;
    let mut bad = Vec::new();
    for (index, mut spec) in specs(&plane, 20..30)?.into_iter().enumerate() {
        spec.behaviour = if index % 2 == 0 {
            Behaviour::Nack
        } else {
            Behaviour::NeverRead
        };
        bad.push(Client::start(&server, spec).await?);
    }
    quiet(&fleet).await?;
    let mut memory = Vec::new();
    for round in 1..=60 {
        plane.write(PERMISSION_FILE, &World::permission(round))?;
        fleet
            .settle(Duration::from_millis(30), LIMIT)
            .await
            .with_context(|| format!("round {round}"))?;
        for (index, received) in fleet.take().iter().enumerate() {
            let resources = Traffic::of(received).resources;
            ensure!(resources >= 1, "client {index} got nothing in round {round}");
        }
        if round == 20 || round == 60 {
            memory.push(plane.memory()?);
        }
    }
    let version = |client: &Client| client.log().now().ended;
    ensure!(
        fleet.0.iter().all(|client| version(client).is_none()),
        "a good stream was cut"
    );
    let refusals = bad
        .iter()
        .step_by(2)
        .map(|client| client.log().now().responses)
        .max()
        .unwrap_or_default();
    ensure!(refusals > 0, "the refusing clients were sent nothing");
    let growth = memory[1].saturating_sub(memory[0]);
    ensure!(growth < 16 << 20, "40 changes that nobody reads cost {growth} bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_receives_nothing_also_after_a_restart() -> Result<()> {
    let mut plane = plane(World::new(20, 20)).await?;
    let specs = specs(&plane, 0..20)?;
    let mut fleet = Fleet::start(&plane.server()?, specs.clone()).await?;
    for restart in [false, true] {
        quiet(&fleet).await?;
        if restart {
            plane.kill().await?;
            plane.start().await?;
        }
        let mut again = Vec::new();
        for (client, spec) in fleet.0.into_iter().zip(&specs) {
            let session = client.stop().await?;
            ensure!(
                session
                    .held()
                    .values()
                    .map(std::collections::BTreeMap::len)
                    .sum::<usize>()
                    > 20
            );
            again.push(ClientSpec {
                session,
                ..spec.clone()
            });
        }
        fleet = Fleet::connect(&plane.server()?, again).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        ensure!(
            fleet.0.iter().all(|client| client.log().now().open),
            "a stream was refused"
        );
        let received = fleet.take().concat();
        ensure!(
            Traffic::of(&received) == Traffic::default(),
            "restart: {restart}; received again: {:?}",
            received.first()
        );
        // The streams are alive: a change arrives, and nothing but the change.
        plane.write(PERMISSION_FILE, &World::permission(if restart { 2 } else { 1 }))?;
        fleet.settle(QUIET, LIMIT).await?;
        let received = fleet.take().concat();
        ensure!(
            received.iter().all(|response| response.kind == Some(Kind::Route)),
            "{:?}",
            received.first()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_that_comes_and_goes_leaves_the_first_one_synced() -> Result<()> {
    let plane = plane(World::new(3, 3)).await?;
    let specs = specs(&plane, 0..3)?;
    let fleet = Fleet::start(&plane.server()?, specs.clone()).await?;
    let synced = async || {
        let proxies = plane.ask("/proxies").await?;
        let all = proxies["proxies"]
            .as_array()
            .context("no proxies")?
            .iter()
            .all(|proxy| proxy["synced"] == true);
        anyhow::Ok(all.then_some(()))
    };
    until("every proxy is synced", LIMIT, synced).await?;
    for spec in specs {
        Fleet::start(&plane.server()?, vec![spec])
            .await?
            .0
            .remove(0)
            .stop()
            .await?;
    }
    until("every proxy is synced again", Duration::from_secs(10), synced).await?;
    ensure!(
        fleet.0.iter().all(|client| client.log().now().ended.is_none()),
        "a first stream was cut"
    );
    Ok(())
}

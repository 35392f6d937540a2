//! A large mesh in which nothing happens. A test program of its own: a thousand clients would disturb others.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::harness::{ControlPlane, until};
use tulle_e2e::sim::fleet::spec;
use tulle_e2e::sim::world::PERMISSION_FILE;
use tulle_e2e::sim::{Fleet, Traffic, World};

const CLIENTS: usize = 1000;
const IDLE: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_mins(2);
/// What a stream may cost the control plane while nothing happens, in this unoptimized build.
const MEMORY: u64 = 512 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_mesh_sends_nothing() -> Result<()> {
    let world = World::new(20, CLIENTS);
    let mut plane = ControlPlane::prepare(|folder| world.write(folder))?;
    plane.start().await?;
    let empty = plane.memory()?;
    let tokens = plane.tokens()?;
    let specs = (0..CLIENTS)
        .map(|index| spec(&tokens, index))
        .collect::<Result<Vec<_>>>()?;
    let fleet = Fleet::start(&plane.server()?, specs).await?;
    let mut before = usize::MAX;
    until(
        "everyone has everything, and the control plane knows",
        LIMIT,
        async || {
            let now: usize = fleet.0.iter().map(|client| client.log().len()).sum();
            let silent = now == std::mem::replace(&mut before, now);
            let complete = fleet.0.iter().all(|client| client.log().now().complete);
            let proxies = plane.ask("/proxies").await?;
            let proxies = proxies.get("proxies").and_then(Value::as_array).context("no proxies")?;
            let is_synced = |proxy: &Value| proxy.get("synced") == Some(&Value::Bool(true));
            let synced = proxies.len() == CLIENTS && proxies.iter().all(is_synced);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok((silent && complete && synced).then_some(()))
        },
    )
    .await?;
    ensure!(before >= CLIENTS, "{CLIENTS} clients received only {before} responses");
    fleet.take();
    let full = plane.memory()?;
    // Longer than every timer that could be at work in the control plane, short of its renewals.
    tokio::time::sleep(IDLE).await;
    let received = Traffic::of(&fleet.take().concat());
    ensure!(received == Traffic::default(), "an idle mesh sent {received:?}");
    let after = plane.memory()?;
    let (streams, per_stream) = (
        u64::try_from(CLIENTS)?,
        after.saturating_sub(empty) / u64::try_from(CLIENTS)?,
    );
    ensure!(per_stream < MEMORY, "a stream costs {per_stream} bytes");
    ensure!(
        after.saturating_sub(full) < streams << 10,
        "idle streams grew: {full} -> {after} bytes"
    );
    // Silence is not deafness: all of them hear of a change.
    ensure!(
        fleet.0.iter().all(|client| client.log().now().ended.is_none()),
        "a stream was cut"
    );
    plane.write(PERMISSION_FILE, &World::permission(1))?;
    until("every client hears of a change", LIMIT, async || {
        Ok(fleet.0.iter().all(|client| !client.log().is_empty()).then_some(()))
    })
    .await
}

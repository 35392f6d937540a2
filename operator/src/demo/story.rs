//! Tells the steps: saves files, waits for acknowledgement, sends requests, and counts what was not as shown.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Screen;
use super::caller::Caller;
use super::probe::{self, Expect, Probe};
use super::steps::{Saved, Step};
use crate::run::{Pretence, Run};

/// The namespace of the shop.
const SHOP: &str = "shop";
/// How long proxies may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(30);

/// The demo under way.
pub(super) struct Story<'a> {
    run: &'a Run,
    screen: &'a Screen,
    number: usize,
    failed: usize,
}

impl<'a> Story<'a> {
    pub(super) fn new(run: &'a Run, screen: &'a Screen) -> Self {
        Self {
            run,
            screen,
            number: 0,
            failed: 0,
        }
    }

    /// How many requests did not come out as shown.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// Waits until every proxy has everything and every application answers.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let rows = self.run.plane().json("meshstatuses").await.unwrap_or_default();
            let synced = |row: &Value| row.pointer("/status/state").and_then(Value::as_str) == Some("Healthy");
            if !rows.is_empty() && rows.iter().all(synced) && self.answers().await {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("the shop does not become healthy: {}", Value::Array(rows));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn answers(&self) -> bool {
        for service in ["orders", "payments", "ratings"] {
            let url = format!("http://{service}/");
            let outcomes = self
                .call("frontend-1", &["-n", "10", url.as_str()])
                .await
                .unwrap_or_default();
            if !outcomes.iter().all(|outcome| outcome.status == Some(200)) || outcomes.is_empty() {
                return false;
            }
        }
        true
    }

    /// Prints what is in force.
    pub(super) async fn table(&self) -> anyhow::Result<()> {
        let rows = self.run.plane().json("meshstatuses").await?;
        let table = crate::cli::get::table_of("meshstatuses", &rows);
        self.screen
            .table(&table.lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        Ok(())
    }

    /// Tells one step.
    pub(super) async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        self.number += 1;
        self.screen.headline(self.number, step.title);
        step.says.iter().for_each(|text| self.screen.say(text));
        for probe in &step.before {
            self.probe(probe, "before: ").await?;
        }
        if let Some(Saved { name, content, objects }) = step.file {
            self.screen.yaml(name, content);
            let saved = Instant::now();
            save(&self.run.folder().join(name), content)?;
            let proxies = self.enforced(objects).await?;
            self.screen.acked(&proxies, saved.elapsed());
        }
        for probe in &step.after {
            self.probe(probe, if step.before.is_empty() { "" } else { "after: " })
                .await?;
        }
        if step.impostor {
            self.impostor("her token, orders' name", "shop/orders-1", "shop/mallory")
                .await?;
            self.impostor("orders' token, from her address", "shop/orders-1", "shop/orders-1")
                .await?;
        }
        Ok(())
    }

    /// Waits until the objects are enforced; returns how many proxies acknowledged.
    async fn enforced(&self, objects: &[(&str, &str)]) -> anyhow::Result<String> {
        let started = Instant::now();
        loop {
            let mut acked = Vec::new();
            for (kind, name) in objects {
                acked.extend(self.acked(kind, name).await?);
            }
            if acked.len() == objects.len() {
                return acked.into_iter().max().context("a step waits for no object");
            }
            if started.elapsed() > PATIENCE {
                bail!("the proxies did not acknowledge {objects:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// `acked/matched` of an enforced object; absent while it is not.
    async fn acked(&self, kind: &str, name: &str) -> anyhow::Result<Option<String>> {
        let objects = self.run.plane().json(kind).await?;
        let object = objects
            .iter()
            .find(|object| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name));
        let conditions = object
            .and_then(|object| object.pointer("/status/conditions"))
            .and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some("Ready")
                && condition.get("status").and_then(Value::as_str) == Some("True")
        });
        let acked = object
            .and_then(|object| object.pointer("/status/acked"))
            .and_then(Value::as_str);
        Ok(acked.filter(|_| ready).map(ToOwned::to_owned))
    }

    async fn call(&self, from: &str, call: &[&str]) -> anyhow::Result<Vec<crate::shop::Outcome>> {
        let caller = Caller::of(self.run, &format!("{SHOP}/{from}")).with_context(|| format!("{from} does not run"))?;
        probe::send(&self.run.program(), &caller, call).await
    }

    async fn probe(&mut self, probe: &Probe, prefix: &str) -> anyhow::Result<()> {
        // A mark in the query finds the request again in the destination's log.
        let mark = format!("demo={}", mark());
        let mut call: Vec<String> = probe.call.iter().map(ToString::to_string).collect();
        if let Some(url) = call.last_mut() {
            *url = format!("{url}?{mark}");
        }
        let call: Vec<&str> = call.iter().map(String::as_str).collect();
        let outcomes = self.call(probe.from, &call).await?;
        let cause = match probe.expect {
            Expect::Refused(..) => self.cause(&mark).await,
            _ => None,
        };
        let ok = probe.expect.holds(&outcomes, cause.as_deref());
        self.failed += usize::from(!ok);
        let label = format!("{prefix}{}", probe.label);
        self.screen
            .probe(ok, &label, &probe::describe(&outcomes, cause.as_deref()));
        Ok(())
    }

    /// The rule that the destination's access log names for a marked request. Envoy writes its log once a second or so.
    async fn cause(&self, mark: &str) -> Option<String> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(15) {
            for member in self.run.members().keys() {
                if let Some(rule) = logged_rule(&self.run.proxy_log(member), mark) {
                    return Some(rule);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    async fn impostor(&mut self, how: &str, node: &str, token_of: &str) -> anyhow::Result<()> {
        let pretence = Pretence {
            at: format!("{SHOP}/mallory"),
            node: node.to_owned(),
            token_of: token_of.to_owned(),
        };
        let impostor = self.run.impostor(&pretence)?;
        let got = impostor.turned_away(Duration::from_secs(20)).await;
        impostor.stop().await;
        let ok = matches!(got, Ok(0));
        self.failed += usize::from(!ok);
        let seen = match got {
            Ok(0) => "turned away: no certificate, no configuration".to_owned(),
            Ok(n) => format!("got {n} resources"),
            Err(error) => error.to_string(),
        };
        self.screen.probe(ok, &format!("mallory joins with {how}"), &seen);
        Ok(())
    }
}

/// Something that no other request carries.
fn mark() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

/// Saves as editors do: the whole file at once.
fn save(path: &Path, content: &str) -> anyhow::Result<()> {
    let unfinished = path.with_extension("yaml.new");
    std::fs::write(&unfinished, content).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

fn logged_rule(log: &Path, mark: &str) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines = text.lines().filter(|line| line.contains(mark));
    let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let inbound = |entry: &Value| entry.get("direction").and_then(Value::as_str) == Some("inbound");
    entries
        .filter(inbound)
        .find_map(|entry| entry.get("rule").and_then(Value::as_str).map(ToOwned::to_owned))
}

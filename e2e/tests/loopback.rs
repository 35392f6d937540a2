//! `tulle up --run` without root: the same policies on loopback addresses, and nothing left behind.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use operator::shop::Outcome;
use serde_json::Value;
use tulle_e2e::harness::yaml::{account, app, object, service, workload};
use tulle_e2e::harness::{As, Loopback, can_run};

/// Users that nobody else has; one for each test, so that what runs as them is the test's.
const USERS: [u32; 2] = [0x5454_0001, 0x5454_0002];

fn mesh() -> String {
    [
        app("web"),
        app("mallory"),
        service("orders", "app: orders"),
        service("orders-v1", "app: orders, version: v1"),
        service("orders-v2", "app: orders, version: v2"),
        workload("orders-1", "orders", "v1"),
        workload("orders-2", "orders", "v2"),
        object(
            "TrafficPermission",
            "orders",
            &format!(
                "targetRefs: [{{kind: Service, name: orders, sectionName: http}}]\naction: Allow\nrules:\n- name: read\n  \
                 sources: [{}]\n  http: [{{method: GET}}]",
                account("web")
            ),
        ),
        object(
            "TrafficPermission",
            "orders-banner",
            &format!(
                "targetRefs: [{{kind: Service, name: orders, sectionName: banner}}]\naction: Allow\nrules:\n- name: web\n  \
                 sources: [{}]",
                account("web")
            ),
        ),
        object(
            "TrafficRoute",
            "orders",
            "parentRefs: [{kind: Service, name: orders, port: 80}]\nrules:\n- name: split\n  backendRefs:\n  \
             - {name: orders-v1, port: 80, weight: 75}\n  - {name: orders-v2, port: 80, weight: 25}",
        ),
    ]
    .concat()
}

/// The rule that the access log of either replica of orders names for a request with this mark.
fn rule(run: &Loopback, mark: &str) -> Result<String> {
    run.until(&format!("the access log names {mark}"), || {
        let logs = run.log_of("shop.orders-1.envoy")? + &run.log_of("shop.orders-2.envoy")?;
        let entries = logs.lines().filter(|line| line.contains(mark));
        let mut entries = entries.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let inbound = entries.find(|entry| entry["direction"] == "inbound");
        Ok(inbound.and_then(|entry| Some(entry["rule"].as_str()?.to_owned())))
    })
}

fn statuses(outcomes: &[Outcome]) -> Vec<Option<u16>> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}

/// What a server that speaks first says to whoever connects to a `tcp://` URL; empty if it hangs up.
fn banner(url: &str) -> Result<String> {
    let mut stream = TcpStream::connect(url.strip_prefix("tcp://").context("a TCP port has a tcp:// URL")?)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut said = vec![0; 256];
    let length = match stream.read(&mut said) {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
        Err(error) => return Err(error.into()),
    };
    said.truncate(length);
    Ok(String::from_utf8(said)?)
}

/// An L7 rule lets through, the lack of one refuses, and the log names what decided.
fn requests_are_decided(run: &Loopback) -> Result<()> {
    let (web, mallory) = (run.told("shop/web-1")?, run.told("shop/mallory-1")?);
    ensure!(web["TULLE_ORDERS_URL"].ends_with(":10080"), "port 80 is moved: {web:?}");
    let one = |url: &str, mark: &str, more: &[&str]| run.call(&[more, &[&format!("{url}/?{mark}")]].concat());
    // An L7 rule lets through, the lack of one refuses, and so it does a caller whom no rule names.
    ensure!(
        statuses(&one(&web["TULLE_ORDERS_URL"], "mark=get", &[])?) == [Some(200)],
        "GET is allowed"
    );
    ensure!(
        rule(run, "mark=get")? == "TrafficPermission/shop/orders/read",
        "{}",
        rule(run, "mark=get")?
    );
    ensure!(
        statuses(&one(&web["TULLE_ORDERS_URL"], "mark=post", &["-X", "POST"])?) == [Some(403)],
        "POST is not"
    );
    ensure!(
        rule(run, "mark=post")? == "default/Deny/http",
        "{}",
        rule(run, "mark=post")?
    );
    ensure!(
        statuses(&one(&mallory["TULLE_ORDERS_URL"], "mark=mallory", &[])?) == [Some(403)],
        "nor is mallory"
    );
    ensure!(
        rule(run, "mark=mallory")? == "default/Deny/http",
        "{}",
        rule(run, "mark=mallory")?
    );
    Ok(())
}

/// A `TrafficRoute` splits.
fn weights_hold(run: &Loopback) -> Result<()> {
    let web = run.told("shop/web-1")?;
    let many = run.call(&["-n", "400", &web["TULLE_ORDERS_URL"]])?;
    ensure!(
        many.iter().all(|outcome| outcome.status == Some(200)),
        "some fail: {:?}",
        statuses(&many)
    );
    let v2 = many
        .iter()
        .filter(|outcome| outcome.version.as_deref() == Some("v2"))
        .count();
    // Five standard deviations of 400 at a quarter.
    ensure!((57..=143).contains(&v2), "{v2} of 400 went to v2");
    Ok(())
}

/// TCP, where the server speaks first.
fn a_denied_caller_hears_nothing(run: &Loopback) -> Result<()> {
    let (web, mallory) = (run.told("shop/web-1")?, run.told("shop/mallory-1")?);
    ensure!(
        banner(&web["TULLE_ORDERS_BANNER_URL"])?.contains("orders"),
        "web hears the banner"
    );
    let heard = banner(&mallory["TULLE_ORDERS_BANNER_URL"])?;
    ensure!(heard.is_empty(), "mallory hears {heard:?}");
    Ok(())
}

/// Its own Service, and its own address.
fn it_reaches_itself(run: &Loopback) -> Result<()> {
    let web = run.told("shop/web-1")?;
    let own = run.call(&["-n", "20", &web["TULLE_WEB_URL"]])?;
    ensure!(
        own.iter().all(|outcome| outcome.status == Some(200)),
        "{:?}",
        statuses(&own)
    );
    let address = format!("http://{}:8080/", web["TULLE_ADDRESS"]);
    ensure!(statuses(&run.call(&[&address])?) == [Some(200)], "its own address");
    Ok(())
}

/// A workload's address takes mTLS only.
fn plaintext_is_refused(run: &Loopback) -> Result<()> {
    let mut plain = TcpStream::connect(format!("{}:8080", run.address("shop/orders-1")?))?;
    plain.set_read_timeout(Some(Duration::from_secs(30)))?;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")?;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    ensure!(
        answer.is_empty(),
        "plaintext is answered: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

#[test]
fn policies_hold_on_loopback_addresses_without_root() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let run = Loopback::start(folder.path(), As::User(USERS[0]), &mesh())?;
    ensure!(
        run.log()?.contains("NO SECURITY BOUNDARY"),
        "it must be said: {}",
        run.log()?
    );

    for workload in ["web-1", "mallory-1", "orders-1", "orders-2"] {
        run.listening(&format!("shop/{workload}"))?;
    }
    requests_are_decided(&run)?;
    weights_hold(&run)?;
    a_denied_caller_hears_nothing(&run)?;
    it_reaches_itself(&run)?;
    plaintext_is_refused(&run)
}

#[test]
fn nothing_is_left_of_a_run_on_loopback_addresses() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let start = || Loopback::start(folder.path(), As::User(USERS[1]), &app("orders"));
    let mut run = start()?;
    ensure!(
        run.left()?.len() > 5,
        "this test looks at the wrong things: {:?}",
        run.left()?
    );
    let before = run.address("shop/orders-1")?;
    run.signal("-TERM")?;
    ensure!(run.left()?.is_empty(), "after SIGTERM: {:?}", run.left()?);
    drop(run);

    let mut crashed = start()?;
    ensure!(crashed.address("shop/orders-1")? == before, "addresses are kept");
    crashed.signal("-KILL")?;
    // `kill -9` takes all processes along; files stay until the next start.
    crashed.until("the kernel ends the processes", || {
        let left = crashed.left()?;
        Ok(left
            .iter()
            .all(|entry| entry.starts_with('/') || entry == "admin.sock")
            .then_some(()))
    })?;
    ensure!(
        !crashed.left()?.is_empty(),
        "kill -9 leaves files behind, or this test looks at the wrong ones"
    );
    let mut next = start()?;
    ensure!(next.log()?.contains("removed what the earlier run"), "{}", next.log()?);
    next.signal("-INT")?;
    ensure!(
        next.left()?.is_empty(),
        "after a crash and the next run: {:?}",
        next.left()?
    );
    Ok(())
}

#[test]
fn root_may_ask_for_loopback_and_who_does_not_listen_is_named() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let everywhere = workload("stubborn-1", "stubborn", "v1").replace("shop-app,", "shop-app, --bind, 0.0.0.0,");
    let objects = [app("orders"), everywhere].concat();
    let mut run = Loopback::start(folder.path(), As::Root, &objects)?;
    ensure!(
        run.log()?.contains("NO SECURITY BOUNDARY"),
        "it must be said: {}",
        run.log()?
    );
    let namespaces = std::process::Command::new("ip").args(["netns", "list"]).output()?;
    let mine = format!("tulle-{}", run.id());
    ensure!(!String::from_utf8(namespaces.stdout)?.contains(&mine), "no namespaces");
    let silent = format!("{}:8080", run.variable("shop/stubborn-1", "TULLE_ADDRESS")?);
    run.until("the silent port is named", || {
        let log = run.log()?;
        let named = |line: &str| {
            line.contains("nobody listens on") && line.contains(&silent) && line.contains("shop/stubborn-1")
        };
        Ok(log.lines().any(named).then_some(()))
    })?;
    ensure!(
        run.log_of("shop.stubborn-1")?.contains("cannot listen on port 8080"),
        "its own log says why"
    );
    // A slow start may be named; once it listens, that is taken back.
    run.listening("shop/orders-1")?;
    run.until("nothing more is said against who listens", || {
        let log = run.log()?;
        let said = |words: &str| {
            let line = |line: &&str| line.contains(words) && line.contains("shop/orders-1");
            log.lines().filter(line).count()
        };
        Ok((said("nobody listens on") == said("somebody listens on")).then_some(()))
    })?;
    run.signal("-TERM")?;
    ensure!(run.left()?.is_empty(), "{:?}", run.left()?);
    Ok(())
}

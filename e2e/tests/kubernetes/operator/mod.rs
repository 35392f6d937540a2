//! `tulle operator` on a real cluster, as processes beside it: replicas agree on one certificate authority, keep what Pods and
//! the API server need, inject, say how they are, and end without anybody noticing.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

mod stage;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tulle_e2e::cluster::{Cluster, Component};
use tulle_e2e::harness::{Operator, wait_until};
use tulle_e2e::install::Installation;
use tulle_e2e::sim::Server;

use stage::{LIMIT, MESH, NAME, SYSTEM, Stage};

fn is_injected(pod: &Value) -> bool {
    pod["spec"]["initContainers"][1]["name"] == "tulle-proxy"
        && pod["metadata"]["labels"]["mesh.tulle.dev/injected"].is_string()
}

pub(crate) async fn replicas_are_one_control_plane(cluster: &Cluster) -> Result<()> {
    // An installation would answer for the same objects.
    Installation::absent(cluster)?;
    let stage = Stage::set(cluster.clone())?;
    let (mut first, mut second) = (stage.start("3s")?, stage.start("3s")?);
    first.until_ready()?;
    second.until_ready()?;
    let root = one_authority(&stage, &[&first, &second]).await?;
    kept(&stage, &root)?;
    stage.route(&[&first, &second])?;
    injected(&stage, &[&first, &second])?;
    nothing_is_written_that_is_right(&stage, &root)?;
    away(&stage, &first)?;
    ends(&stage, first, &second)?;
    drop(second);
    supplied(&stage).await?;
    stage.clear()
}

/// Started at once, they have one root.
async fn one_authority(stage: &Stage, operators: &[&Operator]) -> Result<String> {
    let root = stage.root()?;
    let made = operators
        .iter()
        .filter(|operator| operator.log().contains("a new root certificate was made"));
    ensure!(made.count() == 1, "two roots were made, or none");
    for operator in operators {
        Server::new(([127, 0, 0, 1], operator.xds.port()).into(), &root)?
            .greet()
            .await?;
        ensure!(operator.get("/livez")? == (200, "ok\n".to_owned()));
        ensure!(operator.get("/readyz")?.1.contains("[+]webhook ok"));
    }
    let secret = stage.get(SYSTEM, &["secret", "tulle-ca"])?;
    ensure!(secret["type"] == "kubernetes.io/tls", "{secret}");
    Ok(root)
}

/// What Pods and the API server need is there, comes back, and goes with the label.
fn kept(stage: &Stage, root: &str) -> Result<()> {
    stage.config_map(root)?;
    let edit = ["--namespace", MESH, "patch", "configmap", "tulle-ca", "--type=merge"];
    let wrong = r#"--patch={"data":{"root.pem":"wrong"}}"#;
    stage.cluster.kubectl(&[&edit[..], &[wrong]].concat())?;
    stage.config_map(root)?;
    stage
        .cluster
        .kubectl(&["--namespace", MESH, "delete", "configmap", "tulle-ca"])?;
    stage.config_map(root)?;
    stage.label("mesh.tulle.dev/inject=false")?;
    stage.until("no ConfigMap", |stage| {
        let maps = stage.get(MESH, &["configmap", "--field-selector=metadata.name=tulle-ca"])?;
        Ok((maps["items"] == json!([])).then_some(()))
    })?;
    stage.label("mesh.tulle.dev/inject=true")?;
    stage.config_map(root)?;

    stage.trusted(root)?;
    let wrong = r#"--patch=[{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="}]"#;
    let edit = ["patch", "mutatingwebhookconfiguration", NAME, "--type=json"];
    stage.cluster.kubectl(&[&edit[..], &[wrong]].concat())?;
    stage.trusted(root).map(drop)
}

fn injected(stage: &Stage, operators: &[&Operator]) -> Result<()> {
    let none = json!({});
    let first = stage.until("an injected Pod", |stage| stage.pod("first", &none, &none).map(Some))?;
    ensure!(is_injected(&first), "{first}");
    let intercept = &first["spec"]["initContainers"][0];
    let expected = format!("--control-plane={NAME}.{SYSTEM}.svc:15012");
    ensure!(
        intercept["image"] == "localhost/tulle:x" && intercept["args"].to_string().contains(&expected),
        "{intercept}"
    );
    let out = stage.pod("out", &none, &json!({"mesh.tulle.dev/inject": "false"}))?;
    ensure!(out["spec"]["initContainers"].is_null(), "{out}");
    let refused = stage.pod("host", &json!({"hostNetwork": true}), &none);
    let error = format!("{:#}", refused.err().context("a Pod of the host's network")?);
    ensure!(error.contains("spec.hostNetwork"), "{error}");
    let sum = |answer: &str| {
        let series = format!("tulle_admission_reviews_total{{webhook=\"mutate\",answer=\"{answer}\"}}");
        operators
            .iter()
            .map(|operator| operator.figure(&series))
            .sum::<Result<f64>>()
    };
    for answer in ["patched", "allowed", "refused"] {
        ensure!(sum(answer)? >= 1.0, "{answer}");
    }
    ensure!(sum("unreadable")? < 0.5);
    for operator in operators {
        ensure!(operator.figure("tulle_objects_by_kind{kind=\"Namespace\"}")? >= 2.0);
    }
    Ok(())
}

/// Another replica that starts finds all in order.
fn nothing_is_written_that_is_right(stage: &Stage, root: &str) -> Result<()> {
    let before = (stage.config_map(root)?, stage.trusted(root)?);
    let mut third = stage.start("0s")?;
    third.until_ready()?;
    for line in [
        "every namespace of the mesh has",
        "the API server asks us, and knows us",
    ] {
        stage.until(line, |_| Ok(third.log().contains(line).then_some(())))?;
    }
    let log = third.log();
    ensure!(
        !log.contains("was put right") && !log.contains("caBundle was written"),
        "{log}"
    );
    ensure!((stage.config_map(root)?, stage.trusted(root)?) == before);
    third.terminate()?;
    ensure!(third.ended()?.success(), "{}", third.log());
    Ok(())
}

/// A replica is ready as long as it can serve, and that it can without the API server.
fn away(stage: &Stage, operator: &Operator) -> Result<()> {
    stage.cluster.stop(Component::ApiServer)?;
    let seen = stage.until("the watches have noticed", |_| {
        Ok(operator.log().contains("the API server does not tell").then_some(()))
    });
    let ready = operator.get("/readyz");
    stage.cluster.start(Component::ApiServer)?;
    seen?;
    let (status, text) = ready?;
    ensure!(status == 200, "{text}");
    stage.until("the API server is back", |stage| {
        stage.cluster.kubectl(&["get", "--raw=/readyz"]).map(Some)
    })?;
    Ok(())
}

/// One that is asked to end says so first, and still answers meanwhile.
fn ends(stage: &Stage, mut first: Operator, second: &Operator) -> Result<()> {
    stage.route(&[&first])?;
    let none = json!({});
    stage.until("the first one answers alone", |stage| {
        stage.pod("alone", &none, &none)?;
        Ok(Some(()))
    })?;
    first.terminate()?;
    wait_until("it is not ready", LIMIT, Duration::from_millis(20), || {
        Ok((first.get("/readyz")?.0 == 503).then_some(()))
    })?;
    let during = stage.pod("during", &none, &none)?;
    ensure!(is_injected(&during), "{during}");
    stage.route(&[second])?;
    ensure!(first.ended()?.success(), "{}", first.log());
    let after = stage.until("the second one answers", |stage| {
        stage.pod("after", &none, &none).map(Some)
    })?;
    ensure!(is_injected(&after), "{after}");
    Ok(())
}

/// A supplied intermediate is used, and one that is broken is neither used nor replaced.
async fn supplied(stage: &Stage) -> Result<()> {
    let authority = |name: &str| -> Result<(CertificateParams, KeyPair)> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok((params, KeyPair::generate()?))
    };
    let ((root, root_key), (between, key)) = (authority("root")?, authority("between")?);
    let root_pem = root.self_signed(&root_key)?.pem();
    let chain = between.signed_by(&key, &Issuer::new(root, root_key))?.pem();
    let secret = |key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "tulle-ca", "namespace": SYSTEM},
            "stringData": {"tls.crt": chain, "tls.key": key, "ca.crt": root_pem},
        })
    };
    let replace = |secret: &Value| {
        let text = secret.to_string();
        stage
            .cluster
            .kubectl_with_input(&["replace", "--force", "--filename=-"], &text)
    };
    replace(&secret(&key.serialize_pem()))?;
    let mut operator = stage.start("0s")?;
    operator.until_ready()?;
    Server::new(([127, 0, 0, 1], operator.xds.port()).into(), &root_pem)?
        .greet()
        .await?;
    let lines = |text: &str| text.lines().collect::<String>();
    stage.until("the supplied root for Pods", |stage| {
        let map = stage.get(MESH, &["configmap", "tulle-ca"])?;
        let found = map["data"]["root.pem"].as_str().context("no root")?;
        ensure!(lines(found) == lines(&root_pem), "{found}");
        Ok(Some(()))
    })?;
    drop(operator);

    replace(&secret(&KeyPair::generate()?.serialize_pem()))?;
    let before = stage.get(SYSTEM, &["secret", "tulle-ca"])?;
    let mut operator = stage.start("0s")?;
    ensure!(!operator.ended()?.success(), "{}", operator.log());
    let log = operator.log();
    ensure!(
        log.contains(&format!("Secret {SYSTEM}/tulle-ca")) && log.contains("does not belong"),
        "{log}"
    );
    ensure!(stage.get(SYSTEM, &["secret", "tulle-ca"])? == before);
    Ok(())
}

//! Tulle is installed on a real cluster by its charts, tested, upgraded, uninstalled and installed again.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::install::{Installation, NAMESPACE, TULLE};

use super::shown::is_ready;

/// A namespace of the mesh with one policy of a user.
const USER: &str = "tulle-e2e-install";
const POLICY: &str = "
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: kept, namespace: tulle-e2e-install}
spec: {action: Deny, rules: [{name: all}]}
";
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: tulle-e2e-install}
spec: {containers: [{name: app, image: 'IMAGE', command: [sleep, '60'], imagePullPolicy: IfNotPresent}]}
";
const WEBHOOKS: [&str; 2] = ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"];

/// What the API server has of these, or nothing.
fn get(cluster: &Cluster, arguments: &[&str]) -> Result<Value> {
    let options = ["get", "--ignore-not-found", "--output=json"];
    let text = cluster.kubectl(&[&options[..], arguments].concat())?;
    Ok(if text.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text)?
    })
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items").and_then(Value::as_array).into_iter().flatten()
}

/// The root certificate's bytes as the Secret has them.
fn authority(cluster: &Cluster) -> Result<String> {
    let secret = get(cluster, &["secret", "tulle-ca", "--namespace", NAMESPACE])?;
    ensure!(
        secret.get("type") == Some(&json!("kubernetes.io/tls")),
        "the CA's Secret"
    );
    let certificate = secret.pointer("/data/tls.crt").and_then(Value::as_str);
    Ok(certificate.context("the CA has a certificate")?.to_owned())
}

/// The operator's fields in the webhooks: `caBundle` of each.
fn bundles(cluster: &Cluster) -> Result<Vec<String>> {
    let one = |kind: &&str| -> Result<String> {
        let webhook = get(cluster, &[kind, "tulle"])?;
        let bundle = webhook
            .pointer("/webhooks/0/clientConfig/caBundle")
            .and_then(Value::as_str);
        Ok(bundle
            .with_context(|| format!("the {kind} has no caBundle"))?
            .to_owned())
    };
    WEBHOOKS.iter().map(one).collect()
}

fn replicas(installation: &Installation, count: usize) -> Result<()> {
    let pods = installation.pods()?;
    let there = pods.iter().filter(|pod| is_ready(pod)).count();
    ensure!(
        there == count && pods.len() == count,
        "{there} of {} Pods ready, not {count}",
        pods.len()
    );
    let restarts = |pod: &Value| pod.pointer("/status/containerStatuses/0/restartCount").cloned();
    for pod in &pods {
        ensure!(restarts(pod) == Some(json!(0)), "a replica was started again: {pod}");
    }
    Ok(())
}

fn user(cluster: &Cluster) -> Result<()> {
    let labels = json!({"mesh.tulle.dev/inject": "true"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": USER, "labels": labels}});
    cluster.apply(&namespace.to_string())?;
    cluster.apply(POLICY)
}

pub(crate) fn charts_install_upgrade_uninstall_and_install_again(cluster: &Cluster) -> Result<()> {
    Installation::absent(cluster)?;
    needs_the_kinds(cluster)?;
    let installation = Installation::ensure(cluster)?;
    user(cluster)?;
    let (root, bundles_before) = (authority(cluster)?, bundles(cluster)?);
    works(&installation)?;
    upgrade(&installation)?;
    ensure!(
        bundles(cluster)? == bundles_before,
        "an upgrade touched the operator's fields"
    );
    uninstalled(&installation)?;
    let installation = Installation::ensure(cluster)?;
    ensure!(authority(cluster)? == root, "another root after a new installation");
    ensure!(
        bundles(cluster)? == bundles_before,
        "another caBundle after a new installation"
    );
    works(&installation)?;
    removed(cluster)
}

/// Without the kinds helm refuses, and says what to do.
fn needs_the_kinds(cluster: &Cluster) -> Result<()> {
    let refused = Installation::without_kinds(cluster)
        .err()
        .context("installed without its kinds")?;
    ensure!(
        format!("{refused:#}").contains("ensure CRDs are installed first"),
        "{refused:#}"
    );
    let deployments = get(cluster, &["deployments", "--namespace", NAMESPACE])?;
    ensure!(
        items(&deployments).next().is_none(),
        "the refused installation left {deployments}"
    );
    for kind in WEBHOOKS {
        ensure!(
            get(cluster, &[kind, "tulle"])?.is_null(),
            "the refused installation left a {kind}"
        );
    }
    Ok(())
}

fn works(installation: &Installation) -> Result<()> {
    replicas(installation, 2)?;
    let cluster = installation.cluster();
    let level = get(cluster, &["namespace", NAMESPACE])?;
    let level = level.pointer("/metadata/labels/pod-security.kubernetes.io~1enforce");
    ensure!(level == Some(&json!("restricted")), "the namespace is {level:?}");
    let said = installation.test()?;
    ensure!(said.contains("Succeeded"), "{said}");
    let logs = installation.kubectl(&["logs", "--selector=app.kubernetes.io/component=operator", "--tail=-1"])?;
    ensure!(logs.contains("caBundle"), "{logs}");
    // The rights of the chart are enough.
    ensure!(!logs.contains("forbidden"), "{logs}");
    Ok(())
}

/// Another value takes hold; the same value again starts nothing anew.
fn upgrade(installation: &Installation) -> Result<()> {
    let arguments = [
        "--set=replicas=3",
        "--set=logLevel=debug",
        "--set=mesh.revocationTime=20s",
    ];
    let cluster = installation.cluster();
    installation.install(&arguments)?;
    replicas(installation, 3)?;
    let mesh = get(cluster, &["mesh", "default"])?;
    ensure!(mesh.pointer("/spec/revocationTime") == Some(&json!("20s")), "{mesh}");
    let names = |pods: &[Value]| -> Vec<Value> {
        pods.iter()
            .filter_map(|pod| pod.pointer("/metadata/name").cloned())
            .collect()
    };
    let before = names(&installation.pods()?);
    installation.install(&arguments)?;
    installation.install_kinds()?;
    let after = names(&installation.pods()?);
    ensure!(before == after, "the same values again: {before:?} became {after:?}");
    installation.install(&[])?;
    let mesh = get(cluster, &["mesh", "default"])?;
    ensure!(mesh.pointer("/spec/revocationTime").is_none(), "{mesh}");
    // So that a new installation finds more than it wants.
    installation.install(&arguments)
}

/// Nothing that acts is left, nothing that hinders a deletion; what users wrote is.
fn uninstalled(installation: &Installation) -> Result<()> {
    installation.uninstall()?;
    let cluster = installation.cluster();
    for kind in [&WEBHOOKS[..], &["clusterrole", "clusterrolebinding"]].concat() {
        ensure!(get(cluster, &[kind, "tulle"])?.is_null(), "a {kind} is left");
    }
    for kind in [
        "deployment",
        "service",
        "serviceaccount",
        "role",
        "rolebinding",
        "networkpolicy",
        "poddisruptionbudget",
    ] {
        ensure!(
            get(cluster, &[kind, "tulle", "--namespace", NAMESPACE])?.is_null(),
            "a {kind} is left"
        );
    }
    let mut kept = 0;
    for kind in crds::all() {
        let name = kind.metadata.name.context("a definition has a name")?;
        let definition = get(cluster, &["crd", &name])?;
        ensure!(!definition.is_null(), "{name} is gone, and with it what users wrote");
        let objects = get(cluster, &[&name, "--all-namespaces"])?;
        for object in items(&objects) {
            kept += 1;
            ensure!(
                object.pointer("/metadata/finalizers").is_none(),
                "a finalizer is left: {object}"
            );
        }
    }
    ensure!(kept >= 2, "Mesh/default and the user's policy are kept, not {kept}");
    authority(cluster)?;
    // Nothing stands in the way of pods of labelled namespaces, nor of the end of one.
    let image = format!("{TULLE}:{}", installation.tag());
    cluster.apply(&POD.replace("IMAGE", &image))?;
    cluster
        .kubectl(&["delete", "namespace", USER, "--timeout=120s"])
        .map(drop)
}

/// The way to be rid of everything that the documentation describes.
fn removed(cluster: &Cluster) -> Result<()> {
    Installation::absent(cluster)?;
    let definitions = get(cluster, &["crds"])?;
    let ours = |object: &&Value| object.pointer("/spec/group") == Some(&json!("mesh.tulle.dev"));
    ensure!(!items(&definitions).any(|object| ours(&object)), "a kind is left");
    for kind in WEBHOOKS {
        ensure!(get(cluster, &[kind, "tulle"])?.is_null(), "a {kind} is left");
    }
    ensure!(
        get(cluster, &["namespace", NAMESPACE])?.is_null(),
        "the namespace is left"
    );
    Ok(())
}

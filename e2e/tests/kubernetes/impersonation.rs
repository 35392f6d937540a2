//! On a real cluster, with Tulle installed by its charts: a pod is let in as itself, and nobody as another one. Whatever else shows
//! a token gets no certificate and no configuration, and the stream of a pod ends with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tulle_e2e::cluster::{Cluster, Component};
use tulle_e2e::harness::own_program;
use tulle_e2e::install::{Installation, load_tools};
use tulle_e2e::pods::{LIMIT, Namespace, Token, say, until};
use tulle_e2e::probe::ads::AdsReport;

const NAMESPACE: &str = "tulle-e2e-identity";
const OTHER: &str = "tulle-e2e-identity-other";
/// A deleted pod's stream ends within this time.
const END: Duration = Duration::from_secs(5);

/// Its own connections to the control plane are not intercepted, so that the pod's address is what it shows.
const POD: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Pod
metadata:
  name: NAME
  labels: {app: NAME, mesh.tulle.dev/inject: "MESHED"}
  annotations: {mesh.tulle.dev/excludeOutboundPorts: "15012"}
spec:
  serviceAccountName: NAME
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: IMAGE
      command: [tulle-e2e, app, --http, "7000"]
      ports: [{name: http, containerPort: 7000}]
      volumeMounts: [{name: token, mountPath: /token}, {name: root, mountPath: /root-of-mesh}]
  volumes:
    - name: root
      configMap: {name: tulle-ca}
    - name: token
      projected:
        sources:
          - serviceAccountToken: {audience: tulle, path: token, expirationSeconds: 600}
          - serviceAccountToken: {audience: somebody, path: other, expirationSeconds: 600}
"#;

/// A namespace and the name of a pod.
type Pod = (&'static str, &'static str);
const ORDERS: Pod = (NAMESPACE, "orders");
const THIEF: Pod = (NAMESPACE, "thief");
const PLAIN: Pod = (NAMESPACE, "plain");
const FOREIGN: Pod = (OTHER, "orders");

fn node((namespace, name): Pod) -> String {
    format!("{namespace}/{name}")
}

/// Who tries what: the case, the pod that it comes from, the token, the node id, and what the refusal says.
struct Attempt<'a> {
    case: &'a str,
    from: Pod,
    token: &'a str,
    node: Pod,
    why: &'a str,
}

struct Stage {
    here: Namespace,
    other: Namespace,
    /// Where pods reach the control plane.
    address: String,
}

impl Stage {
    fn set(cluster: &Cluster) -> Result<Self> {
        let installation = Installation::ensure(cluster)?;
        let image = load_tools(cluster)?;
        let ip = installation.kubectl(&["get", "service", "tulle", "--output=jsonpath={.spec.clusterIP}"])?;
        let stage = Self {
            here: Namespace::meshed(cluster, NAMESPACE, &image)?,
            other: Namespace::meshed(cluster, OTHER, &image)?,
            address: format!("{ip}:15012"),
        };
        for (pod, meshed) in [(ORDERS, true), (THIEF, true), (PLAIN, false), (FOREIGN, true)] {
            stage.create(pod, meshed)?;
        }
        for pod in [ORDERS, THIEF, PLAIN, FOREIGN] {
            stage.ready(pod)?;
        }
        Ok(stage)
    }

    fn namespace(&self, (namespace, _): Pod) -> &Namespace {
        if namespace == OTHER { &self.other } else { &self.here }
    }

    fn create(&self, pod: Pod, meshed: bool) -> Result<()> {
        let yaml = POD.replace("NAME", pod.1).replace("MESHED", &meshed.to_string());
        self.namespace(pod).apply(&yaml)
    }

    fn ready(&self, pod: Pod) -> Result<()> {
        self.namespace(pod).ready(&[&format!("pod/{}", pod.1)])
    }

    fn file(&self, pod: Pod, file: &str) -> Result<String> {
        self.namespace(pod)
            .kubectl(&["exec", pod.1, "--container=app", "--", "cat", file])
    }

    /// What the control plane answers a process in a pod that shows a token and claims to be a node.
    fn ask(&self, from: Pod, token: &str, claimed: Pod) -> Result<AdsReport> {
        let namespace = self.namespace(from);
        let source = namespace.address(from.1)?;
        // Attempts from one pod run beside each other.
        let script = format!(
            "file=/tmp/token-$$ && cat > $file && tulle-e2e ads {} --root /root-of-mesh/root.pem --node '{}' --token $file \
             --source {source} --listen 20000 --identity",
            self.address,
            node(claimed)
        );
        let exec = [
            "--namespace",
            namespace.name(),
            "exec",
            "--stdin",
            from.1,
            "--container=app",
            "--",
            "sh",
            "-c",
            &script,
        ];
        let answer = namespace.cluster().kubectl_with_input(&exec, token)?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn refused(&self, attempt: &Attempt<'_>) -> Result<()> {
        let report = self.ask(attempt.from, attempt.token, attempt.node)?;
        let said = report.ended.clone().unwrap_or_default();
        ensure!(
            !report.complete && report.resources == 0 && report.identity.is_none() && said.contains(attempt.why),
            "{}: {report:?}",
            attempt.case
        );
        Ok(())
    }

    fn accepted(&self, case: &str, token: &str) -> Result<()> {
        let report = self.ask(ORDERS, token, ORDERS)?;
        ensure!(report.complete && report.identity.is_some(), "{case}: {report:?}");
        Ok(())
    }

    /// All of them, at once: some of the refusals take their time.
    fn all_refused(&self, attempts: &[Attempt<'_>]) -> Result<()> {
        std::thread::scope(|scope| {
            let running: Vec<_> = attempts.iter().map(|one| scope.spawn(|| self.refused(one))).collect();
            let results = running
                .into_iter()
                .map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("an attempt panicked"))));
            let failed: Vec<String> = results.filter_map(|one| Some(format!("{:#}", one.err()?))).collect();
            ensure!(failed.is_empty(), "{}", failed.join("\n"));
            Ok(())
        })
    }
}

pub(crate) fn a_pod_is_itself_only(cluster: &Cluster) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let own = stage.file(ORDERS, "/token/token")?;
    stage.accepted("a pod is itself", &own)?;
    real_tokens(&stage, &own)?;
    forged_tokens(&stage, &own)?;
    held_stream(&stage)?;
    deleted(&stage, &own)?;
    stage.here.leave()?;
    stage.other.leave()
}

/// Tokens that the API server issued, used by somebody else, elsewhere, or made for something else.
fn real_tokens(stage: &Stage, own: &str) -> Result<()> {
    let (foreign, wrong) = (
        stage.file(FOREIGN, "/token/token")?,
        stage.file(ORDERS, "/token/other")?,
    );
    let unmeshed = stage.file(PLAIN, "/token/token")?;
    let default = stage.file(ORDERS, "/var/run/secrets/kubernetes.io/serviceaccount/token")?;
    let create = ["create", "token", "orders", "--audience=tulle"];
    let unbound = stage.here.kubectl(&create)?.trim().to_owned();
    let cases = [
        ("another pod's node id", ORDERS, own, THIEF, "is not for node"),
        ("another namespace's node id", ORDERS, own, FOREIGN, "is not for node"),
        ("stolen", THIEF, own, ORDERS, "not an address of that Pod"),
        ("stolen, as oneself", THIEF, own, THIEF, "is not for node"),
        (
            "stolen, from another namespace",
            FOREIGN,
            own,
            ORDERS,
            "not an address of that Pod",
        ),
        ("stolen, as its namesake", FOREIGN, own, FOREIGN, "is not for node"),
        (
            "another namespace's token",
            ORDERS,
            &*foreign,
            ORDERS,
            "is not for node",
        ),
        ("wrong audience", ORDERS, &*wrong, ORDERS, "audience"),
        ("the API server's token", ORDERS, &*default, ORDERS, "audience"),
        ("bound to no pod", ORDERS, &*unbound, ORDERS, "bound to no Pod"),
        ("no token", ORDERS, "", ORDERS, "no token"),
        ("a pod that is not meshed", PLAIN, &*unmeshed, PLAIN, "there is no Pod"),
    ];
    stage.all_refused(&cases.map(attempt))
}

fn attempt<'a>((case, from, token, node, why): (&'a str, Pod, &'a str, Pod, &'a str)) -> Attempt<'a> {
    Attempt {
        case,
        from,
        token,
        node,
        why,
    }
}

/// Tokens that are like the real one but for one thing.
fn forged_tokens(stage: &Stage, own: &str) -> Result<()> {
    let real = Token::parse(own)?;
    let stranger = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let none = real.clone().with_header("alg", "none");
    let elsewhere = real.clone().with_claim("iss", "https://elsewhere.example");
    let mut tokens = vec![
        ("alg: none", none.unsigned(), "token"),
        ("alg: none, no key", none.with_header("kid", "x").unsigned(), "token"),
        ("a stranger's signature", real.signed(&stranger)?, "signature"),
        (
            "a foreign issuer",
            elsewhere.clone().with_header("kid", "theirs").signed(&stranger)?,
            "a key that this cluster's issuer does not have",
        ),
    ];
    if stage.here.cluster().is_own() {
        let issuer = KeyPair::from_pem(&stage.here.cluster().token_key()?)?;
        let then = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 60;
        let expired = real.clone().with_claim("exp", then);
        // What is signed here is as good as what the API server signs: so only the change can be why the others are refused.
        stage.accepted("signed again", &real.signed(&issuer)?)?;
        tokens.push(("expired", expired.signed(&issuer)?, "expired"));
        tokens.push(("another issuer's name", elsewhere.signed(&issuer)?, "another issuer"));
    } else {
        say("SKIPPED: an expired token, another issuer's name: the key of a given cluster's issuer is not known here");
    }
    let attempts = tokens
        .iter()
        .map(|(case, token, why)| attempt((case, ORDERS, token, ORDERS, why)));
    stage.all_refused(&attempts.collect::<Vec<_>>())
}

/// A process in the network of a pod that keeps its stream, whatever becomes of the pod.
struct Held {
    process: Child,
    reports: Receiver<AdsReport>,
}

impl Held {
    fn start(stage: &Stage, pod: Pod) -> Result<Self> {
        let address = stage.namespace(pod).address(pod.1)?;
        let network = stage.here.cluster().pod_network(address)?;
        let folder = tempfile::tempdir()?;
        let (root, token) = (folder.path().join("root.pem"), folder.path().join("token"));
        std::fs::write(&root, stage.file(pod, "/root-of-mesh/root.pem")?)?;
        std::fs::write(&token, stage.file(pod, "/token/token")?)?;
        let mut process = Command::new("ip")
            .args(["netns", "exec", &network])
            .arg(own_program()?)
            .args(["ads", &stage.address, "--hold", "--listen", "300000"])
            .args(["--node", &node(pod), "--source", &address.to_string()])
            .arg("--root")
            .arg(&root)
            .arg("--token")
            .arg(&token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok());
            lines.for_each(|report| drop(sender.send(report)));
        });
        let held = Self { process, reports };
        let first = held.reports.recv_timeout(LIMIT)?;
        ensure!(first.complete && first.ended.is_none(), "it has a stream: {first:?}");
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It has most likely ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The control plane ends the stream of a pod that is deleted. Nobody else does: the kubelet, who would end its processes and take
/// its network away, does not run.
fn held_stream(stage: &Stage) -> Result<()> {
    let cluster = stage.here.cluster();
    if !cluster.is_own() {
        say("SKIPPED: the stream of a deleted pod: the kubelet of a given cluster is not ours to be stopped");
        return Ok(());
    }
    let held = Held::start(stage, THIEF)?;
    cluster.stop(Component::Kubelet)?;
    let ended = stage
        .here
        .kubectl(&["delete", "pod", THIEF.1, "--grace-period=0", "--force"])
        .and_then(|_| {
            held.reports
                .recv_timeout(END)
                .context("the stream of a deleted pod goes on")
        });
    cluster.start(Component::Kubelet)?;
    let ended = ended?;
    ensure!(ended.ended.is_some(), "the control plane ended the stream: {ended:?}");
    say(&format!("the stream of a deleted pod: {:?}", ended.ended));
    until("the node is ready again", || {
        let path = "--output=jsonpath={.items[0].status.conditions[?(@.type==\"Ready\")].status}";
        Ok(cluster.kubectl(&["get", "nodes", path])? == "True")
    })?;
    stage.create(THIEF, true)?;
    stage.ready(THIEF)
}

/// The token of a deleted pod counts no more, whether or not there is another one of its name.
fn deleted(stage: &Stage, token: &str) -> Result<()> {
    stage.here.kubectl(&["delete", "pod", ORDERS.1, "--timeout=60s"])?;
    let gone = |case, from| attempt((case, from, token, ORDERS, "there is no Pod"));
    stage.all_refused(&[
        gone("a deleted pod's token", THIEF),
        gone("the same, from elsewhere", FOREIGN),
    ])?;
    stage.create(ORDERS, true)?;
    stage.ready(ORDERS)?;
    stage.all_refused(&[gone("its predecessor's token", ORDERS)])?;
    stage.accepted("the new pod is itself", &stage.file(ORDERS, "/token/token")?)
}

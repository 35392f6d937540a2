//! Real Envoy reads every golden snapshot: `envoy --mode validate` with everything that would come by xDS put in its place.

#[path = "../../config/tests/support/inline.rs"]
mod inline;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use config::{Compiler, Objects, Placement, Settings};
use operator::envoy_binary::{Search, default_cache_dir, locate};
use prost::Message;
use serde_json::Value;
use xds::{Kind, Layer, Snapshot};

/// A certificate of the mesh, and a leaf with its key.
struct Certificates {
    root: String,
    leaf: String,
    key: String,
}

fn certificates() -> Result<Certificates> {
    let root_key = rcgen::KeyPair::generate()?;
    let mut root = rcgen::CertificateParams::new(Vec::new())?;
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = root.self_signed(&root_key)?;
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(Vec::new())?;
    leaf.subject_alt_names = vec![rcgen::SanType::URI("spiffe://tulle.local/ns/shop/sa/web".try_into()?)];
    let leaf = leaf.signed_by(&key, &issuer)?;
    Ok(Certificates {
        root: certificate.pem(),
        leaf: leaf.pem(),
        key: key.serialize_pem(),
    })
}

fn envoy() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name);
    let search = Search {
        explicit: variable("TULLE_ENVOY").map(PathBuf::from),
        path: variable("PATH"),
        cache_dir: default_cache_dir(
            false,
            variable("XDG_CACHE_HOME").as_deref(),
            variable("HOME").as_deref(),
        ),
    };
    Ok(locate(&search, &|line| println!("{line}"))?.path)
}

/// Every input of the compiler's goldens.
fn inputs() -> Result<Vec<PathBuf>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests");
    let mut found = Vec::new();
    let mut folders = vec![tests.join("golden"), tests.join("change")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if ["input.yaml", "before.yaml", "after.yaml"].contains(&name) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn objects(yaml: &str) -> Result<Objects> {
    let mut objects = Objects::default();
    for document in serde_saphyr::from_multiple::<Value>(yaml)? {
        match document.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "Mesh" => objects.meshes.push(serde_json::from_value(document)?),
            "TrafficPermission" => objects.permissions.push(serde_json::from_value(document)?),
            "TrafficRoute" => objects.routes.push(serde_json::from_value(document)?),
            "RateLimit" => objects.rate_limits.push(serde_json::from_value(document)?),
            "FaultInjection" => objects.faults.push(serde_json::from_value(document)?),
            "Workload" => objects.workloads.push(serde_json::from_value(document)?),
            "Service" => objects.services.push(serde_json::from_value(document)?),
            other => anyhow::bail!("no such kind: {other}"),
        }
    }
    Ok(objects)
}

/// The settings of a case: a line `# loopback: <block>` chooses loopback placement.
fn settings(yaml: &str, certificates: &Certificates) -> Result<Settings> {
    let block = yaml.lines().find_map(|line| line.strip_prefix("# loopback: "));
    let block = block.map(str::parse).transpose().map_err(anyhow::Error::msg)?;
    Ok(Settings {
        trust_bundle: certificates.root.as_str().into(),
        placement: block.map_or_else(Placement::default, Placement::Loopback),
        ..Settings::default()
    })
}

/// The same snapshot with a stub for each resource that may be replaced by one.
fn stubbed(snapshot: &Snapshot) -> Snapshot {
    let mut all: BTreeMap<_, _> = BTreeMap::new();
    for resource in Kind::ALL.into_iter().flat_map(|kind| snapshot.iter(kind)) {
        let stub = config::stub(resource.kind, &resource.name).unwrap_or_else(|| Arc::clone(resource));
        all.insert((stub.kind, Arc::clone(&stub.name)), stub);
    }
    Snapshot {
        revision: 0,
        layers: vec![Arc::new(Layer::from_resources(all.into_values()))],
        ..Snapshot::default()
    }
}

fn validate(envoy: &Path, folder: &Path, snapshot: &Snapshot, certificates: &Certificates) -> Result<()> {
    let file = folder.join("bootstrap.pb");
    let bootstrap = inline::bootstrap(snapshot, &certificates.leaf, &certificates.key);
    std::fs::write(&file, bootstrap.encode_to_vec())?;
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-l", "error", "-c"])
        .arg(&file)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn envoy_accepts_every_golden_snapshot() -> Result<()> {
    let (envoy, certificates, folder) = (envoy()?, certificates()?, tempfile::tempdir()?);
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    for input in inputs()? {
        let yaml = std::fs::read_to_string(&input)?;
        let objects = objects(&yaml).with_context(|| input.display().to_string())?;
        let settings = settings(&yaml, &certificates)?;
        let model = config::build(&objects, &settings, now);
        let mut compiler = Compiler::new();
        for workload in model.workloads.keys() {
            let at = || format!("{} {workload}", input.display());
            let snapshot = compiler.snapshot(&model, &settings, workload).with_context(at)?;
            validate(&envoy, folder.path(), &snapshot, &certificates).with_context(at)?;
            validate(&envoy, folder.path(), &stubbed(&snapshot), &certificates).with_context(|| at() + ", stubs")?;
        }
    }
    Ok(())
}

//! What the compiler's tests share: YAML -> objects, and one compiled world.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

pub(crate) mod render;
#[path = "../common/yaml.rs"]
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tulle_config::model::Key;
use tulle_config::{Compiler, Model, Placement, Settings};
use xds::Snapshot;
pub(crate) use yaml::{objects, shop_service, shop_workload};

/// Stands for the mesh's certificates where no Envoy reads them.
pub(crate) const TRUST_BUNDLE: &str = "-----BEGIN CERTIFICATE-----\ngolden\n-----END CERTIFICATE-----\n";

/// The time of all tests.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

/// The settings of all tests.
pub(crate) fn settings() -> Settings {
    Settings {
        trust_bundle: TRUST_BUNDLE.into(),
        ..Settings::default()
    }
}

/// The settings of a case: a line `# loopback: <block>` chooses loopback placement.
pub(crate) fn settings_of(yaml: &str) -> Settings {
    let block = yaml.lines().find_map(|line| line.strip_prefix("# loopback: "));
    Settings {
        placement: block.map_or_else(Placement::default, |block| Placement::Loopback(block.parse().unwrap())),
        ..settings()
    }
}

/// Objects -> model.
pub(crate) fn model(yaml: &str) -> Arc<Model> {
    tulle_config::build(&objects(yaml), &settings_of(yaml), now())
}

/// The snapshot of one workload's proxy.
pub(crate) fn snapshot(compiler: &mut Compiler, model: &Arc<Model>, workload: &Key) -> Snapshot {
    compiler.snapshot(model, &settings(), workload).unwrap()
}

/// The folders in a folder, sorted.
pub(crate) fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// A folder beside the tests.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Compares a file with what it should hold, or writes it when `UPDATE_GOLDEN` is set.
pub(crate) fn check(file: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        return Ok(());
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    if known == text {
        return Ok(());
    }
    let first = known.lines().zip(text.lines()).position(|(a, b)| a != b);
    let line = first.unwrap_or_else(|| known.lines().count().min(text.lines().count()));
    let (old, new) = (
        known.lines().nth(line).unwrap_or("(end)"),
        text.lines().nth(line).unwrap_or("(end)"),
    );
    Err(format!(
        "{}:{}:\n  golden: {old}\n  now:    {new}",
        file.display(),
        line + 1
    ))
}

/// A permission of the namespace `shop` on one of its Services.
pub(crate) fn permission(name: &str, target: &str, action: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{targetRefs: [{{kind: Service, name: {target}}}], action: {action}, rules: {rules}}}\n"
    )
}

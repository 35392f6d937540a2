//! The control groups of pods, which kubelet leaves behind: one tree in each hierarchy (or in the only one).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use operator::process::Pid;

const ROOT: &str = "/sys/fs/cgroup";
/// The group that kubelet puts all pods into.
const PODS: &str = "kubepods";

/// The trees that are there.
pub(super) fn trees() -> Vec<PathBuf> {
    let children = fs::read_dir(ROOT).into_iter().flatten();
    let hierarchies = children.filter_map(|entry| Some(entry.ok()?.path()));
    let folders = hierarchies.chain([PathBuf::from(ROOT)]).map(|folder| folder.join(PODS));
    let mut found: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    // `cpu` and `cpuacct` may be two names of one hierarchy.
    found.sort();
    found
}

/// The processes in them.
pub(super) fn processes() -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for tree in trees() {
        collect(&tree, &mut found)?;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The processes of one pod, by its UID.
pub(super) fn of_pod(uid: &str) -> Result<Vec<Pid>> {
    let (name, mut found) = (format!("pod{uid}"), Vec::new());
    for tree in trees() {
        // Directly below, or within the group of its quality of service.
        let classes = children(&tree)?.into_iter().chain([tree]);
        for group in classes.map(|class| class.join(&name)).filter(|group| group.is_dir()) {
            collect(&group, &mut found)?;
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn collect(group: &Path, found: &mut Vec<Pid>) -> io::Result<()> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(list.lines().filter_map(|pid| Pid::of(pid.parse().ok()?)));
    for child in children(group)? {
        collect(&child, found)?;
    }
    Ok(())
}

/// Removes them; every process in them must be gone.
pub(super) fn clear() -> Result<()> {
    trees()
        .iter()
        .try_for_each(|tree| remove(tree).with_context(|| format!("cannot remove {}", tree.display())))
}

/// Whether this machine has what kubelet needs, and lets us use it.
pub(super) fn usable() -> bool {
    let hierarchy = ["memory", "pids", "cpu"]
        .iter()
        .all(|name| writable(&Path::new(ROOT).join(name)));
    let unified = || {
        let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers")).unwrap_or_default();
        controllers.contains("memory") && writable(Path::new(ROOT))
    };
    hierarchy || unified()
}

/// Making a group is the only sure way to know.
fn writable(hierarchy: &Path) -> bool {
    let trial = hierarchy.join(format!("tulle-e2e-{}", std::process::id()));
    fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial)).is_ok()
}

/// Groups are folders whose files cannot be removed: deepest first.
fn remove(group: &Path) -> io::Result<()> {
    children(group)?.iter().try_for_each(|child| remove(child))?;
    match fs::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The groups within a group; none if it is gone.
fn children(group: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

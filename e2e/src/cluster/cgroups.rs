//! The control groups of pods, which kubelet leaves behind: one tree in each hierarchy (or in the only one).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use operator::process::Pid;

use super::layout::Layout;

const ROOT: &str = "/sys/fs/cgroup";
/// The processes of a group.
const PROCESSES: &str = "cgroup.procs";
/// The group that kubelet puts all pods into.
const PODS: &str = "kubepods";

/// Makes the group of the cluster, if it is not the root: kubelet wants it to be there, with all controllers that there are.
pub(super) fn prepare(layout: &Layout) -> Result<()> {
    if layout.cgroup().is_empty() {
        return Ok(());
    }
    for hierarchy in hierarchies() {
        let all = controllers(&hierarchy);
        // Not where others can change what groups below are: there, what the group has is all.
        for controller in all
            .split_whitespace()
            .filter(|_| !hierarchy.join("cgroup.type").exists())
        {
            // One at a time: what cannot be passed on must not keep the others back.
            let _ = pass_on(&hierarchy, &[controller]);
        }
        let group = hierarchy.join(layout.cgroup());
        match fs::create_dir_all(&group) {
            // kubelet says it if it misses one that is not for us.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
                ) =>
            {
                continue;
            }
            made => made.with_context(|| format!("cannot make {}", group.display()))?,
        }
        let there = controllers(&group);
        let missing = all
            .split_whitespace()
            .find(|name| !there.split_whitespace().any(|one| one == *name));
        if let Some(name) = missing {
            bail!(
                "the control group {} does not get the controller {name}",
                group.display()
            );
        }
    }
    Ok(())
}

/// Gives controllers to the groups below.
fn pass_on(group: &Path, controllers: &[&str]) -> io::Result<()> {
    let orders: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
    fs::write(group.join("cgroup.subtree_control"), orders.join(" "))
}

/// Those of a group in the only hierarchy; nothing where each controller has its own.
fn controllers(group: &Path) -> String {
    fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default()
}

/// Where groups can be made: each hierarchy has a list of the processes in its root.
fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let children = fs::read_dir(ROOT).into_iter().flatten();
    let folders = children.filter_map(|entry| Some(entry.ok()?.path()));
    let only = PathBuf::from(ROOT);
    let several = !only.join(PROCESSES).exists();
    let all = folders.filter(move |_| several).chain([only]);
    all.filter(|folder| folder.join(PROCESSES).exists())
}

/// The trees that are there.
pub(super) fn trees(layout: &Layout) -> Vec<PathBuf> {
    let folders = hierarchies().map(|hierarchy| hierarchy.join(layout.cgroup()).join(PODS));
    let mut found: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    // `cpu` and `cpuacct` may be two names of one hierarchy.
    found.sort();
    found
}

/// The processes in them.
pub(super) fn processes(layout: &Layout) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for tree in trees(layout) {
        collect(&tree, &mut found)?;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The processes of one pod, by its UID.
pub(super) fn of_pod(layout: &Layout, uid: &str) -> Result<Vec<Pid>> {
    let (name, mut found) = (format!("pod{uid}"), Vec::new());
    for tree in trees(layout) {
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
    let list = fs::read_to_string(group.join(PROCESSES)).unwrap_or_default();
    found.extend(list.lines().filter_map(|pid| Pid::of(pid.parse().ok()?)));
    for child in children(group)? {
        collect(&child, found)?;
    }
    Ok(())
}

/// Removes them; every process in them must be gone.
pub(super) fn clear(layout: &Layout) -> Result<()> {
    let own = hierarchies().map(|hierarchy| hierarchy.join(layout.cgroup()));
    let own = own.filter(|group| !layout.cgroup().is_empty() && group.is_dir());
    for group in trees(layout).into_iter().chain(own) {
        remove(&group).with_context(|| format!("cannot remove {}", group.display()))?;
    }
    Ok(())
}

/// Whether this machine has what kubelet needs, and lets us use it.
pub(super) fn usable() -> bool {
    let hierarchy = ["memory", "pids", "cpu"]
        .iter()
        .all(|name| writable(&Path::new(ROOT).join(name)));
    // All or nothing: a group with processes passes some of them on, and has no others below it then.
    let unified = || {
        let root = Path::new(ROOT);
        controllers(root).contains("memory") && pass_on(root, &["cpu", "memory", "pids"]).is_ok() && writable(root)
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

//! Rooms: what a process needs around it so that its cluster is alone on the machine though others are there too.
//!
//! A room has a network, processes, a `/run` and a few folders of its own, and a control group below which its pods are; it shares the
//! programs and the archives of images, and has no way out to other machines. It ends with its first process, and so does every
//! process in it. Whoever looks from outside does not reach its API server, so `tulle-e2e cluster up` uses none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use operator::identity::files;

use super::layout::{BUILDS, CGROUP, Layout, STATE};
use super::{cgroups, record, say, shell, stop};

/// Its number, for the process in it.
const ROOM: &str = "TULLE_E2E_ROOM";
/// The machine's: rooms of all state folders have the same control groups.
const LOCK: &str = "/run/tulle/rooms.lock";
/// In the state folder of a room, so that nobody takes it for another one's. Locked while somebody is in.
const MARK: &str = "room";
/// Folders whose names the programs do not let us choose, and in which two clusters would meet. `/run` is one more.
const FOLDERS: [&str; 3] = ["/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// Makes the room around the shell that reads this. The network file system `/sys` shows the devices of the network in which it was
/// mounted. Kernel settings that are the whole machine's are written to copies. The shell stays, because somebody has to wait for
/// processes whose parents end before them.
const ENTER: &str = r#"
ip link set lo up
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/groups /run/settings
mount --rbind /sys/fs/cgroup /run/groups
mount -t sysfs sysfs /sys
mount --move /run/groups /sys/fs/cgroup
for folder in FOLDERS; do mount -t tmpfs -o mode=755 room "$folder"; done
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops; do
    [ -e "/proc/sys/$setting" ] || continue
    copy="/run/settings/${setting##*/}"
    cat "/proc/sys/$setting" > "$copy"
    mount --bind "$copy" "/proc/sys/$setting"
done
set +e
"$0" "$@"
exit $?
"#;

/// The rooms of one program. Those of two at a time would meet: the second one waits.
#[derive(Debug)]
pub struct Rooms {
    state: Layout,
    /// Made for the rooms, and removed after them.
    made: Vec<&'static str>,
    _lock: File,
}

impl Rooms {
    /// The error says why there can be none here.
    pub fn open() -> Result<Self> {
        let lock = record::exclusive(Path::new(LOCK), "waiting for other tests on clusters", &say)?;
        let rooms = Self {
            state: Layout::from_environment(),
            made: FOLDERS
                .into_iter()
                .filter(|folder| is_free(Path::new(folder)))
                .collect(),
            _lock: lock,
        };
        rooms.made.iter().try_for_each(fs::create_dir_all)?;
        let group = rooms.state.room(0);
        let prepared = cgroups::prepare(&group);
        cgroups::clear(&group)?;
        prepared?;
        shell::output(&mut rooms.command(0, Path::new("true")))?;
        Ok(rooms)
    }

    /// A command that runs a program in the room of this number; its arguments can be added.
    pub fn command(&self, number: usize, program: &Path) -> Command {
        let room = self.state.room(number);
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ]);
        command.args(["sh", "-ec", &ENTER.replace("FOLDERS", &FOLDERS.join(" "))]);
        command.arg(program);
        command.env(ROOM, number.to_string());
        command.env(STATE, room.state());
        command.env(CGROUP, room.cgroup());
        // What one room has built, the other need not.
        command.env(BUILDS, room.builds());
        command.env("TMPDIR", temporary(&room));
        command
    }

    /// Removes what was made for them.
    pub fn end(&self) {
        for folder in &self.made {
            // Not if somebody has put something in.
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        self.end();
    }
}

/// The room that this process is in.
#[derive(Debug)]
pub struct Inside {
    layout: Layout,
    _lock: File,
}

impl Inside {
    /// Whether this process is in a room.
    pub fn is_so() -> bool {
        std::env::var_os(ROOM).is_some()
    }

    /// Takes the room into use: waits until nobody else is in, and removes what others left.
    pub fn enter() -> Result<Self> {
        let layout = Layout::from_environment();
        let lock = record::exclusive(&layout.state().join(MARK), "waiting for whoever is in this room", &say)?;
        stop::down(&layout, &say)?;
        let inside = Self { layout, _lock: lock };
        inside.leave()?;
        files::ensure_dir(&temporary(&inside.layout), 0o700)?;
        Ok(inside)
    }

    /// Removes what is of no use any more.
    pub fn leave(&self) -> Result<()> {
        match fs::remove_dir_all(temporary(&self.layout)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("temporary files"),
            _ => Ok(()),
        }
    }
}

/// From outside, the state folder of a room tells nothing of what is in it.
pub(super) fn refuse_from_outside(layout: &Layout) -> Result<()> {
    if layout.state().join(MARK).exists() && !Inside::is_so() {
        bail!(
            "{} is that of a room of tests, which they clean when they run again",
            layout.state().display()
        );
    }
    Ok(())
}

fn temporary(room: &Layout) -> PathBuf {
    room.state().join("tmp")
}

/// Not there, or left empty by somebody who was killed.
fn is_free(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

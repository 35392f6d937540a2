//! `tulle up --run` as people run it: what it makes is gone after Ctrl-C at any moment, and after `kill -9` and the next start.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use operator::process::RunId;
use tulle_e2e::harness::yaml::app;
use tulle_e2e::harness::{can_run, tulle};

struct Up {
    root: PathBuf,
    id: RunId,
    child: Child,
}

impl Up {
    /// Starts it and waits until everything runs.
    fn start(root: &Path) -> Result<Self> {
        let up = Self::begin(root, &[])?;
        up.until("both workloads run", || {
            Ok(up.left()?.namespaces >= 3 && up.log()?.contains("everything runs"))
        })?;
        Ok(up)
    }

    /// Starts it on two workloads.
    fn begin(root: &Path, more: &[&str]) -> Result<Self> {
        let state = root.join("state");
        std::fs::create_dir_all(root.join("objects"))?;
        std::fs::write(root.join("objects/apps.yaml"), ["orders", "payments"].map(app).concat())?;
        let child = Command::new(tulle()?)
            .arg("up")
            .arg(root.join("objects"))
            .args(["--run", "--state"])
            .arg(&state)
            .args(more)
            // The small files of a run on loopback addresses are in the state folder then.
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(File::create(root.join("out"))?)
            .stderr(File::create(root.join("log"))?)
            .spawn()?;
        Ok(Self {
            root: root.to_owned(),
            id: RunId::for_folder(&state),
            child,
        })
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.root.join("log"))? + &std::fs::read_to_string(self.root.join("out"))?)
    }

    fn signal(&mut self, signal: &str) -> Result<ExitStatus> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "cannot signal");
        Ok(self.child.wait()?)
    }

    fn until(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !done()? {
            if start.elapsed() > Duration::from_secs(40) {
                bail!(
                    "{what}: not within 40 s; left {:?}; log:\n{}",
                    self.left()?,
                    self.log()?
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn left(&self) -> Result<Left> {
        let names = Command::new("ip")
            .args(["netns", "list"])
            .output()
            .context("ip netns")?;
        let mine = format!("tulle-{}", self.id);
        let namespaces = String::from_utf8_lossy(&names.stdout)
            .lines()
            .filter(|line| line.starts_with(&mine))
            .count();
        let link = Path::new("/sys/class/net").join(format!("tul{}", self.id)).exists();
        let state = self.root.join("state");
        let folders = [
            Path::new("/run/tulle").join(self.id.as_str()),
            Path::new("/var/cache/tulle/runs").join(self.id.as_str()),
            state.join("run").join(&mine),
            state.join("runs").join(self.id.as_str()).join("created.jsonl"),
            state.join("admin.sock"),
        ];
        Ok(Left {
            namespaces,
            link,
            files: folders.into_iter().filter(|path| path.exists()).collect(),
            processes: self.processes()?,
        })
    }

    /// Processes whose command line names the run or its state folder.
    fn processes(&self) -> Result<BTreeSet<String>> {
        let id = &self.id;
        let names = [
            format!("/run/tulle/{id}/"),
            format!("/runs/{id}/"),
            self.root.join("state").display().to_string(),
        ];
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir("/proc")? {
            let folder = entry?.path();
            let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if names.iter().any(|name| line.contains(name)) {
                found.insert(line);
            }
        }
        Ok(found)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already; whatever is left then is removed as a next start would do it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = operator::netns::cleanup_previous(&self.root.join("state"));
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    namespaces: usize,
    link: bool,
    files: Vec<PathBuf>,
    processes: BTreeSet<String>,
}

#[test]
fn everything_is_removed_after_an_interrupt_and_after_a_crash() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let root = tempfile::tempdir()?;
    let mut up = Up::start(root.path())?;
    up.signal("-INT")?;
    ensure!(up.left()? == Left::default(), "after Ctrl-C: {:?}", up.left()?);
    drop(up);

    let mut crashed = Up::start(root.path())?;
    crashed.signal("-KILL")?;
    let remains = crashed.left()?;
    ensure!(
        remains.namespaces > 0,
        "kill -9 leaves namespaces behind, or this test looks at the wrong ones"
    );
    crashed.until("the kernel ends the crashed run's processes", || {
        Ok(crashed.left()?.processes.is_empty())
    })?;
    let mut next = Up::start(root.path())?;
    next.signal("-TERM")?;
    ensure!(
        next.left()? == Left::default(),
        "after a crash and the next run: {:?}",
        next.left()?
    );
    Ok(())
}

/// What a run says when it has got so far.
const MOMENTS: [&[&str]; 3] = [
    // The ground is made, the control plane starts.
    &["is up", "loopback addresses are taken"],
    // The first look.
    &["control plane is up"],
    // In the middle of it: no application runs yet.
    &["proxies are started"],
];

/// Interrupts a run as soon as it says something; nothing may be left of it.
fn interrupted(more: &[&str], words: &[&str]) -> Result<()> {
    let root = tempfile::tempdir()?;
    let mut up = Up::begin(root.path(), more)?;
    up.until(&format!("it says {words:?}"), || {
        let log = up.log()?;
        Ok(words.iter().any(|words| log.contains(words)))
    })?;
    ensure!(
        up.left()? != Left::default(),
        "this test looks at the wrong things, or too late"
    );
    let status = up.signal("-INT")?;
    let (left, log) = (up.left()?, up.log()?);
    ensure!(left == Left::default(), "{more:?} at {words:?}: {left:?}; log:\n{log}");
    ensure!(status.success(), "{more:?} at {words:?}: {status}; log:\n{log}");
    Ok(())
}

#[test]
fn an_interrupt_at_any_moment_leaves_nothing() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    for words in MOMENTS {
        interrupted(&[], words)?;
        interrupted(&["--loopback"], words)?;
    }
    Ok(())
}

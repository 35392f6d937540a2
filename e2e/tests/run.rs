//! `tulle up --run` as people run it: what it makes is gone after Ctrl-C, and after `kill -9` and the next start.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    fn start(root: &Path) -> Result<Self> {
        let state = root.join("state");
        let child = Command::new(tulle()?)
            .arg("up")
            .arg(root.join("objects"))
            .args(["--run", "--state"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(File::create(root.join("out"))?)
            .stderr(File::create(root.join("log"))?)
            .spawn()?;
        let up = Self {
            root: root.to_owned(),
            id: RunId::for_folder(&state),
            child,
        };
        up.until("both workloads run", || {
            Ok(up.left()?.namespaces >= 3 && up.log()?.contains("everything runs"))
        })?;
        Ok(up)
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.root.join("log"))? + &std::fs::read_to_string(self.root.join("out"))?)
    }

    fn signal(&mut self, signal: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "cannot signal");
        self.child.wait()?;
        Ok(())
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
        let folder = Path::new("/run/tulle").join(self.id.as_str()).exists();
        Ok(Left {
            namespaces,
            link,
            folder,
            processes: processes(&mine)?,
        })
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
    folder: bool,
    processes: BTreeSet<String>,
}

/// Processes whose command line or folder names the run.
fn processes(run: &str) -> Result<BTreeSet<String>> {
    let id = run.trim_start_matches("tulle-");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("/run/tulle/{id}/")) || line.contains(&format!("/runs/{id}/")) {
            found.insert(line);
        }
    }
    Ok(found)
}

#[test]
fn everything_is_removed_after_an_interrupt_and_after_a_crash() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let root = tempfile::tempdir()?;
    std::fs::create_dir(root.path().join("objects"))?;
    std::fs::write(
        root.path().join("objects/apps.yaml"),
        ["orders", "payments"].map(app).concat(),
    )?;
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

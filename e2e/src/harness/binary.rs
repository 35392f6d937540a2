//! The real programs: `tulle`, and this crate's own `tulle-e2e`, both beside the running test in the target folder.
//!
//! `cargo test --workspace` builds them. A test that is run alone may find `tulle` missing or older than the library it
//! is made of; then it is built here, once, however many tests start together.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

/// The `tulle` program.
pub fn tulle() -> Result<PathBuf> {
    let folder = target_folder()?;
    let program = folder.join("tulle");
    let lock = File::create(folder.join(".tulle-e2e.lock"))?;
    lock.lock()?;
    if !fresh(&program, &folder) {
        build(&folder)?;
        ensure!(
            program.is_file(),
            "cargo built no {}; run `cargo build -p tulle-operator`",
            program.display()
        );
    }
    Ok(program)
}

/// The `tulle-e2e` program.
pub fn own_program() -> Result<PathBuf> {
    let program = target_folder()?.join("tulle-e2e");
    ensure!(
        program.is_file(),
        "{} is missing; run `cargo build -p tulle-e2e`",
        program.display()
    );
    Ok(program)
}

/// A path to a program that every user can execute: the program itself, or a copy if a folder above it is closed.
pub(super) fn for_everybody(program: &Path) -> Result<PathBuf> {
    let open = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 1 != 0);
    if program.ancestors().all(open) {
        return Ok(program.to_owned());
    }
    let folder = Path::new("/var/cache/tulle/e2e");
    fs::create_dir_all(folder)?;
    let copy = folder.join(program.file_name().context("a program has a name")?);
    // Under another name first: the old copy may be running.
    let unfinished = copy.with_extension(std::process::id().to_string());
    fs::copy(program, &unfinished)?;
    fs::rename(&unfinished, &copy)?;
    Ok(copy)
}

/// The folder of programs: that of this one, or the one above for a test in `deps`.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("this program is in no folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// Whether the program is there and not older than each library that it could be made of.
fn fresh(program: &Path, folder: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(built) = changed(program) else { return false };
    let libraries = fs::read_dir(folder.join("deps"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libtulle_operator-") && path.extension().is_some_and(|extension| extension == "rlib")
    };
    let newest = libraries.filter(ours).filter_map(|path| changed(&path)).max();
    newest.unwrap_or(SystemTime::UNIX_EPOCH) <= built
}

fn build(folder: &Path) -> Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The features of the whole workspace: those with which the libraries beside it were built.
    command
        .args(["build", "--quiet", "--workspace", "--bin", "tulle", "--manifest-path"])
        .arg(manifest);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(
        status.success(),
        "cargo cannot build `tulle`; run `cargo build -p tulle-operator` and see why"
    );
    // Cargo leaves an up-to-date program as it is; its time says from now on that it was looked at.
    File::options()
        .append(true)
        .open(folder.join("tulle"))?
        .set_modified(SystemTime::now())?;
    Ok(())
}

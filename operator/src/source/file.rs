//! One file: whether it changed, and what it holds.
//!
//! A file is read only while it stands still: its stamp (times, size, inode) must be the same before and after. Size and
//! encoding are checked before any parser sees the text.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::SystemTime;

use super::document::{self, Format, Placed};
use super::problem::Mistake;

/// No honest file is larger; a larger one would hold up every edit.
const MAX_SIZE: u64 = 1 << 20;

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
    device: u64,
    /// The kernel's time of the last change, seconds and nanoseconds: no tool sets it back, as some do `modified`.
    changed: (i64, i64),
}

/// A file that parsed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParsedFile {
    pub(super) content: Vec<u8>,
    pub(super) objects: Vec<Placed>,
}

/// One look at a file.
pub(super) enum Look {
    /// It changed while it was read.
    Moving,
    /// It stood still.
    Still(Stamp, Result<ParsedFile, Mistake>),
}

/// The format by the file's extension; `None` for files that are not ours.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The stamp of a path, behind links.
pub(super) fn stamp(path: &Path) -> io::Result<Stamp> {
    fs::metadata(path).map(|metadata| stamp_of(&metadata))
}

/// Reads and parses.
pub(super) fn look(path: &Path) -> Look {
    let Ok(before) = fs::metadata(path) else {
        return Look::Moving;
    };
    let stamp_before = stamp_of(&before);
    if !before.is_file() {
        let what = if before.is_dir() {
            "a link to a folder"
        } else {
            "no regular file"
        };
        let message = format!("it is {what}, which is not read; put a file in its place or remove it");
        return Look::Still(stamp_before, Err(Mistake::whole(message)));
    }
    if before.len() > MAX_SIZE {
        let message = format!(
            "the file has {} bytes, more than 1 MiB; split it into several files",
            before.len()
        );
        return Look::Still(stamp_before, Err(Mistake::whole(message)));
    }
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content));
    if stamp(path).ok() != Some(stamp_before) {
        return Look::Moving;
    }
    let parsed = match read {
        Ok(_) => parse(content, format_of(path).unwrap_or(Format::Yaml)),
        Err(error) => Err(Mistake::whole(format!(
            "cannot read the file ({error}); check its permissions"
        ))),
    };
    Look::Still(stamp_before, parsed)
}

/// Parses a file's content.
pub(super) fn parse(content: Vec<u8>, format: Format) -> Result<ParsedFile, Mistake> {
    let text = std::str::from_utf8(&content).map_err(|error| not_utf8(&content, error.valid_up_to()))?;
    // The parsers are not ours; a file must not take the control plane down, whatever is in it.
    let objects = catch_unwind(AssertUnwindSafe(|| document::parse(text, format))).unwrap_or_else(|_| {
        Err(Mistake::whole(
            "the parser failed on this file; please report it with the file, and write it differently",
        ))
    })?;
    refuse_repetition(&objects)?;
    Ok(ParsedFile { content, objects })
}

fn stamp_of(metadata: &fs::Metadata) -> Stamp {
    Stamp {
        modified: metadata.modified().ok(),
        size: metadata.len(),
        inode: metadata.ino(),
        device: metadata.dev(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn not_utf8(content: &[u8], valid: usize) -> Mistake {
    let good = content.get(..valid).unwrap_or_default();
    let line_start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let count = |number: usize| u64::try_from(number).ok();
    let column = String::from_utf8_lossy(good.get(line_start..).unwrap_or_default())
        .chars()
        .count()
        + 1;
    Mistake {
        path: String::new(),
        line: count(good.split(|byte| *byte == b'\n').count()),
        column: count(column),
        message: "the file is not UTF-8 from here on; save it as UTF-8".to_owned(),
    }
}

fn refuse_repetition(objects: &[Placed]) -> Result<(), Mistake> {
    let mut seen = BTreeMap::new();
    for placed in objects {
        let reference = &placed.reference;
        if let Some(first) = seen.get(reference) {
            let message = format!("{reference} already stands at line {first} of this file; remove one of them");
            return Err(Mistake::at(placed.line, message));
        }
        seen.insert(reference, placed.line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    #[test]
    fn an_edit_that_keeps_size_and_time_is_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "a: 1").unwrap();
        let (before, modified) = (
            super::stamp(&path).unwrap(),
            path.metadata().unwrap().modified().unwrap(),
        );
        // Coarse clocks of file systems tick every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&path, "a: 2").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        let after = super::stamp(&path).unwrap();
        assert_eq!((before.modified, before.inode), (after.modified, after.inode));
        assert_ne!(before, after);
    }
}

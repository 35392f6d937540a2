//! What is wrong with a file, in words for the person who edits it.
//!
//! A problem concerns a whole file: the file is then served from its last accepted copy, or not at all. Mistakes inside a
//! readable object are `config::Diagnostic`s instead.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What is served in place of the broken file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Served {
    /// The copy that was accepted last.
    AcceptedCopy,
    /// What takes away as much as the broken object could, and grants nothing.
    StandIn,
    /// Nothing: no copy was ever accepted.
    Nothing,
}

/// A file that cannot be served as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileProblem {
    /// The file, below the watched folder's name as the user gave it.
    pub file: PathBuf,
    /// The line, counted from 1; absent when the file as a whole is meant.
    pub line: Option<u64>,
    /// The column, counted from 1.
    pub column: Option<u64>,
    /// What is wrong and what to do.
    pub message: String,
    /// What is served instead.
    pub served: Served,
}

impl fmt::Display for FileProblem {
    /// `shop/orders.yaml:12:3: message`, the form that editors and terminals make clickable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// A mistake at a place of a text whose file is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mistake {
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
    /// The field; empty when the object as a whole is meant, or the place is a line.
    pub(super) path: String,
    pub(super) message: String,
}

impl Mistake {
    /// A mistake of the file as a whole.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self {
            line: None,
            column: None,
            path: String::new(),
            message: message.into(),
        }
    }

    /// A mistake in a field of an object that has no lines.
    pub(super) fn of_field(path: &str, message: impl Into<String>) -> Self {
        Self {
            // Nothing was read before the mistake.
            path: if path == "." { "" } else { path }.to_owned(),
            ..Self::whole(message)
        }
    }

    /// A mistake at a line.
    pub(super) fn at(line: u64, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::whole(message)
        }
    }

    /// The problem that it makes of a file.
    pub(super) fn of(&self, file: PathBuf, served: Served) -> FileProblem {
        FileProblem {
            file,
            line: self.line,
            column: self.column,
            message: if self.path.is_empty() {
                self.message.clone()
            } else {
                format!("{}: {}", self.path, self.message)
            },
            served,
        }
    }
}

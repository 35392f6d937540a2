//! Running a short command with text as its input.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// Runs `command` to its end, feeding it `input`. The input must be shorter than what the command prints before it has
/// read it all, which holds for programs that read rules and print errors.
pub(crate) fn feed(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early closes its input; its own words say more than this error.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output()
}

//! Running other programs to their end, with errors that say what was run and what it answered.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of an error that are worth repeating.
const LAST_LINES: usize = 12;

/// What the program printed.
pub(super) fn output(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    text(command, &output)
}

/// The same for a program that reads `input`.
pub(super) fn feed(command: &mut Command, input: &str) -> Result<String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Beside the reading: a long input and a long answer must not wait for each other. A program that ends early
        // closes its input, and its own words say more than this error.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })?;
    text(command, &output)
}

/// Whether the program succeeds, whatever it says.
pub(super) fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok()
}

fn text(command: &Command, output: &Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({}):\n{}", output.status, last_lines(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The end of a text.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_answered() {
        let error = output(Command::new("sh").args(["-c", "echo words >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("words") && text.contains("sh"),
            "{text}"
        );
    }

    #[test]
    fn a_long_text_goes_through() {
        let long = "line\n".repeat(100_000);
        assert_eq!(feed(&mut Command::new("cat"), &long).unwrap(), long);
    }
}

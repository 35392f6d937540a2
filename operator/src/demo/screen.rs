//! What the demo prints: colour on a terminal, plain lines otherwise.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::caller::Caller;

/// Where the demo prints to.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    colour: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
        }
    }
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const CODE: Style = AnsiColor::Cyan.on_default();

impl Screen {
    fn line(self, style: Style, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: then there is nothing to tell.
        if self.colour {
            writeln!(out, "{style}{text}{style:#}").ok();
        } else {
            writeln!(out, "{text}").ok();
        }
    }

    /// Something takes a while.
    pub fn progress(&self, text: &str) {
        self.line(DIM, &format!("  … {text}"));
    }

    /// Something is done.
    pub fn done(&self, text: &str, took: Duration) {
        self.line(BOLD, &format!("{text} ({:.1} s)", took.as_secs_f64()));
    }

    /// A step begins.
    pub fn headline(&self, number: usize, title: &str) {
        self.line(Style::new(), "");
        self.line(BOLD, &format!("{number}. {title}"));
    }

    /// An explanation.
    pub fn say(&self, text: &str) {
        self.line(Style::new(), &format!("   {text}"));
    }

    /// YAML that is saved.
    pub fn yaml(&self, file: &str, content: &str) {
        self.line(DIM, &format!("   {file}:"));
        for line in content.lines() {
            self.line(CODE, &format!("   | {line}"));
        }
    }

    /// How long it took until all had it.
    pub fn acked(&self, proxies: &str, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        self.line(
            GOOD,
            &format!("   Enforced: {proxies} proxies acknowledged {millis:.0} ms after the file was saved"),
        );
    }

    /// One request or set of requests.
    pub fn probe(&self, ok: bool, label: &str, seen: &str) {
        let (style, mark) = if ok { (GOOD, "✓") } else { (BAD, "✗") };
        self.line(style, &format!("   {mark} {label:<58} {seen}"));
    }

    /// A table, line by line.
    pub fn table(&self, rows: &[String]) {
        self.line(Style::new(), "");
        for row in rows {
            self.line(Style::new(), &format!("   {row}"));
        }
    }

    /// How it ended.
    pub fn verdict(&self, failed: usize) {
        self.line(Style::new(), "");
        match failed {
            0 => self.line(GOOD, "Everything was as shown."),
            n => self.line(BAD, &format!("{n} of the requests did not come out as shown.")),
        }
    }

    /// What to do next.
    pub fn farewell(&self, folder: &Path, state: &Path, caller: Option<&Caller>) {
        let state = state.display();
        self.say("");
        self.line(
            BOLD,
            "The mesh keeps running; Ctrl-C ends it and removes everything. In another terminal:",
        );
        self.line(
            CODE,
            &format!(
                "   $EDITOR {}/permission.yaml       # edit, save, and watch",
                folder.display()
            ),
        );
        self.line(CODE, &format!("   tulle get meshstatus -A -w --state {state}"));
        self.line(CODE, &format!("   tulle get tp,tr,rl,fi -A --state {state}"));
        if let Some(caller) = caller {
            self.line(CODE, &format!("   {}", caller.curl("http://payments/charges")));
        }
    }
}

//! A check of RE2 syntax, so that a bad expression is the author's diagnostic and not Envoy's rejection of a whole response.
//!
//! It knows the shape of RE2 (groups, classes, escapes, repetitions) and refuses what RE2 lacks: look-around,
//! back-references, possessive quantifiers. Anchors are refused too: the whole value is always matched, and an expression
//! becomes part of a longer one in places, where an anchor would never match. Envoy matches bytes, so classes of Unicode characters are refused. So is what would become too
//! large a program: `size.rs` bounds it without compiling anything.

mod class;
mod size;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use size::{LARGEST, Size};

/// The longest expression that is taken.
pub(crate) const LONGEST: usize = 512;

/// RE2's own limit of a counted repetition, and of nested ones multiplied.
const MOST_REPEATS: u32 = 1000;

/// The expression without the anchors around it, which mean nothing where the whole value is matched; or what is wrong with it.
pub(crate) fn checked(text: &str) -> Result<&str, String> {
    if text.len() > LONGEST {
        return Err(format!(
            "is longer than {LONGEST} bytes; use Exact or a prefix, or split the rule"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("contains control characters; write them as escapes".to_owned());
    }
    let bare = without_anchors(text);
    if bare.is_empty() {
        return Err("is empty; write an expression that matches the whole value".to_owned());
    }
    let size = Scanner::new(bare).scan()?;
    if size > LARGEST {
        return Err(format!(
            "would become too large a program (up to {size} steps; at most {LARGEST} are taken); lower the counts, or split the rule"
        ));
    }
    Ok(bare)
}

/// One leading `^` and one trailing `$` less, unless that is escaped.
fn without_anchors(text: &str) -> &str {
    let text = text.strip_prefix('^').unwrap_or(text);
    match text.strip_suffix('$') {
        Some(before) if before.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0 => before,
        _ => text,
    }
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// Whether a repetition may follow.
    repeatable: bool,
    /// How often the last item repeats its parts, counts multiplied.
    last: u32,
    /// The most that an item of each open group does.
    groups: Vec<u32>,
    names: BTreeSet<String>,
    size: Size,
    /// An `i` has been seen among flags, so that letters may mean two.
    folded: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.chars().peekable(),
            repeatable: false,
            last: 1,
            groups: Vec::new(),
            names: BTreeSet::new(),
            size: Size::default(),
            folded: false,
        }
    }

    /// The answer is the size of its program.
    fn scan(mut self) -> Result<u64, String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => {
                    self.item(1);
                    self.escape()?;
                }
                '[' => {
                    let size = self.class()?;
                    self.item(size);
                }
                '(' => self.group()?,
                ')' => {
                    let most = self.groups.pop().ok_or("has a `)` without `(`")?;
                    self.repeatable = true;
                    self.count(most);
                    self.size.close();
                }
                '^' | '$' => return Err(anchor(&c.to_string())),
                '|' => {
                    self.repeatable = false;
                    self.size.branch();
                }
                '*' | '+' | '?' => {
                    self.size.repeat(1, 1);
                    self.repetition(c)?;
                }
                '{' => self.counted()?,
                _ => {
                    self.item(literal(c));
                    // Several bytes, of which only the last would be repeated.
                    self.repeatable = c.is_ascii();
                }
            }
        }
        if self.groups.is_empty() {
            Ok(self.size.total())
        } else {
            Err("has a `(` without `)`".to_owned())
        }
    }

    /// An item of this size has been read that repeats nothing.
    fn item(&mut self, size: u64) {
        self.repeatable = true;
        self.last = 1;
        self.size.item(size);
    }

    /// The last item repeats its parts so often.
    fn count(&mut self, repeats: u32) {
        self.last = repeats;
        if let Some(most) = self.groups.last_mut() {
            *most = repeats.max(*most);
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.next() {
            None => Err("ends in a backslash; double it to match one".to_owned()),
            Some(c @ '1'..='9') => Err(format!("has a back-reference (\\{c}), which RE2 does not have")),
            Some(c @ ('p' | 'P')) => Err(unicode(c)),
            Some('x') => self.hexadecimal().map(drop),
            Some('Q' | 'E' | 'C') => Err("has \\Q, \\E or \\C, which are not taken; escape each character".to_owned()),
            Some(c @ ('A' | 'z')) => Err(anchor(&format!("\\{c}"))),
            Some('b' | 'B') => {
                self.repeatable = false;
                Ok(())
            }
            Some('D' | 's' | 'S' | 'w' | 'W') => {
                // The item is this class.
                self.size.widen(class::NAMED - 1);
                Ok(())
            }
            Some('a' | 'f' | 't' | 'n' | 'r' | 'v' | 'd' | '0') => Ok(()),
            Some(c) if c.is_ascii_alphanumeric() || !c.is_ascii() => {
                Err(format!("has \\{c}, which RE2 does not know; leave out the backslash"))
            }
            Some(_) => Ok(()),
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.groups.push(1);
        self.repeatable = false;
        if self.groups.len() > 100 {
            return Err("nests more than 100 groups".to_owned());
        }
        if self.rest.peek() != Some(&'?') {
            self.size.open(true);
            return Ok(());
        }
        self.rest.next();
        let unknown = || Err("has look-around or another `(?...)` that RE2 does not have; use (?:...)".to_owned());
        let mut flags = 0_usize;
        // Whether a minus waits for its flags.
        let (mut negated, mut waiting) = (false, false);
        loop {
            match self.rest.next() {
                Some(':') if !waiting => {
                    self.size.open(false);
                    return Ok(());
                }
                // `(?i)` is no group of its own.
                Some(')') if flags > 0 && !waiting => {
                    self.groups.pop();
                    return Ok(());
                }
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    self.folded |= flag == 'i';
                    flags += 1;
                    waiting = false;
                }
                Some('-') if !negated => (negated, waiting) = (true, true),
                Some('P') if flags == 0 && !negated => return self.group_name(),
                _ => return unknown(),
            }
        }
    }

    fn group_name(&mut self) -> Result<(), String> {
        if self.rest.next() == Some('<') {
            let mut name = String::new();
            for c in self.rest.by_ref() {
                match c {
                    '>' if self.names.contains(&name) => {
                        return Err(format!("has two groups named {name}; rename one"));
                    }
                    '>' if !name.is_empty() => {
                        self.size.open(true);
                        self.names.insert(name);
                        return Ok(());
                    }
                    c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                    _ => break,
                }
            }
        }
        Err("has a named group that is not written (?P<name>...)".to_owned())
    }

    fn repetition(&mut self, c: char) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!(
                "has a `{c}` with nothing to repeat; escape it to match the character, or write (?:...) around what is not ASCII"
            ));
        }
        self.repeatable = false;
        if self.rest.peek() == Some(&'?') {
            self.rest.next();
        }
        Ok(())
    }

    /// `{n}`, `{n,}` and `{n,m}` repeat; any other `{` is a character.
    fn counted(&mut self) -> Result<(), String> {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').take(40).collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (low, high) = ahead.split_once(',').unwrap_or((ahead.as_str(), ahead.as_str()));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !closed || !number(low) || !(high.is_empty() || number(high)) {
            self.item(1);
            return Ok(());
        }
        if !self.repeatable {
            return Err("has a `{` with nothing to repeat; escape it to match the character".to_owned());
        }
        let count = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let (low, high) = (count(low), if high.is_empty() { count(low) } else { count(high) });
        if low > high || high > MOST_REPEATS {
            return Err(format!(
                "repeats {{{ahead}}}; the counts must rise and stay within {MOST_REPEATS}"
            ));
        }
        let repeats = self.last.saturating_mul(high.max(1));
        if repeats > MOST_REPEATS {
            return Err(format!(
                "repeats what is repeated more than {MOST_REPEATS} times in all; lower the counts"
            ));
        }
        self.count(repeats);
        self.size.repeat(low, high);
        for _ in 0..=ahead.chars().count() {
            self.rest.next();
        }
        self.repetition('{')
    }
}

/// A character outside classes. RE2 matches its bytes, each of which a flag may fold; a dot is two ranges.
fn literal(c: char) -> u64 {
    match c {
        '.' => 2,
        c if c.is_ascii() => 1,
        c => 2 * c.len_utf8() as u64,
    }
}

fn anchor(anchor: &str) -> String {
    format!(
        "has {anchor} in the middle; the whole value is always matched, so remove it, or escape it to match the character"
    )
}

/// Proxies match bytes, so such a class would silently match parts of characters or nothing.
fn unicode(letter: char) -> String {
    format!(
        "has a class \\{letter}, which matches no characters outside ASCII; write [A-Za-z], [0-9] or the characters"
    )
}

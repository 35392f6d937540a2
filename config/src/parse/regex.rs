//! A check of RE2 syntax, so that a bad expression is the author's diagnostic and not Envoy's rejection of a whole response.
//!
//! It knows the shape of RE2 (groups, classes, escapes, repetitions) and refuses what RE2 lacks: look-around,
//! back-references, possessive quantifiers. It does not know every Unicode class name, and it does not measure the compiled
//! program; the length limit bounds that.

/// The longest expression that is taken.
pub(crate) const LONGEST: usize = 512;

/// RE2's own limit of a counted repetition.
const MOST_REPEATS: u32 = 1000;

/// What is wrong with an expression, if anything.
pub(crate) fn problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty; write an expression that matches the whole value".to_owned());
    }
    if text.len() > LONGEST {
        return Some(format!(
            "is longer than {LONGEST} bytes; use Exact or a prefix, or split the rule"
        ));
    }
    if text.chars().any(char::is_control) {
        return Some("contains control characters; write them as escapes".to_owned());
    }
    Scanner {
        rest: text.chars().peekable(),
        depth: 0,
        repeatable: false,
    }
    .scan()
    .err()
}

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    depth: usize,
    /// Whether a repetition may follow.
    repeatable: bool,
}

impl Scanner<'_> {
    fn scan(mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    self.depth = self.depth.checked_sub(1).ok_or("has a `)` without `(`")?;
                    self.repeatable = true;
                }
                '|' | '^' => self.repeatable = false,
                '*' | '+' | '?' => self.repetition(c)?,
                '{' => self.counted()?,
                _ => self.repeatable = true,
            }
        }
        if self.depth > 0 {
            Err("has a `(` without `)`".to_owned())
        } else {
            Ok(())
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        self.repeatable = true;
        match self.rest.next() {
            None => Err("ends in a backslash; double it to match one".to_owned()),
            Some(c @ '1'..='9') => Err(format!("has a back-reference (\\{c}), which RE2 does not have")),
            Some('p' | 'P') => self.unicode_class(),
            Some('x') => self.hexadecimal(),
            Some('Q' | 'E' | 'C') => Err("has \\Q, \\E or \\C, which are not taken; escape each character".to_owned()),
            Some('A' | 'z' | 'b' | 'B') => {
                self.repeatable = false;
                Ok(())
            }
            Some('a' | 'f' | 't' | 'n' | 'r' | 'v' | 'd' | 'D' | 's' | 'S' | 'w' | 'W' | '0') => Ok(()),
            Some(c) if c.is_ascii_alphanumeric() => Err(format!("has \\{c}, which RE2 does not know")),
            Some(_) => Ok(()),
        }
    }

    fn unicode_class(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some('{') => {
                let mut name = 0_usize;
                for c in self.rest.by_ref() {
                    match c {
                        '}' if name > 0 => return Ok(()),
                        c if c.is_ascii_alphanumeric() || c == '_' || (c == '^' && name == 0) => name += 1,
                        _ => break,
                    }
                }
                Err("has a \\p{...} that is not closed".to_owned())
            }
            Some('L' | 'M' | 'N' | 'P' | 'S' | 'Z' | 'C') => Ok(()),
            _ => Err("has a \\p without a class name".to_owned()),
        }
    }

    fn hexadecimal(&mut self) -> Result<(), String> {
        let broken = || "has a \\x that is not followed by two hexadecimal digits or {...}".to_owned();
        match self.rest.next() {
            Some('{') => {
                let mut value: u32 = 0;
                let mut digits = 0_usize;
                for c in self.rest.by_ref() {
                    match c.to_digit(16) {
                        Some(digit) if digits < 6 => {
                            value = value * 16 + digit;
                            digits += 1;
                        }
                        None if c == '}' && digits > 0 && char::from_u32(value).is_some() => return Ok(()),
                        _ => break,
                    }
                }
                Err(broken())
            }
            Some(first) if first.is_ascii_hexdigit() => match self.rest.next() {
                Some(second) if second.is_ascii_hexdigit() => Ok(()),
                _ => Err(broken()),
            },
            _ => Err(broken()),
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let unclosed = || "has a `[` without `]`".to_owned();
        if self.rest.peek() == Some(&'^') {
            self.rest.next();
        }
        let mut first = true;
        let mut before: Option<char> = None;
        loop {
            let c = self.rest.next().ok_or_else(unclosed)?;
            match c {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => {
                    self.posix_class()?;
                    before = None;
                }
                '\\' => {
                    self.escape()?;
                    before = None;
                }
                '-' => {
                    // A range whose ends are both plain characters must not run backwards.
                    if let (Some(low), Some(&high)) = (before, self.rest.peek())
                        && high != ']'
                        && high != '\\'
                        && high < low
                    {
                        return Err(format!("has the range {low}-{high}, which runs backwards"));
                    }
                    before = None;
                }
                c => before = Some(c),
            }
            first = false;
        }
        self.repeatable = true;
        Ok(())
    }

    fn posix_class(&mut self) -> Result<(), String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        self.rest.next();
        let name: String = self.rest.by_ref().take_while(|c| *c != ':').take(8).collect();
        let known = NAMES.contains(&name.trim_start_matches('^'));
        if known && self.rest.next() == Some(']') {
            Ok(())
        } else {
            Err(format!("has the class [:{name}:], which RE2 does not know"))
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.repeatable = false;
        if self.depth > 100 {
            return Err("nests more than 100 groups".to_owned());
        }
        if self.rest.peek() != Some(&'?') {
            return Ok(());
        }
        self.rest.next();
        let mut flags = 0_usize;
        loop {
            match self.rest.next() {
                Some(':') => return Ok(()),
                // `(?i)` is no group of its own.
                Some(')') if flags > 0 => {
                    self.depth -= 1;
                    return Ok(());
                }
                Some('i' | 'm' | 's' | 'U' | '-') => flags += 1,
                Some('P') if flags == 0 => return self.group_name(),
                _ => return Err("has look-around or another `(?...)` that RE2 does not have; use (?:...)".to_owned()),
            }
        }
    }

    fn group_name(&mut self) -> Result<(), String> {
        if self.rest.next() == Some('<') {
            let mut length = 0_usize;
            for c in self.rest.by_ref() {
                match c {
                    '>' if length > 0 => return Ok(()),
                    c if c.is_ascii_alphanumeric() || c == '_' => length += 1,
                    _ => break,
                }
            }
        }
        Err("has a named group that is not written (?P<name>...)".to_owned())
    }

    fn repetition(&mut self, c: char) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!(
                "has a `{c}` with nothing to repeat; escape it to match the character"
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
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').take(12).collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (low, high) = ahead.split_once(',').unwrap_or((ahead.as_str(), ahead.as_str()));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !closed || !number(low) || !(high.is_empty() || number(high)) {
            self.repeatable = true;
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
        for _ in 0..=ahead.chars().count() {
            self.rest.next();
        }
        self.repetition('{')
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn takes_what_re2_takes() {
        for good in [
            "/a/[^/]+/b",
            "(?i)get|post",
            "a{2}",
            "a{2,}",
            "a{2,5}?",
            "x{",
            "[]a]",
            "[^]a-z\\]]+",
            "\\pL+",
            "\\p{Greek}",
            "\\x41",
            "\\x{1F600}",
            "(?P<id>[0-9]+)",
            "(?:a|b)*",
            "[[:alpha:]_]+",
            "a??",
            ".*",
            "^/x$",
            "\\.\\*",
            "a|",
            "()",
            "[-a]",
            "[a-]",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn refuses_what_re2_refuses() {
        for bad in [
            "",
            "(",
            ")",
            "a)",
            "[a",
            "[",
            "[]",
            "a\\",
            "(?=a)",
            "(?!a)",
            "(?<n>a)",
            "\\1",
            "*a",
            "+",
            "a**",
            "a++",
            "a{1001}",
            "a{3,2}",
            "(?P<>a)",
            "\\p",
            "\\x4",
            "[z-a]",
            "[[:nope:]]",
            "\\Qa\\E",
            "(?",
            "|*",
            "a{2}{3}",
            "\\y",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}

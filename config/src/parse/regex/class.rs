//! Classes of bytes, and bytes by number. Envoy's RE2 matches bytes (measured with 1.40), so what is not ASCII is no member of
//! a class, and no number is above ff.

use super::Scanner;

/// The most ranges that a class with a name has, `\W` or `[:^punct:]`.
pub(super) const NAMED: u64 = 5;

impl Scanner<'_> {
    /// What follows `\x`.
    pub(super) fn hexadecimal(&mut self) -> Result<char, String> {
        let broken = || {
            "has a \\x that is not followed by two hexadecimal digits or {...} with at most ff; write the character itself".to_owned()
        };
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
                        None if c == '}' && digits > 0 => {
                            return u8::try_from(value).map(char::from).map_err(|_| broken());
                        }
                        _ => break,
                    }
                }
                Err(broken())
            }
            Some(first) => {
                let value = first.to_digit(16).zip(self.rest.next().and_then(|c| c.to_digit(16)));
                let character = value.and_then(|(high, low)| char::from_u32(high * 16 + low));
                character.ok_or_else(broken)
            }
            None => Err(broken()),
        }
    }

    /// What follows `[`. As RE2 reads it: classes and ranges of characters, where a `-` may stand by itself.
    /// The answer is the most ranges that it comes to.
    pub(super) fn class(&mut self) -> Result<u64, String> {
        let mut size = 0;
        if self.rest.peek() == Some(&'^') {
            self.rest.next();
            // There are ranges before, between and behind.
            size += 1;
        }
        let range = if self.folded { 2 } else { 1 };
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or_else(unclosed)?;
            match (c, self.rest.peek().copied()) {
                (']', _) if !first => return Ok(size),
                ('[', Some(':')) => {
                    self.posix_class()?;
                    size += NAMED;
                }
                ('\\', Some('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                    self.rest.next();
                    size += NAMED;
                }
                _ => {
                    self.range(c)?;
                    size += range;
                }
            }
            first = false;
        }
    }

    /// A character, or the range that begins with it.
    fn range(&mut self, first: char) -> Result<(), String> {
        let low = self.member(first)?;
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || ahead.next().is_none_or(|c| c == ']') {
            return Ok(());
        }
        self.rest.next();
        let next = self.rest.next().ok_or_else(unclosed)?;
        let high = self.member(next)?;
        if high < low {
            return Err(format!(
                "has the range {low:?}-{high:?}, which runs backwards; swap its ends, or escape the `-`"
            ));
        }
        Ok(())
    }

    /// One character of a class, perhaps escaped.
    fn member(&mut self, c: char) -> Result<char, String> {
        if !c.is_ascii() {
            return Err(format!(
                "has {c} in a class, which would match its bytes; write (?:{c}|...)"
            ));
        }
        if c != '\\' {
            return Ok(c);
        }
        match self.rest.next().ok_or_else(unclosed)? {
            'x' => self.hexadecimal(),
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'v' => Ok('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            c => Err(format!(
                "has \\{c} in a class or at the end of a range, where it is no character; write the character itself or \\x"
            )),
        }
    }

    fn posix_class(&mut self) -> Result<(), String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        self.rest.next();
        let name: String = self.rest.by_ref().take_while(|c| *c != ':').take(8).collect();
        let known = NAMES.contains(&name.strip_prefix('^').unwrap_or(&name));
        if known && self.rest.next() == Some(']') {
            Ok(())
        } else {
            Err(format!("has the class [:{name}:], which RE2 does not know"))
        }
    }
}

fn unclosed() -> String {
    "has a `[` without `]`".to_owned()
}

//! Path literals however their characters are escaped.
//!
//! Envoy decodes unreserved characters only, so `/a:b` and `/a%3Ab`, or `%c3` and `%C3`, stay apart, while most servers read
//! them as one. Neither a Deny nor a limit nor a fault must be passed by spelling its path another way. An Allow that is
//! spelled another way denies.

/// A regex over the whole of a path literal in every spelling; absent if it has only one.
pub(crate) fn every_spelling(literal: &str) -> Option<String> {
    let (mut regex, mut several) = (String::with_capacity(literal.len() * 2), false);
    let mut rest = literal;
    while let Some(c) = rest.chars().next() {
        let escape = rest
            .strip_prefix('%')
            .and_then(|rest| rest.get(..2))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, length) = match escape {
            Some(byte) => (Some(byte), 3),
            None => (u8::try_from(c).ok(), c.len_utf8()),
        };
        match byte {
            Some(byte) if !fixed(byte) => {
                several |= byte != b'%';
                regex.push_str(&spellings(byte));
            }
            _ => regex.extend(super::matcher::escaped(c)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    several.then_some(regex)
}

/// Written in one way only, after normalisation.
pub(crate) fn fixed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}

/// A regex for the escape of a byte, `%3[Aa]`.
pub(crate) fn escape(byte: u8) -> String {
    let digit = |digit: char| {
        if digit.is_ascii_alphabetic() {
            format!("[{digit}{}]", digit.to_ascii_lowercase())
        } else {
            digit.to_string()
        }
    };
    let digits: String = format!("{byte:02X}").chars().map(digit).collect();
    format!("%{digits}")
}

/// A regex for a byte in every spelling.
pub(crate) fn spellings(byte: u8) -> String {
    let escape = escape(byte);
    // The others cannot stand in a path as they are: they end it, are escaped by normalisation, or begin an escape.
    if byte.is_ascii_graphic() && !b"%?#\\\"<>^`{|}".contains(&byte) {
        let bare: String = super::matcher::escaped(char::from(byte)).collect();
        format!("(?:{bare}|{escape})")
    } else {
        escape
    }
}

#[cfg(test)]
mod tests {
    use super::every_spelling;

    #[test]
    fn what_servers_decode_has_several_spellings() {
        for (literal, regex) in [
            ("/a:b", Some(r"\/a(?:\:|%3[Aa])b")),
            ("/a%3ab", Some(r"\/a(?:\:|%3[Aa])b")),
            ("/caf%c3%A9", Some(r"\/caf%[Cc]3%[Aa]9")),
            ("/x;y", Some(r"\/x(?:\;|%3[Bb])y")),
            ("/a-b_c.d~/9", None),
            ("/100%25", None),
            ("/", None),
        ] {
            assert_eq!(every_spelling(literal).as_deref(), regex, "{literal}");
        }
    }
}

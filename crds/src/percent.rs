//! Percentages as decimal text, so that no rounding hides in a float.

/// At most four decimals, 0 to 100.
pub const PATTERN: &str = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$";

/// Parts per million; absent when the text is not a percentage.
pub fn per_million(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 3) || !digits(decimals, 4) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let decimals: u32 = format!("{decimals:0<4}").parse().ok()?;
    let parts = whole * 10_000 + decimals;
    (parts <= 1_000_000).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_become_parts_per_million() {
        for (text, parts) in [
            ("0", 0),
            ("2.5", 25_000),
            ("100", 1_000_000),
            ("100.0", 1_000_000),
            ("0.0001", 1),
        ] {
            assert_eq!(per_million(text), Some(parts), "{text}");
        }
        for text in ["", "101", "100.1", "-1", "1.00001", ".5", "5.", "1e1", "NaN"] {
            assert_eq!(per_million(text), None, "{text}");
        }
    }
}

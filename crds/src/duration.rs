//! Durations as Gateway API writes them (GEP-2257): `500ms`, `2s`, `1h30m`.

use std::time::Duration;

/// The pattern of GEP-2257: at most four pairs of a number (up to five digits) and a unit.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Reads a duration; absent when the text is not one.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for pair in 0.. {
        if rest.is_empty() {
            return (pair > 0).then_some(total);
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if pair == 4 || digits == 0 || digits > 5 {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (unit, tail) = unit(tail)?;
        total = total.checked_add(Duration::from_millis(number * unit))?;
        rest = tail;
    }
    None
}

fn unit(text: &str) -> Option<(u64, &str)> {
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(unit, millis)| text.strip_prefix(unit).map(|tail| (millis, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_gep_2257_says() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("2s", 2_000),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1.5s", "-1s", "1d", "123456s", "1s1s1s1s1s", "1 s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

//! A rate -> Envoy's token bucket, without rounding.
//!
//! Envoy fills whole milliseconds and at least 50 of them. The interval is the smallest multiple of 50 ms in which the rate
//! gives whole tokens, so that the buckets of one filter have intervals that divide evenly.

use std::time::Duration;

use crate::model::TokenBucket;

/// Envoy's shortest fill interval.
const STEP_MS: u64 = 50;

/// The bucket of so many requests in so many seconds; `requests` is not 0.
pub(super) fn bucket(requests: u32, unit_secs: u64, burst: Option<u32>) -> TokenBucket {
    let unit_ms = unit_secs * 1000;
    let requests = u64::from(requests.max(1));
    // Whole tokens come in multiples of this many milliseconds.
    let whole = unit_ms / gcd(requests, unit_ms);
    let fill_ms = whole / gcd(whole, STEP_MS) * STEP_MS;
    let tokens = requests * fill_ms / unit_ms;
    TokenBucket {
        max_tokens: burst.unwrap_or(u32::try_from(requests).unwrap_or(u32::MAX)).max(1),
        tokens_per_fill: u32::try_from(tokens).unwrap_or(u32::MAX),
        fill_interval: Duration::from_millis(fill_ms),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn rates_are_exact() {
        for (requests, unit, tokens, fill_ms) in [
            (100, 1, 5, 50),
            (1, 1, 1, 1000),
            (3, 1, 3, 1000),
            (10, 1, 1, 100),
            (40, 1, 2, 50),
            (16, 1, 4, 250),
            (1_000_000, 1, 50_000, 50),
            (60, 60, 1, 1000),
            (7, 60, 7, 60_000),
            (1, 3600, 1, 3_600_000),
            (999_983, 3600, 999_983, 3_600_000),
        ] {
            let made = bucket(requests, unit, None);
            assert_eq!(
                (made.tokens_per_fill, made.fill_interval.as_millis()),
                (tokens, fill_ms),
                "{requests}/{unit}s"
            );
            assert_eq!(made.max_tokens, requests);
        }
        assert_eq!(bucket(5, 1, Some(200)).max_tokens, 200);
    }
}

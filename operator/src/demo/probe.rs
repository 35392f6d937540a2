//! A set of requests from where a workload is, and what is expected of the answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;

use super::caller::Caller;
use crate::shop::Outcome;

/// What the answers must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// All have this status.
    Status(u16),
    /// All are refused with this status, and the destination's access log names this cause.
    Refused(u16, &'static str),
    /// None passes: an open connection of a caller that is no longer allowed is cut under the request (503).
    Cut,
    /// All are answered by this version.
    Version(&'static str),
    /// This share is answered by v2, within five standard deviations.
    ShareOfV2(f64),
    /// At least so many pass, the others are 429 with `retry-after`.
    Limited(usize),
    /// All take at least this long.
    SlowerThan(f64),
    /// All are faster than this.
    FasterThan(f64),
}

/// A set of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// The workload that sends them, in the shop.
    pub(super) from: &'static str,
    /// What people read.
    pub(super) label: &'static str,
    /// Arguments of `shop-call`.
    pub(super) call: &'static [&'static str],
    /// What must come back.
    pub(super) expect: Expect,
}

/// Sends the requests; the last word of the call is the URL.
pub(super) async fn send(program: &Path, caller: &Caller, call: &[&str]) -> anyhow::Result<Vec<Outcome>> {
    let (url, options) = call.split_last().context("a call has a URL")?;
    let output = caller
        .command(program)
        .arg("shop-call")
        .args(options)
        .arg(caller.url(url))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run the client")?;
    if !output.status.success() {
        anyhow::bail!(
            "the calls could not be made: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).context("an outcome does not parse"))
        .collect()
}

impl Expect {
    /// Whether the answers are as expected; `cause` is what the destination's log says.
    pub(super) fn holds(self, outcomes: &[Outcome], cause: Option<&str>) -> bool {
        let all = |test: &dyn Fn(&Outcome) -> bool| !outcomes.is_empty() && outcomes.iter().all(test);
        match self {
            Self::Status(status) => all(&|outcome| outcome.status == Some(status)),
            Self::Refused(status, rule) => all(&|outcome| outcome.status == Some(status)) && cause == Some(rule),
            Self::Cut => all(&|outcome| matches!(outcome.status, Some(403 | 503))),
            Self::Version(version) => all(&|outcome| outcome.version.as_deref() == Some(version)),
            Self::ShareOfV2(share) => all(&|outcome| outcome.status == Some(200)) && share_holds(outcomes, share),
            Self::Limited(pass) => {
                let (passed, refused): (Vec<_>, Vec<_>) = outcomes.iter().partition(|o| o.status == Some(200));
                passed.len() >= pass
                    && !refused.is_empty()
                    && refused
                        .iter()
                        .all(|o| o.status == Some(429) && o.headers.contains_key("retry-after"))
            }
            Self::SlowerThan(ms) => all(&|outcome| outcome.status == Some(200) && outcome.ms >= ms),
            Self::FasterThan(ms) => all(&|outcome| outcome.status == Some(200) && outcome.ms < ms),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few hundred")]
fn share_holds(outcomes: &[Outcome], share: f64) -> bool {
    let total = outcomes.len() as f64;
    let v2 = outcomes
        .iter()
        .filter(|outcome| outcome.version.as_deref() == Some("v2"))
        .count() as f64;
    (v2 - total * share).abs() <= 5.0 * (total * share * (1.0 - share)).sqrt()
}

/// What came back, in a few words.
pub(super) fn describe(outcomes: &[Outcome], cause: Option<&str>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes {
        let mut word = match (outcome.status, &outcome.error) {
            (Some(status), _) => status.to_string(),
            (None, Some(error)) => error.clone(),
            (None, None) => "no answer".to_owned(),
        };
        if let (Some(200), Some(version)) = (outcome.status, &outcome.version) {
            word = format!("{word} from {version}");
        }
        *counts.entry(word).or_default() += 1;
    }
    let mut words: Vec<String> = counts
        .into_iter()
        .map(|(word, count)| {
            if outcomes.len() == 1 {
                word
            } else {
                format!("{count} × {word}")
            }
        })
        .collect();
    let slowest = outcomes.iter().map(|outcome| outcome.ms).fold(0.0, f64::max);
    if slowest >= 100.0 {
        words.push(format!("up to {slowest:.0} ms"));
    }
    if let Some(cause) = cause {
        words.push(format!("because of {cause}"));
    }
    words.join(", ")
}

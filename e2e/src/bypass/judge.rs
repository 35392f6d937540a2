//! What an attempt reached, by what the server says it understood.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::{Case, NUMBER};

/// What must not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/admin` and below.
    Admin,
    /// Everything but `/public` and below.
    Private,
    /// Anything with an element `admin` in the header `x-role`.
    Role,
}

/// One request, as a server understood it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The resource that it would serve.
    pub path: String,
    /// The elements of `x-role`.
    pub roles: Vec<String>,
    /// The number that came with it.
    pub number: Option<usize>,
}

/// What one attempt brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Its number.
    pub index: usize,
    /// The status of each answer; none is no answer.
    pub statuses: Vec<u16>,
    /// What the server understood.
    pub seen: Vec<Seen>,
    /// Answers of success that do not say what was understood.
    pub blind: usize,
}

impl Seen {
    /// Reads the JSON of either server.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        let header = |name: &str| value.get("headers")?.get(name)?.as_str();
        Some(Self {
            path: value.get("path")?.as_str()?.to_owned(),
            roles: header("x-role")
                .into_iter()
                .flat_map(|roles| roles.split(','))
                .map(|role| role.trim().to_owned())
                .collect(),
            number: header(NUMBER).and_then(|number| number.parse().ok()),
        })
    }

    /// Whether this is the resource.
    pub fn is(&self, resource: Resource) -> bool {
        let first = self.path.trim_start_matches('/').split('/').next();
        match resource {
            Resource::Admin => first == Some("admin"),
            Resource::Private => first != Some("public"),
            Resource::Role => self.roles.iter().any(|role| role == "admin"),
        }
    }
}

impl Answer {
    /// Whether it reached one of these. What is not known counts.
    pub fn reached(&self, resources: &[Resource]) -> bool {
        let is = |seen: &Seen| resources.iter().any(|resource| seen.is(*resource));
        self.blind > 0 || self.seen.iter().any(is)
    }

    /// Whether it is (also) the answer to another request.
    pub fn crossed(&self) -> bool {
        self.seen.iter().any(|seen| seen.number != Some(self.index))
    }
}

/// Counts by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that were sent.
    pub attempts: usize,
    /// Attempts that reached something that they must not.
    pub reached: Vec<usize>,
    /// Attempts that got somebody else's answer.
    pub crossed: Vec<usize>,
    /// By class: attempts, of those that reached it, and first statuses (0 for no answer).
    classes: BTreeMap<&'static str, (usize, usize, BTreeMap<u16, usize>)>,
}

impl Tally {
    /// Counts answers.
    pub fn of(cases: &[Case], answers: &[Answer], resources: &[Resource]) -> Self {
        let mut tally = Self::default();
        for answer in answers {
            let Some(case) = cases.get(answer.index) else { continue };
            let reached = answer.reached(resources);
            tally.attempts += 1;
            if reached {
                tally.reached.push(answer.index);
            }
            if answer.crossed() {
                tally.crossed.push(answer.index);
            }
            for class in &case.classes {
                let (attempts, reaching, statuses) = tally.classes.entry(class).or_default();
                *attempts += 1;
                *reaching += usize::from(reached);
                *statuses
                    .entry(answer.statuses.first().copied().unwrap_or_default())
                    .or_default() += 1;
            }
        }
        tally
    }

    /// How many attempts of a class reached it.
    pub fn reaching(&self, class: &str) -> usize {
        self.classes.get(class).map_or(0, |(_, reached, _)| *reached)
    }

    /// How many attempts got this status first.
    pub fn status(&self, answers: &[Answer], status: u16) -> usize {
        let first = |answer: &&Answer| answer.statuses.first().copied().unwrap_or_default() == status;
        answers.iter().filter(first).count()
    }

    /// A line for each class.
    pub fn table(&self, title: &str) -> String {
        let mut text = format!(
            "{title}: {} attempts, {} reached a denied resource\n",
            self.attempts,
            self.reached.len()
        );
        for (class, (attempts, reached, statuses)) in &self.classes {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "  {class:<22} {attempts:>5} sent {reached:>5} reached  {statuses:?}"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_servers_can_be_read() {
        let seen =
            Seen::read(br#"{"path": "/admin/x", "headers": {"x-role": "user, admin", "x-probe": "7"}}"#).unwrap();
        assert!(seen.is(Resource::Admin) && seen.is(Resource::Private) && seen.is(Resource::Role));
        assert_eq!(seen.number, Some(7));
        let seen = Seen::read(br#"{"path": "/public/admin", "headers": {"x-role": "user"}}"#).unwrap();
        assert!(!seen.is(Resource::Admin) && !seen.is(Resource::Private) && !seen.is(Resource::Role));
        assert!(
            !Seen::read(br#"{"path": "/administrator", "headers": {}}"#)
                .unwrap()
                .is(Resource::Admin)
        );
    }

    #[test]
    fn what_is_not_known_counts_as_reached() {
        let answer = Answer {
            blind: 1,
            ..Answer::default()
        };
        assert!(answer.reached(&[]));
        let other = Answer {
            index: 4,
            seen: vec![Seen::default()],
            ..Answer::default()
        };
        assert!(other.crossed());
    }
}

//! How many reviews were answered, and how.

use kube::core::DynamicObject;
use kube::core::admission::AdmissionReview;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// The labels of a count.
pub(crate) type Labels = [(&'static str, &'static str); 2];

/// Counts since the start; clones count together.
#[derive(Clone, Debug)]
pub struct Reviews(Family<Labels, Counter>);

/// What the API server asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// Pods, for injection.
    Mutate,
    /// Objects of ours, for advice.
    Validate,
}

impl Question {
    const fn name(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
        }
    }
}

const ANSWERS: [&str; 4] = ["patched", "allowed", "refused", "unreadable"];

impl Default for Reviews {
    fn default() -> Self {
        let family = Family::default();
        // An absent series could not be told from a missing one.
        for question in [Question::Mutate, Question::Validate] {
            for answer in ANSWERS {
                drop(family.get_or_create(&labels(question, answer)));
            }
        }
        Self(family)
    }
}

impl Reviews {
    pub(super) fn count(&self, question: Question, answer: Option<&AdmissionReview<DynamicObject>>) {
        let response = answer.and_then(|review| review.response.as_ref());
        let answer = match response {
            None => "unreadable",
            Some(response) if !response.allowed => "refused",
            Some(response) if response.patch.is_some() => "patched",
            Some(_) => "allowed",
        };
        self.0.get_or_create(&labels(question, answer)).inc();
    }

    /// The counts, for the registry.
    pub(crate) fn family(&self) -> Family<Labels, Counter> {
        self.0.clone()
    }
}

fn labels(question: Question, answer: &'static str) -> Labels {
    [("webhook", question.name()), ("answer", answer)]
}

//! Splitting names at `/`, without panics.

use std::str::FromStr;

use crate::model::Key;

/// The parts of a name, consumed from the left.
pub(super) struct Parts<'a> {
    rest: std::str::Split<'a, char>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        Self { rest: name.split('/') }
    }

    /// The next part as text; absent when it is missing or empty.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        self.rest.next().filter(|part| !part.is_empty())
    }

    /// The next part as a number or an address.
    pub(super) fn value<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// The next two parts as a namespaced name.
    pub(super) fn key(&mut self) -> Option<Key> {
        Some(Key::new(self.text()?, self.text()?))
    }

    /// Gives the result only if nothing is left.
    pub(super) fn end<T>(mut self, result: T) -> Option<T> {
        self.rest.next().is_none().then_some(result)
    }
}

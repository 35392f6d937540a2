//! Who notices which case of `harness::broken` on a cluster.

/// Who notices that a case is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notices {
    /// kubectl itself: what it cannot read never arrives.
    Kubectl,
    /// The API server, by the definition of the kind; also with `--validate=ignore` and while we are down.
    Schema,
    /// Our parser, through the webhook; without it the object is accepted and fails closed.
    Parser,
    /// Our parser, as a warning: it depends on another object, which may come later. It fails closed until then.
    Warning,
    /// Nobody: for kubectl it is the good file.
    Nobody,
}

const TABLE: &[(Notices, &[&str])] = &[
    (
        Notices::Kubectl,
        &[
            "unclosed bracket",
            "tab as indentation",
            "empty",
            "only a comment",
            "NUL byte",
            "half written",
            "unknown apiVersion",
            "unknown kind",
            "no name",
            "nested too deeply",
            "aliases that multiply",
        ],
    ),
    (
        Notices::Schema,
        &[
            "a name that is none",
            "no spec",
            "rules of the wrong type",
            "an action that does not exist",
            "a source of the wrong type",
            "http and grpc in one rule",
            "an empty list of matches",
            "a regex that is too long",
            "a source without its part",
            "an empty list of ports",
        ],
    ),
    (
        Notices::Parser,
        &[
            "unknown field in a rule",
            "unknown field in a source",
            "unknown field in a target",
            "unknown field in a match",
            "a regex that is none",
            "a SPIFFE ID that is none",
            "a match of the query",
            "a path that does not begin with a slash",
        ],
    ),
    (
        Notices::Warning,
        &[
            "a port name that does not exist",
            "a gRPC match on an HTTP port",
            "a rule port that does not exist",
        ],
    ),
    // Bytes in comments, and a key that kubectl reads twice, the last time with the good value.
    (
        Notices::Nobody,
        &["huge", "invalid UTF-8", "repeated key", "the same object twice"],
    ),
];

/// Who notices the case.
pub(crate) fn notices(name: &str) -> Option<Notices> {
    TABLE
        .iter()
        .find(|(_, names)| names.contains(&name))
        .map(|(notices, _)| *notices)
}

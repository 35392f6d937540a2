//! Mesh-wide settings that differ. What they do to single ports is seen there too.

use std::fmt::Debug;

use super::effects::{Change, Effect};
use crate::model::Model;

pub(super) fn changes(before: &Model, after: &Model) -> Vec<Effect> {
    let (was, is) = (&before.mesh, &after.mesh);
    let mut found = Vec::new();
    compare("trustDomain", &was.trust_domain, &is.trust_domain, &mut found);
    compare("mtls.mode", &was.mtls, &is.mtls, &mut found);
    compare(
        "permissions.defaultAction",
        &was.default_action,
        &is.default_action,
        &mut found,
    );
    compare("egress allowed", &was.egress_allowed, &is.egress_allowed, &mut found);
    compare("revocationTime", &was.revocation_time, &is.revocation_time, &mut found);
    compare(
        "allowPathParameters",
        &was.allow_path_parameters,
        &is.allow_path_parameters,
        &mut found,
    );
    compare("access log", &was.access_log, &is.access_log, &mut found);
    compare("denial header", &was.denial_header, &is.denial_header, &mut found);
    found
}

fn compare<T: PartialEq + Debug>(name: &str, was: &T, is: &T, found: &mut Vec<Effect>) {
    if was != is {
        found.push(Effect {
            subject: format!("Mesh: {name}"),
            change: Change::Changes,
            detail: format!("{is:?} instead of {was:?}"),
            callees: Vec::new(),
        });
    }
}

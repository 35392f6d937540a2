//! The default of one port: what happens to callers that no rule names.

use crate::link::topology::PortFacts;
use crate::model::{DefaultAction, DefaultVerdict, MtlsMode};

/// The default, given whether an enforced Allow selects the port.
pub(super) fn default(action: DefaultAction, facts: &PortFacts, selected: bool) -> DefaultVerdict {
    let allow_mesh = match action {
        DefaultAction::Allow => true,
        DefaultAction::AllowUntilSelected => !selected,
        DefaultAction::Deny => false,
    };
    // Once selected, plaintext callers must be named, also where the default lets mesh identities in.
    let allow_plaintext = action != DefaultAction::Deny && facts.mtls == MtlsMode::Permissive && !selected;
    let word = if allow_mesh { "Allow" } else { "Deny" };
    DefaultVerdict {
        allow_mesh,
        allow_plaintext,
        name: format!("default/{word}/{}", facts.name).into(),
    }
}

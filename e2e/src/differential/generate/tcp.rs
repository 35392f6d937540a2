//! Combinations of permissions over identities, actions and default actions for TCP: another one on each of many ports.

use serde_json::{Value, json};

use super::{Generator, World, object, put};
use crate::differential::prober::Does;
use crate::differential::question::{Asker, Question, Target};
use crate::differential::world::{CALLERS, MANY_BANNER, MANY_ECHO, MANY_SERVICE};

/// Combinations in one world.
pub const COMBINATIONS: usize =
    MANY_ECHO.end as usize - MANY_ECHO.start as usize + MANY_BANNER.end as usize - MANY_BANNER.start as usize;

impl Generator {
    /// A world of combinations, and who connects to all of them.
    pub fn connections(&mut self) -> (World, Vec<Question>) {
        let default = self.noted(&["AllowUntilSelected", "Allow", "Deny"]);
        let mut objects = vec![self.mesh_with(default, false)];
        for (prefix, ports) in [("echo", MANY_ECHO), ("banner", MANY_BANNER)] {
            for port in ports {
                self.note("TCP combination");
                for index in 0..self.dice.pick(&[0, 1, 2, 2, 3, 3]) {
                    objects.push(self.combined(&format!("{prefix}{port}"), index));
                }
            }
        }
        let mut questions = Vec::new();
        for (port, does) in MANY_ECHO
            .map(|port| (port, Does::Say))
            .chain(MANY_BANNER.map(|port| (port, Does::Listen)))
        {
            questions.extend(CALLERS.into_iter().map(|caller| Question {
                from: Asker::Mesh(caller),
                to: Target::Service(MANY_SERVICE),
                port,
                does: does.clone(),
            }));
        }
        (self.finish(objects), questions)
    }

    fn combined(&mut self, port: &str, index: u8) -> Value {
        let action = self.noted(&["TCP Allow", "TCP Deny", "TCP Shadow Allow", "TCP Shadow Deny"]);
        let word = if action.ends_with("Deny") { "Deny" } else { "Allow" };
        let mut rule = json!({});
        if word == "Allow" || self.dice.percent(85) {
            let sources = self.sources();
            put(&mut rule, "sources", sources);
        }
        let target = json!([{"kind": "Service", "name": MANY_SERVICE.name, "sectionName": port}]);
        let mut spec = json!({"targetRefs": target, "action": word, "rules": [rule]});
        if action.contains("Shadow") {
            put(&mut spec, "mode", "Shadow");
        }
        object(
            "TrafficPermission",
            MANY_SERVICE.namespace,
            &format!("{port}-{index}"),
            &spec,
        )
    }
}

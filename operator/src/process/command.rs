//! What to run, and the command line that runs it there and as that user.
//!
//! `ip netns exec` enters the namespace (and shows its `hosts` file), `setpriv` drops root: both replace themselves by the
//! next program, so the pid that we get is the application's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A user without root's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id; there are no further groups.
    pub gid: u32,
}

/// When to start a process again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    Always,
    /// Only if it failed.
    OnFailure,
    /// Never.
    Never,
}

/// A process to run.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// For people: logs, errors, the registry.
    pub name: String,
    /// The program; found on PATH if it has no slash.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment; added to ours if `inherit_environment`.
    pub environment: BTreeMap<OsString, OsString>,
    /// Whether it sees our environment.
    pub inherit_environment: bool,
    /// Its working folder; ours if absent.
    pub folder: Option<PathBuf>,
    /// Its network namespace; ours if absent.
    pub namespace: Option<String>,
    /// Its user; ours if absent.
    pub user: Option<User>,
    /// The file that its output is appended to.
    pub log: PathBuf,
    /// Whether the kernel kills it when we die (also by `kill -9`). If not, it outlives us and the next start removes it,
    /// as it does with the children of either.
    pub die_with_parent: bool,
    /// When to start it again.
    pub restart: Restart,
}

/// Becomes the program that follows, unless the parent is not the process that `$0` names.
const STILL_OURS: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

impl ProcessSpec {
    /// The program and arguments that are really started.
    pub fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        if let Some(namespace) = &self.namespace {
            line.extend(["ip", "netns", "exec", namespace].map(Into::into));
        }
        if let Some(User { uid, gid }) = self.user {
            line.extend([
                "setpriv".into(),
                format!("--reuid={uid}").into(),
                format!("--regid={gid}").into(),
            ]);
            // A set-uid program could change the rules of interception.
            line.extend(["--clear-groups", "--no-new-privs", "--"].map(Into::into));
        }
        if self.die_with_parent {
            // A step of its own: the kernel forgets the signal when the user changes. Who lost its parent before the signal was
            // set would live for ever, so it looks who its parent is afterwards.
            line.extend(["setpriv", "--pdeathsig=KILL", "--", "sh", "-c", STILL_OURS].map(Into::into));
            line.push(std::process::id().to_string().into());
        }
        line.push(self.program.clone().into());
        line.extend(self.arguments.iter().cloned());
        line
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the line prints when it believes that this process started it.
    fn output(parent: u32) -> Vec<u8> {
        let spec = ProcessSpec {
            name: "echo".to_owned(),
            program: "echo".into(),
            arguments: vec!["it's me".into()],
            environment: BTreeMap::new(),
            inherit_environment: true,
            folder: None,
            namespace: None,
            user: None,
            log: PathBuf::new(),
            die_with_parent: true,
            restart: Restart::Never,
        };
        let ours = OsString::from(std::process::id().to_string());
        let line = spec.command_line().into_iter();
        let line: Vec<OsString> = line
            .map(|word| if word == ours { parent.to_string().into() } else { word })
            .collect();
        let (program, arguments) = line.split_first().unwrap();
        Command::new(program).args(arguments).output().unwrap().stdout
    }

    #[test]
    fn who_lost_its_parent_before_the_signal_was_set_does_not_start() {
        assert_eq!(output(std::process::id()), b"it's me\n");
        assert_eq!(output(1), b"");
    }
}

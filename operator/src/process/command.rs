//! What to run, and the command line that runs it there and as that user.
//!
//! `ip netns exec` enters the namespace (and shows its `hosts` file), `setpriv` drops root: both replace themselves by the
//! next program, so the pid that we get is the application's own.
//!
//! The programs on the way do not see the environment as the spec has it: `sh` drops names that it could not have as variables
//! and adds some of its own, and no author of a workload may say what `ip`, as root, loads. It travels as the values of
//! variables with plain names; `env` puts it in force as the last step. Nothing of it is on a command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
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
    /// The program; found on PATH if it has no slash. Without `=`, which `env` would take for a variable.
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

/// A program that is to be started, with what leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The first program and its arguments.
    pub words: Vec<OsString>,
    /// What is in the first program's environment, beside ours if that is inherited.
    pub environment: BTreeMap<OsString, OsString>,
}

impl ProcessSpec {
    /// The program, arguments and environment that are really started. In the end the program sees what the spec says and
    /// `always`; this is also what the programs on the way see.
    pub fn command_line(&self, always: &BTreeMap<OsString, OsString>) -> io::Result<CommandLine> {
        if self.program.as_os_str().as_encoded_bytes().contains(&b'=') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name has a '='; give the program another name",
            ));
        }
        let mut environment = always.clone();
        let mut carried = always.clone();
        carried.extend(self.environment.clone());
        // What is not inherited is left behind; so is what `sh` adds.
        let mut put = if self.inherit_environment {
            String::new()
        } else {
            "-i ".to_owned()
        };
        for (number, (name, value)) in carried.into_iter().enumerate() {
            let carrier = format!("TULLE_CARRIED_{number}");
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            environment.insert(carrier.clone().into(), pair);
            let unset = if self.inherit_environment {
                format!("-u {carrier} ")
            } else {
                String::new()
            };
            put = format!("{unset}{put}\"${{{carrier}}}\" ");
        }
        let mut words = self.way();
        words.extend(["env".into(), "-S".into(), put.into()]);
        words.push(self.program.clone().into());
        words.extend(self.arguments.iter().cloned());
        Ok(CommandLine { words, environment })
    }

    /// What comes before the program.
    fn way(&self) -> Vec<OsString> {
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
        line
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn spec(program: &str, arguments: &[&str]) -> ProcessSpec {
        ProcessSpec {
            name: program.to_owned(),
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            inherit_environment: false,
            folder: None,
            namespace: None,
            user: None,
            log: PathBuf::new(),
            die_with_parent: true,
            restart: Restart::Never,
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// What it prints when it believes that this process started it.
    fn output(spec: &ProcessSpec, parent: u32) -> String {
        let line = spec.command_line(&map(&[("PATH", "/usr/bin:/bin")])).unwrap();
        let ours = OsString::from(std::process::id().to_string());
        let words = line.words.into_iter();
        let words: Vec<OsString> = words
            .map(|word| if word == ours { parent.to_string().into() } else { word })
            .collect();
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        if !spec.inherit_environment {
            command.env_clear();
        }
        let output = command.args(arguments).envs(line.environment).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn who_lost_its_parent_before_the_signal_was_set_does_not_start() {
        let echo = spec("echo", &["it's me"]);
        assert_eq!(output(&echo, std::process::id()), "it's me\n");
        assert_eq!(output(&echo, 1), "");
    }

    #[test]
    fn a_program_sees_the_environment_that_it_was_given_and_nothing_else() {
        let given = map(&[
            ("spring.profile", "a  b 'c' \"d\" $HOME ${PATH} \\n # e"),
            ("my-var", "two\nlines"),
            ("empty", ""),
            ("IFS", "x"),
            ("LD_PRELOAD", ""),
        ]);
        let program = ProcessSpec {
            environment: given.clone(),
            ..spec("env", &["-0"])
        };
        let mut expected: Vec<String> = given
            .iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        expected.push("PATH=/usr/bin:/bin".to_owned());
        expected.sort();
        let text = output(&program, std::process::id());
        let mut seen: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
        seen.sort_unstable();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_given_comes_on_top_of_what_is_inherited() {
        let environment = map(&[("my-var", "mine")]);
        let program = ProcessSpec {
            environment,
            inherit_environment: true,
            ..spec("env", &[])
        };
        let text = output(&program, std::process::id());
        assert!(text.lines().any(|line| line == "my-var=mine"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("CARGO")), "{text}");
        assert!(!text.contains("TULLE_CARRIED"), "{text}");
    }

    #[test]
    fn values_are_on_no_command_line_and_programs_on_the_way_do_not_see_the_names() {
        let environment = map(&[("LD_PRELOAD", "secret"), ("PATH", "/home/somebody")]);
        let program = ProcessSpec {
            environment,
            namespace: Some("n".to_owned()),
            ..spec("env", &[])
        };
        let line = program.command_line(&map(&[("PATH", "/bin")])).unwrap();
        assert!(!format!("{:?}", line.words).contains("secret"), "{line:?}");
        assert!(
            !line.environment.contains_key(&OsString::from("LD_PRELOAD")),
            "{line:?}"
        );
        assert_eq!(line.environment[&OsString::from("PATH")], "/bin");
        assert!(spec("a=b", &[]).command_line(&map(&[])).is_err());
    }
}

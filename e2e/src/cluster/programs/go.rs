//! Programs that are built from Go modules, which the `go` command fetches and checks.
//!
//! Each recipe is a module of its own, because their dependencies want different versions. Builds are slow on purpose:
//! at the lowest priority, two compilers at a time.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::compiler::Compiler;
use crate::cluster::layout::KUBERNETES;
use crate::cluster::shell;

/// How often a build says that it is still under way.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What to build from which module.
#[derive(Debug)]
pub(super) struct Recipe {
    name: &'static str,
    version: &'static str,
    /// The module that is required, with its version; none for a program of our own.
    module: Option<&'static str>,
    /// Packages with the name of the program that each makes.
    packages: &'static [(&'static str, &'static str)],
    /// Our own source, for `main.go`.
    source: Option<&'static str>,
    /// Further arguments of the linker.
    link: &'static str,
}

/// Everything that is built.
pub(super) const RECIPES: &[Recipe] = &[
    Recipe {
        name: "pause",
        version: "1",
        module: None,
        packages: &[(".", "pause")],
        source: Some(include_str!("../templates/pause.go")),
        link: "",
    },
    Recipe {
        name: "kubernetes",
        version: KUBERNETES,
        module: Some("k8s.io/kubernetes"),
        packages: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            (
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "kube-controller-manager",
            ),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
            ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
            ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
        ],
        source: None,
        // What the build system of Kubernetes stamps; clients decide by it what the server can do.
        link: "-X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 \
               -X k8s.io/component-base/version.gitMinor=37",
    },
    Recipe {
        name: "etcd",
        version: "3.7.3",
        module: Some("go.etcd.io/etcd/server/v3"),
        packages: &[("go.etcd.io/etcd/server/v3", "etcd")],
        source: None,
        link: "",
    },
    Recipe {
        name: "helm",
        version: "4.3.1",
        module: Some("helm.sh/helm/v4"),
        packages: &[("helm.sh/helm/v4/cmd/helm", "helm")],
        source: None,
        link: "",
    },
    Recipe {
        name: "coredns",
        version: "1.15.0",
        module: Some("github.com/coredns/coredns"),
        packages: &[("github.com/coredns/coredns", "coredns")],
        source: None,
        link: "",
    },
];

impl Recipe {
    /// Its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Whether a program is one of its.
    pub(super) fn makes(&self, program: &str) -> bool {
        self.packages.iter().any(|(_, name)| *name == program)
    }
}

/// Builds every program of the recipe into the folder.
pub(super) fn build(recipe: &Recipe, compiler: &Compiler, work: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    progress(&format!("building {} (once; then it is in the cache)", recipe.folder()));
    let source = work.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("go.mod"), go_mod(recipe, compiler, &source)?)?;
    if let Some(text) = recipe.source {
        fs::write(source.join("main.go"), text)?;
    }
    let log = source.join("build.log");
    let mut command = compiler.go(&source);
    command.args(["build", "-v", "-p", "2", "-trimpath", "-ldflags"]);
    command.arg(format!("-s -w {}", recipe.link)).arg("-o");
    match recipe.packages {
        [(_, program)] => command.arg(work.join(program)),
        _ => command.arg(format!("{}/", work.display())),
    };
    command.args(recipe.packages.iter().map(|(package, _)| package));
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn();
    let child = child.context("cannot run `go`")?;
    watch(child, &recipe.folder(), &log, progress)?;
    for (_, program) in recipe.packages {
        ensure!(work.join(program).is_file(), "go succeeded but made no {program}");
    }
    Ok(fs::remove_dir_all(source)?)
}

/// The module that requires the recipe's. Replacements of a required module do not count in ours: those that point into
/// its own tree are repeated with the version under which the same code is published.
fn go_mod(recipe: &Recipe, compiler: &Compiler, folder: &Path) -> Result<String> {
    let (name, version) = (recipe.name, recipe.version);
    let text = format!("module tulle.dev/{name}\n\ngo 1.26.0\n");
    let Some(module) = recipe.module else { return Ok(text) };
    let found = shell::output(
        compiler
            .go(folder)
            .args(["mod", "download", "-json", &format!("{module}@v{version}")]),
    )?;
    let found: Value = serde_json::from_str(&found)?;
    let file = found
        .get("GoMod")
        .and_then(Value::as_str)
        .context("go names no go.mod")?;
    let parsed = shell::output(compiler.go(folder).args(["mod", "edit", "-json", file]))?;
    let replaced = replacements(&serde_json::from_str(&parsed)?, version);
    Ok(format!("{text}\nrequire {module} v{version}\n\n{replaced}"))
}

/// `v1.37.2` of Kubernetes is `v0.37.2` of its libraries.
fn replacements(module: &Value, version: &str) -> String {
    let library = version
        .split_once('.')
        .map(|(_, rest)| format!("v0.{rest}"))
        .unwrap_or_default();
    let replaced = module
        .get("Replace")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let line = |entry: &Value| {
        let old = entry.pointer("/Old/Path")?.as_str()?;
        let own = entry.pointer("/New/Path")?.as_str()?.starts_with("./staging/");
        own.then(|| format!("replace {old} => {old} {library}\n"))
    };
    replaced.iter().filter_map(line).collect()
}

/// Waits for a build, saying now and then how far it is.
fn watch(mut child: Child, name: &str, log: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    let (start, mut said) = (Instant::now(), Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            let words = fs::read_to_string(log).unwrap_or_default();
            bail!("go build failed ({status}):\n{}", shell::last_lines(&words));
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let lines = fs::read_to_string(log).unwrap_or_default();
            let packages = lines.lines().filter(|line| !line.starts_with("go: ")).count();
            let passed = start.elapsed().as_secs();
            progress(&format!(
                "building {name}: {packages} packages compiled after {passed} s"
            ));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_within_the_tree_name_the_published_version() {
        let module = serde_json::json!({"Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "example.com/x"}, "New": {"Path": "example.com/y", "Version": "v1.0.0"}},
        ]});
        assert_eq!(
            replacements(&module, "1.37.2"),
            "replace k8s.io/api => k8s.io/api v0.37.2\n"
        );
        assert_eq!(replacements(&serde_json::json!({}), "1.37.2"), "");
    }

    #[test]
    fn the_stamped_version_is_the_one_that_is_built() {
        let kubernetes = RECIPES.iter().find(|recipe| recipe.name == "kubernetes").unwrap();
        assert!(kubernetes.link.contains(&format!("gitVersion=v{KUBERNETES} ")));
    }
}

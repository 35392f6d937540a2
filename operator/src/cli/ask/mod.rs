//! What `explain`, `can-i` and `diff` ask about: one set of objects, from a folder or from a running control plane.

pub(crate) mod names;
pub(crate) mod request;
pub(crate) mod say;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use config::{Model, Settings};

use crate::cli::get::client::Client;
use crate::cli::plugin::cluster::{Cluster, ClusterArgs};
use crate::settings::{self, Environment};
use crate::source::{self, Object, SourceView};

/// Flags that say whose objects are meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// Ask about the objects of this folder, without a control plane.
    #[arg(long, value_name = "DIR", conflicts_with = "state")]
    folder: Option<PathBuf>,
    /// Ask the control plane that has this state folder (or `TULLE_STATE`). Default: the one that runs for this folder or one
    /// below it; without one, the objects in this folder
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The objects, and where they were found.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) view: Arc<SourceView>,
    /// `the folder mesh`, `the control plane of mesh/.tulle`, `the cluster at https://...`.
    pub(crate) from: String,
    /// What the control plane was started with.
    pub(crate) settings: Settings,
    /// Whether somebody else's objects are among them, so that a folder never takes the place of everything.
    pub(crate) shared: bool,
}

impl World {
    /// Finds them.
    pub(crate) async fn find(args: &SourceArgs, cluster: Option<&ClusterArgs>) -> anyhow::Result<Self> {
        if let Some(folder) = &args.folder {
            return Self::of_folder(folder);
        }
        if let (None, Some(cluster)) = (&args.state, cluster) {
            return Self::of_cluster(&Cluster::connect(cluster).await?).await;
        }
        let chosen = args.state.clone().or(Environment::read().state);
        match settings::find_state_dir(chosen.as_deref()) {
            Ok(state) => Self::of_state(&state).await,
            Err(settings::NoStateDir::None) if has_objects(Path::new(".")) => Self::of_folder(Path::new(".")),
            Err(error) => Err(anyhow::Error::new(error)
                .context("it is not clear which objects are meant; name a folder with --folder")),
        }
    }

    pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let view = source::read_once(folder)?;
        anyhow::ensure!(view.problems.is_empty(), unreadable(&view.problems));
        Ok(Self {
            view,
            from: format!("the folder {}", folder.display()),
            settings: Settings::default(),
            shared: false,
        })
    }

    async fn of_state(state: &Path) -> anyhow::Result<Self> {
        let list = Client::new(state).everything().await?;
        let objects: Result<Vec<Object>, _> = list.items.into_iter().filter_map(Object::from_json).collect();
        let objects =
            objects.context("the control plane's objects are not what was expected; is it another version?")?;
        Ok(Self {
            view: Arc::new(source::view_of(objects)),
            from: format!("the control plane of {}", state.display()),
            settings: Settings::default(),
            shared: false,
        })
    }

    async fn of_cluster(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self {
            view: cluster.view().await?,
            from: format!("the cluster at {}", cluster.url),
            settings: cluster.settings(),
            shared: true,
        })
    }

    /// The model of these objects.
    pub(crate) fn model(&self) -> Arc<Model> {
        model_of(&self.view, &self.settings)
    }
}

/// The model of a set of objects, as of now.
pub(crate) fn model_of(view: &SourceView, settings: &Settings) -> Arc<Model> {
    config::build(&view.objects, settings, SystemTime::now())
}

/// Files that nobody can read make every answer wrong.
pub(crate) fn unreadable(problems: &[source::FileProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    format!(
        "these files cannot be read, so nobody can say what they allow:{}",
        lines.concat()
    )
}

fn has_objects(folder: &Path) -> bool {
    source::read_once(folder).is_ok_and(|view| !view.by_name.is_empty() || !view.problems.is_empty())
}

/// Exit code 2, as of `diff` and `grep`: there is no answer.
pub(crate) fn or_trouble(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

//! `tulle get KIND [NAME]`: objects with their status, as `kubectl get` prints them.

pub(crate) mod client;
mod output;
mod path;
mod rules;
pub(crate) mod table;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::plugin::cluster::Cluster;
use crate::admin::kinds::{self, Kind};
use crate::rules::RuleReport;
use crate::settings;
use client::{Client, List};

/// Flags of `tulle get`.
#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    /// The kind, in any form: mesh, meshstatus (ms), trafficpermissions (tp), trafficroutes (tr), ratelimits (rl),
    /// faultinjections (fi), workloads (wl), services (svc), endpointslices, namespaces (ns). KIND/NAME and KIND,KIND work too.
    /// `rules` shows how often each rule of a permission decided.
    kind: String,
    /// One object.
    name: Option<String>,
    /// The namespace. Default: `default`; of a cluster the context's
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// Go on and print what changes.
    #[arg(short, long)]
    watch: bool,
    /// Of rules only those that never decided anything.
    #[arg(long)]
    never: bool,
    /// The state folder of the control plane.
    #[arg(long, env = "TULLE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Who is asked.
pub(super) enum Asked<'a> {
    /// A control plane, at its admin socket.
    Socket(Client),
    /// The API server of a cluster.
    Cluster(&'a Cluster),
}

impl<'a> Asked<'a> {
    fn find(args: &GetArgs, cluster: Option<&'a Cluster>) -> anyhow::Result<Self> {
        match (&args.state, cluster) {
            (None, Some(cluster)) => Ok(Self::Cluster(cluster)),
            (state, _) => Ok(Self::Socket(Client::new(&settings::find_state_dir(state.as_deref())?))),
        }
    }

    async fn list(&self, kind: &Kind) -> anyhow::Result<List> {
        match self {
            Self::Socket(client) => client.list(&kind.plural).await,
            Self::Cluster(cluster) => Ok(List {
                version: 0,
                items: cluster.list(kind).await?,
            }),
        }
    }

    /// What each rule decided.
    pub(super) async fn rules(&self) -> anyhow::Result<RuleReport> {
        match self {
            Self::Socket(client) => client.ask("/rules").await,
            Self::Cluster(cluster) => cluster.rules().await,
        }
    }
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// The table with more columns.
    Wide,
    /// Whole objects.
    Yaml,
    /// Whole objects.
    Json,
    /// `kind/name`, a line each.
    Name,
}

/// What is asked for.
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
    /// Absent for all, and for kinds without one.
    pub(super) namespace: Option<String>,
    pub(super) output: Option<Output>,
}

pub(super) async fn run(args: GetArgs, cluster: Option<&Cluster>) -> anyhow::Result<ExitCode> {
    let kinds: Vec<String> = args.kind.split(',').map(ToOwned::to_owned).collect();
    if kinds.len() > 1 {
        anyhow::ensure!(
            args.name.is_none() && !args.watch,
            "several kinds go without a name and without --watch"
        );
    }
    for (index, kind) in kinds.into_iter().enumerate() {
        if index > 0 {
            super::print("\n")?;
        }
        show(GetArgs { kind, ..args.clone() }, cluster).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One kind.
async fn show(args: GetArgs, cluster: Option<&Cluster>) -> anyhow::Result<ExitCode> {
    let (kind, name) = match args.kind.split_once('/') {
        Some((kind, name)) => (kind.to_owned(), Some(name.to_owned())),
        None => (args.kind.clone(), args.name.clone()),
    };
    let namespace = args
        .namespace
        .clone()
        .or(cluster.map(|cluster| cluster.namespace.clone()));
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    if rules::is_meant(&kind) {
        let asked = Asked::find(&args, cluster)?;
        let namespace = Some(namespace);
        return rules::show(
            &asked,
            GetArgs {
                kind,
                name,
                namespace,
                ..args
            },
        )
        .await;
    }
    anyhow::ensure!(!args.never, "--never goes with `tulle get rules` only");
    let kind = kinds::find(&kind).with_context(|| {
        let known = kinds::all()
            .into_iter()
            .map(|kind| kind.plural)
            .chain(["rules".to_owned()]);
        let known: Vec<String> = known.collect();
        format!("there is no kind {kind:?}; ask for one of {}", known.join(", "))
    })?;
    let asked = Asked::find(&args, cluster)?;
    let namespace = (kind.namespaced && !args.all_namespaces).then_some(namespace);
    let question = Question {
        kind,
        name,
        namespace,
        output: args.output,
    };
    let list = asked.list(&question.kind).await?;
    let items = question.select(&list);
    if items.is_empty() && !args.watch {
        return none(&question);
    }
    super::print(&output::render(&question, &items))?;
    if args.watch {
        let Asked::Socket(client) = &asked else {
            anyhow::bail!(
                "a cluster is watched with `kubectl get {} --watch`",
                question.kind.plural
            );
        };
        watch::follow(client, &question, list).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The table that `tulle get KIND -A` prints, of objects that are at hand.
pub(crate) fn table_of(kind: &str, items: &[Value]) -> String {
    let Some(kind) = kinds::find(kind) else {
        return String::new();
    };
    let question = Question {
        kind,
        name: None,
        namespace: None,
        output: None,
    };
    output::render(&question, &items.iter().collect::<Vec<_>>())
}

impl Question {
    /// The objects that are meant.
    fn select<'a>(&self, list: &'a List) -> Vec<&'a Value> {
        let is = |item: &Value, pointer: &str, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| item.pointer(pointer).and_then(Value::as_str) == Some(wanted))
        };
        let meant = |item: &&Value| {
            is(item, "/metadata/name", self.name.as_deref())
                && is(item, "/metadata/namespace", self.namespace.as_deref())
        };
        list.items.iter().filter(meant).collect()
    }
}

fn none(question: &Question) -> anyhow::Result<ExitCode> {
    let place = question
        .namespace
        .as_deref()
        .map_or_else(String::new, |namespace| format!(" in {namespace} namespace"));
    if let Some(name) = &question.name {
        anyhow::bail!(
            "{} {name:?} not found{place}; list them with `tulle get {} -A`",
            question.kind.kind,
            question.kind.plural
        );
    }
    let hint = if question.namespace.is_some() {
        " (-n NAMESPACE or -A shows others)"
    } else {
        ""
    };
    eprintln!("No resources found{place}.{hint}");
    Ok(ExitCode::SUCCESS)
}

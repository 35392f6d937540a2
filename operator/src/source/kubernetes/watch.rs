//! The task that waits for the watches and publishes views.
//!
//! The first view exists once every kind was listed. Afterwards a change is published as soon as it is quiet for a moment,
//! because one `kubectl apply` or one rollout touches several kinds.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::view::SourceView;
use super::feed::Feeds;
use super::gather::Gather;
use super::pod::PodStore;
use super::prune;
use super::raw::Raw;

/// Changes that come together are read together.
const QUIET: Duration = Duration::from_millis(10);
/// However busy the cluster is, changes are published after this time.
const LONGEST: Duration = Duration::from_millis(100);
/// How often to say what is waited for at the start.
const REMIND: Duration = Duration::from_secs(10);
/// Streaming lists are on by default and stable from this minor version of Kubernetes 1 on.
const STREAMING_LISTS: u32 = 34;

/// Our kinds and their plurals.
pub(super) const OURS: [(&str, &str); 6] = [
    ("Mesh", "meshes"),
    ("TrafficPermission", "trafficpermissions"),
    ("TrafficRoute", "trafficroutes"),
    ("RateLimit", "ratelimits"),
    ("FaultInjection", "faultinjections"),
    ("Workload", "workloads"),
];

/// Whether it is a kind that users write.
pub(super) fn is_ours(kind: &str) -> bool {
    OURS.iter().any(|(ours, _)| *ours == kind)
}

/// Why the source does not start.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// A watch ended, which it never does by itself.
    #[error("a watch of the API server ended before its first list; this is a defect of tulle, please report it")]
    Ended,
}

/// A running source. Dropping it ends the watches.
#[derive(Debug)]
pub struct KubernetesHandle {
    views: watch::Receiver<Arc<SourceView>>,
    pods: PodStore,
    _tasks: JoinSet<()>,
}

impl KubernetesHandle {
    /// The views, from the current one on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SourceView>> {
        self.views.clone()
    }

    /// The current view.
    pub fn view(&self) -> Arc<SourceView> {
        Arc::clone(&self.views.borrow())
    }

    /// The Pods, always the newest.
    pub fn pods(&self) -> PodStore {
        self.pods.clone()
    }
}

/// Watches everything and returns once everything was listed, however long that takes.
pub async fn start(client: Client, system_namespace: &str) -> Result<KubernetesHandle, KubernetesError> {
    let mut feeds = Feeds {
        tasks: JoinSet::new(),
        dirty: Arc::new(Notify::new()),
        config: configuration(&client).await,
    };
    let stores = Stores::watch(&mut feeds, &client);
    stores.ready().await?;
    let mut gather = Gather::new(system_namespace);
    let (sender, views) = watch::channel(gather.update(stores.raws()));
    report(&views.borrow(), &SourceView::default());
    let pods = PodStore(stores.pods.clone());
    let Feeds { mut tasks, dirty, .. } = feeds;
    tasks.spawn(async move {
        loop {
            rest(&dirty).await;
            let view = gather.update(stores.raws());
            let before = Arc::clone(&sender.borrow());
            if before.sequence != view.sequence {
                report(&view, &before);
                sender.send_replace(view);
            }
        }
    });
    Ok(KubernetesHandle {
        views,
        pods,
        _tasks: tasks,
    })
}

/// How long one watch lasts. A connection that was lost without a word is noticed a few seconds later than that.
const WATCH_SECONDS: u32 = 60;

/// Streaming lists where the API server has them: it then need not hold a whole list in memory for us.
pub(crate) async fn configuration(client: &Client) -> watcher::Config {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    match client.apiserver_version().await {
        Ok(version) if streams_lists(&version.major, &version.minor) => config.streaming_lists(),
        _ => config,
    }
}

pub(super) fn streams_lists(major: &str, minor: &str) -> bool {
    // Some providers write `34+`.
    let number = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
            .unwrap_or(0)
    };
    number(major) == 1 && number(minor) >= STREAMING_LISTS
}

/// Waits for a change and until it is quiet.
async fn rest(dirty: &Notify) {
    dirty.notified().await;
    let latest = Instant::now() + LONGEST;
    loop {
        let until = (Instant::now() + QUIET).min(latest);
        if tokio::time::timeout_at(until, dirty.notified()).await.is_err() || Instant::now() >= latest {
            return;
        }
    }
}

/// Says what is newly wrong.
fn report(view: &SourceView, before: &SourceView) {
    for problem in view
        .problems
        .iter()
        .filter(|problem| !before.problems.contains(problem))
    {
        tracing::warn!(served = ?problem.served, "{problem}");
    }
}

/// One store a kind.
struct Stores {
    ours: Vec<(&'static str, Store<DynamicObject>)>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    namespaces: Store<Namespace>,
    pods: Store<Pod>,
}

impl Stores {
    fn watch(feeds: &mut Feeds, client: &Client) -> Self {
        let ours = OURS.map(|(kind, plural)| {
            let kind_of = GroupVersionKind::gvk(crds::GROUP, crds::VERSION, kind);
            let resource = ApiResource::from_gvk_with_plural(&kind_of, plural);
            let api = Api::all_with(client.clone(), &resource);
            (kind, feeds.watch(kind, api, resource, prune::ours))
        });
        Self {
            ours: ours.into(),
            services: feeds.watch("Service", Api::all(client.clone()), (), prune::service),
            slices: feeds.watch("EndpointSlice", Api::all(client.clone()), (), prune::slice),
            namespaces: feeds.watch("Namespace", Api::all(client.clone()), (), prune::namespace),
            pods: feeds.watch("Pod", Api::all(client.clone()), (), prune::pod),
        }
    }

    /// Waits for every first list.
    async fn ready(&self) -> Result<(), KubernetesError> {
        for (kind, store) in &self.ours {
            ready(kind, store).await?;
        }
        ready("Service", &self.services).await?;
        ready("EndpointSlice", &self.slices).await?;
        ready("Namespace", &self.namespaces).await?;
        ready("Pod", &self.pods).await
    }

    fn raws(&self) -> Vec<Raw> {
        let mut raws = Vec::new();
        for (kind, store) in &self.ours {
            raws.extend(store.state().into_iter().map(|object| Raw::Ours(kind, object)));
        }
        raws.extend(self.services.state().into_iter().map(Raw::Service));
        raws.extend(self.slices.state().into_iter().map(Raw::Slice));
        raws.extend(self.namespaces.state().into_iter().map(Raw::Namespace));
        raws.extend(self.pods.state().into_iter().map(Raw::Pod));
        raws
    }
}

async fn ready<K>(kind: &str, store: &Store<K>) -> Result<(), KubernetesError>
where
    K: kube::runtime::reflector::Lookup + Clone + 'static,
    K::DynamicType: Clone + Eq + std::hash::Hash,
{
    loop {
        if let Ok(ready) = tokio::time::timeout(REMIND, store.wait_until_ready()).await {
            return ready.map_err(|_| KubernetesError::Ended);
        }
        tracing::warn!(
            kind,
            "nothing is served before all objects of this kind were listed once"
        );
    }
}

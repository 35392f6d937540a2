//! Status in the API server: one replica, the holder of a Lease, writes it from what it and all others know of their streams.
//!
//! Followers send the leader what their proxies acknowledged and refused (`stream`). The leader computes as every control plane
//! does (`super::desired`), compares with what the API server holds (`plan`) and writes the difference (`writer`). Nothing here
//! decides what is served: without a leader everything works, and status is old.

mod lease;
mod pace;
mod plan;
mod stored;
mod stream;
mod tls;
mod unmeshed;
mod wire;
mod write;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer_tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::lease::{Election, Role};
use self::stream::Reports;
use self::writer::Figures;
use super::{Beside, StatusHandle};
use crate::identity::{CaError, CertificateAuthority, IncomingLimits, tls_incoming};
use crate::source::kubernetes::PodStore;

/// Whose fields we write.
pub const FIELD_MANAGER: &str = "tulle";
/// How often Pods without a proxy are counted, by the leader.
const COUNT: Duration = Duration::from_secs(1);
/// How soon a follower tries the leader again.
const AGAIN: Duration = Duration::from_millis(500);

/// What it works with.
pub struct Options {
    /// The API server.
    pub client: Client,
    /// Proves replicas to each other.
    pub ca: Arc<CertificateAuthority>,
    /// What this replica knows.
    pub status: StatusHandle,
    /// The Pods that exist.
    pub pods: PodStore,
    /// Where the Lease is.
    pub namespace: String,
    /// The name of this replica's Pod.
    pub replica: String,
    /// Where other replicas reach this one.
    pub address: SocketAddr,
}

/// The running part. Dropping it ends it without letting go of the Lease.
pub struct KubernetesStatus {
    role: watch::Receiver<Role>,
    stop: CancellationToken,
    election: JoinHandle<()>,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for KubernetesStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesStatus")
            .field("role", &*self.role.borrow())
            .finish_non_exhaustive()
    }
}

/// Starts it. Does not wait for the API server. Must be called within a tokio runtime.
pub fn start(listener: TcpListener, options: Options) -> Result<KubernetesStatus, CaError> {
    let incoming = tls_incoming(listener, Arc::new(tls::server(&options.ca)?), IncomingLimits::default());
    let (sender, role) = watch::channel(Role::Follower(None));
    let (leads, leading) = watch::channel(false);
    let stop = CancellationToken::new();
    let (reports, figures) = (Reports::new(&options.status), Arc::<Figures>::default());

    let mut election = Election::new(
        options.client.clone(),
        &options.namespace,
        &options.replica,
        options.address,
    );
    let stopped = stop.clone();
    let election = tokio::spawn(async move {
        tokio::select! {
            () = election.run(&sender) => {}
            () = stopped.cancelled() => {
                // The writer stops before somebody else may begin.
                sender.send_replace(Role::Follower(None));
                election.release().await;
            }
        }
    });
    let shown = (role.clone(), reports.clone(), Arc::clone(&figures));
    options.status.connect(Box::new(move || shown_figures(&shown)));
    let mut tasks = JoinSet::new();
    tasks.spawn(stream::serve(incoming, reports.clone(), leading.clone()));
    tasks.spawn(count_unmeshed(options.status.clone(), options.pods.clone(), leading));
    tasks.spawn(act(options, role.clone(), leads, Arc::clone(&figures)));
    Ok(KubernetesStatus {
        role,
        stop,
        election,
        _tasks: tasks,
    })
}

impl KubernetesStatus {
    /// Ends it and lets go of the Lease, so that another replica goes on at once.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.election.await);
    }
}

/// Whether this replica leads, how many report to it, what it wrote.
fn shown_figures(
    (role, reports, figures): &(watch::Receiver<Role>, Reports, Arc<Figures>),
) -> Vec<(&'static str, u64)> {
    let leads = role.borrow().writes();
    let reporting = u64::try_from(reports.count()).unwrap_or(u64::MAX);
    vec![
        ("status_leader", u64::from(leads)),
        ("status_replicas_reporting", reporting),
        ("status_writes_total", figures.writes.load(Ordering::Relaxed)),
        ("status_write_failures_total", figures.failures.load(Ordering::Relaxed)),
    ]
}

/// Does what the role asks for: writes, or reports to who writes.
async fn act(options: Options, mut role: watch::Receiver<Role>, leads: watch::Sender<bool>, figures: Arc<Figures>) {
    loop {
        let now = *role.borrow_and_update();
        let other = |role: &Role| match (now, role) {
            (Role::Leader(_), Role::Leader(_)) => false,
            (now, role) => now != *role,
        };
        leads.send_replace(matches!(now, Role::Leader(_)));
        let (writing, watched) = (role.clone(), role.clone());
        let work = async {
            match now {
                Role::Leader(_) => {
                    tracing::info!("this replica writes status");
                    match writer::run(options.client.clone(), &options.status, watched, Arc::clone(&figures)).await {}
                }
                Role::Follower(Some(leader)) => report(&options, leader).await,
                Role::Follower(None) => std::future::pending().await,
            }
        };
        let mut writing = writing;
        tokio::select! {
            () = work => {}
            changed = writing.wait_for(other) => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reports to the leader, again and again.
async fn report(options: &Options, leader: SocketAddr) {
    let mut failing = false;
    loop {
        match stream::report(leader, &options.replica, &options.ca, &options.status).await {
            Ok(never) => match never {},
            Err(error) if failing => {
                tracing::debug!(%leader, %error, "cannot report to the replica that writes status");
            }
            Err(error) => {
                failing = true;
                tracing::info!(%leader, %error, "cannot report to the replica that writes status; trying again");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Keeps the list of Pods without a proxy, on the leader.
async fn count_unmeshed(status: StatusHandle, pods: PodStore, mut leading: watch::Receiver<bool>) {
    while leading.wait_for(|leading| *leading).await.is_ok() {
        let (engine, _) = status.own();
        let namespaces = engine.borrow().source.clone();
        let found = unmeshed::unmeshed(&pods.all(), &namespaces.objects.namespaces);
        status.beside().send_if_modified(|beside| {
            let changed = *beside.unmeshed != found;
            if changed {
                Arc::<Beside>::make_mut(beside).unmeshed = Arc::new(found);
            }
            changed
        });
        tokio::time::sleep(COUNT).await;
    }
}

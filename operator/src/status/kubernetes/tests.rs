//! Streams between replicas over real TLS, and what the messages make of a report.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::ObjectRef;
use config::model::Key;
use proptest::prelude::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::super::tests::{engine_view, synced_proxy};
use super::super::{Mark, Report, Reported, StatusHandle};
use super::stream::{Reports, report, serve};
use super::tls;
use super::wire::{Assembly, Change, changes};
use crate::engine::{ProxyView, Rejection};
use crate::identity::{CertificateAuthority, IncomingLimits, LeafPolicy, SpiffeId, tls_incoming};

const LIMIT: Duration = Duration::from_mins(1);

fn proxy(number: u8) -> Reported {
    let rejection = Rejection {
        kind: xds::Kind::Route,
        name: "in/shop/orders/8080".into(),
        version: None,
        message: "x".repeat(usize::from(number) * 8).into(),
        objects: BTreeSet::from([Arc::new(ObjectRef::new("RateLimit", "shop", "one"))]),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(9),
    };
    Reported {
        proxy: Arc::new(ProxyView {
            connected: true,
            since: SystemTime::UNIX_EPOCH + Duration::from_micros(u64::from(number)),
            sent: (number > 10).then_some(u64::from(number)),
            acked: (number > 20).then_some(u64::from(number)),
            rejections: number.is_multiple_of(3).then_some(rejection).into_iter().collect(),
            failed: number.is_multiple_of(5).then(|| "no".to_owned()),
        }),
        certificate: number
            .is_multiple_of(2)
            .then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(number))),
    }
}

fn a_report() -> impl Strategy<Value = Report> {
    let objects = proptest::collection::btree_map(0..6_u8, (0..3_u64, 0..3_u64), 0..6);
    let proxies = proptest::collection::btree_map(0..20_u8, 0..60_u8, 0..20);
    (objects, proxies).prop_map(|(objects, proxies)| Report {
        objects: objects
            .into_iter()
            .map(|(name, (changed, content))| {
                let object = ObjectRef::new("RateLimit", "shop", &name.to_string());
                (Arc::new(object), Mark { changed, content })
            })
            .collect(),
        proxies: proxies
            .into_iter()
            .map(|(name, number)| (Key::new("shop", &name.to_string()), proxy(number)))
            .collect(),
    })
}

proptest! {
    /// Whatever reports follow each other, the receiver has the last one, and never a mixture.
    #[test]
    fn changes_lead_from_report_to_report(reports in proptest::collection::vec(a_report(), 1..6)) {
        let (mut before, mut assembly) = (Report::default(), Assembly::default());
        for after in reports {
            let parts = changes(&before, &after);
            prop_assert_eq!(parts.is_empty(), before == after);
            for part in parts {
                let part: Change = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
                if let Some(report) = assembly.take(part).unwrap() {
                    prop_assert_eq!(&*report, &after);
                }
            }
            before = after;
        }
    }
}

#[test]
fn a_large_report_comes_in_parts_and_counts_as_a_whole() {
    let proxies: BTreeMap<Key, Reported> = (0..5000)
        .map(|n| (Key::new("shop", &n.to_string()), proxy(3)))
        .collect();
    let after = Report {
        objects: BTreeMap::new(),
        proxies,
    };
    let parts = changes(&Report::default(), &after);
    assert!(parts.len() > 3, "{}", parts.len());
    assert!(
        parts
            .iter()
            .all(|part| serde_json::to_vec(part).unwrap().len() < 4 << 20)
    );
    let mut assembly = Assembly::default();
    let whole: Vec<_> = parts.into_iter().map(|part| assembly.take(part).unwrap()).collect();
    let (last, earlier) = whole.split_last().unwrap();
    assert!(earlier.iter().all(Option::is_none));
    assert_eq!(**last.as_ref().unwrap(), after);
}

/// A replica that takes reports, and its CA.
struct Leader {
    address: SocketAddr,
    status: StatusHandle,
    leads: watch::Sender<bool>,
    ca: Arc<CertificateAuthority>,
    _folder: tempfile::TempDir,
    _engine: watch::Sender<Arc<crate::engine::EngineView>>,
}

pub(super) fn status_of(
    proxies: &[(&str, ProxyView)],
) -> (StatusHandle, watch::Sender<Arc<crate::engine::EngineView>>) {
    let (sender, engine) = watch::channel(Arc::new(engine_view(proxies)));
    (super::super::start(engine, BTreeMap::new), sender)
}

async fn leader() -> Leader {
    let folder = tempfile::tempdir().unwrap();
    let ca = Arc::new(CertificateAuthority::open(folder.path(), SystemTime::now()).unwrap());
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tls_incoming(listener, Arc::new(tls::server(&ca).unwrap()), IncomingLimits::default());
    let (status, engine) = status_of(&[]);
    let (leads, leading) = watch::channel(true);
    tokio::spawn(serve(incoming, Reports::new(&status), leading));
    Leader {
        address,
        status,
        leads,
        ca,
        _folder: folder,
        _engine: engine,
    }
}

impl Leader {
    /// Waits until so many of the two proxies are synced, as a reader of status sees it.
    async fn until(&self, synced: &str) {
        let group = Key::new("shop", "payments");
        let wait = async {
            let mut version = 0;
            loop {
                let view = self.status.changed(version, Duration::from_secs(1)).await;
                if view.statuses.workloads[&group].synced == synced {
                    return;
                }
                version = view.version;
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("not {synced}: {:?}", self.status.view().statuses.workloads));
    }

    fn follower(&self, name: &'static str, status: StatusHandle) -> tokio::task::JoinHandle<()> {
        let (address, ca) = (self.address, Arc::clone(&self.ca));
        tokio::spawn(async move {
            report(address, name, &ca, &status).await.unwrap_err();
        })
    }
}

#[tokio::test]
async fn proxies_of_all_replicas_count_and_those_of_a_dead_one_do_not() {
    let leader = leader().await;
    leader.until("0/2").await;
    let (status, engine) = status_of(&[("payments-1", synced_proxy())]);
    let first = leader.follower("first", status);
    leader.until("1/2").await;
    let (status, _other) = status_of(&[("payments-1", synced_proxy()), ("payments-2", synced_proxy())]);
    let second = leader.follower("second", status);
    leader.until("2/2").await;
    let permission = Arc::new(ObjectRef::new("TrafficPermission", "shop", "good"));
    assert_eq!(leader.status.view().statuses.policies[&permission].acked, "2/2");

    // A proxy that went away there, while the other one still has a stream of it.
    engine.send_replace(Arc::new(engine_view(&[])));
    second.abort();
    leader.until("0/2").await;
    engine.send_replace(Arc::new(engine_view(&[("payments-2", synced_proxy())])));
    leader.until("1/2").await;

    // Who leads no more takes no reports, and lets go of the connections.
    leader.leads.send_replace(false);
    leader.until("0/2").await;
    tokio::time::timeout(LIMIT, first).await.unwrap().unwrap();
}

#[tokio::test]
async fn only_replicas_may_report() {
    let leader = leader().await;
    let (status, _engine) = status_of(&[("payments-1", synced_proxy())]);
    // Another CA.
    let folder = tempfile::tempdir().unwrap();
    let foreign = CertificateAuthority::open(folder.path(), SystemTime::now()).unwrap();
    report(leader.address, "foreign", &foreign, &status).await.unwrap_err();

    // A workload's certificate of our own CA, and none at all.
    let id = SpiffeId::new("tulle.local", "shop", "orders").unwrap();
    let leaf = leader.ca.issue(&id, LeafPolicy::default(), SystemTime::now()).unwrap();
    for (case, config) in [
        ("a workload", tls::test_client(&leader.ca, Some(&leaf))),
        ("nobody", tls::test_client(&leader.ca, None)),
    ] {
        let connection = TcpStream::connect(leader.address).await.unwrap();
        let name = tls::NAME.try_into().unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, connection).await;
        // TLS 1.3 tells a client of the refusal with the first answer.
        let refused = match connected {
            Err(error) => error,
            Ok(mut stream) => {
                use tokio::io::AsyncReadExt as _;
                stream.read_u8().await.unwrap_err()
            }
        };
        assert!(
            refused.to_string().to_lowercase().contains("certificate"),
            "{case}: {refused}"
        );
    }
    assert!(leader.status.beside().borrow().reports.is_empty());
}

//! The engine with real sources and the real compiler; streams are played by the test.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::model::Key;
use config::{ObjectRef, Settings};
use tokio::sync::mpsc;
use xds::{Kind, ProxyEvent, ProxyId, Publisher, Snapshot};

use super::{EngineHandle, EngineInputs, EngineView, StreamEvents, start};
use crate::allocate::WorkloadAddresses;
use crate::source::{self, SourceHandle, SourceOptions};

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: payments-1, namespace: shop, labels: {app: payments}}
spec: {address: 10.0.0.1, serviceAccount: payments, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {address: 10.0.0.2, serviceAccount: orders, ports: [{name: http, port: 8080}]}
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {revocationTime: 1s}
";

fn permission(sources: &[&str]) -> String {
    let source = |name: &&str| format!("{{type: ServiceAccount, serviceAccount: {{namespace: shop, name: {name}}}}}");
    let sources: Vec<String> = sources.iter().map(source).collect();
    format!(
        "apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\nmetadata: {{name: payments, namespace: shop}}\nspec:\n  \
         targetRefs: [{{kind: Service, name: payments}}]\n  action: Allow\n  rules: [{{name: callers, sources: [{}]}}]\n",
        sources.join(", ")
    )
}

impl StreamEvents for mpsc::UnboundedReceiver<ProxyEvent> {
    fn recv(&mut self) -> impl Future<Output = Option<ProxyEvent>> + Send {
        Self::recv(self)
    }

    fn try_recv(&mut self) -> Option<ProxyEvent> {
        Self::try_recv(self).ok()
    }
}

/// A running engine over a folder.
struct World {
    _dir: tempfile::TempDir,
    objects: PathBuf,
    source: SourceHandle,
    engine: EngineHandle,
    events: mpsc::UnboundedSender<ProxyEvent>,
    publisher: Publisher,
}

impl World {
    fn start(permission: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("objects");
        fs::create_dir(&objects).unwrap();
        fs::write(objects.join("mesh.yaml"), MESH).unwrap();
        fs::write(objects.join("permission.yaml"), permission).unwrap();
        let source = source::start(&SourceOptions {
            folder: objects.clone(),
            state_dir: dir.path().join("state"),
            workload_addresses: WorkloadAddresses::default(),
            placement: config::Placement::default(),
        })
        .unwrap();
        let (events, proxies) = mpsc::unbounded_channel();
        let publisher = Publisher::default();
        let settings = Settings::default();
        let inputs = EngineInputs {
            source: source.subscribe(),
            proxies,
            publisher: publisher.clone(),
            settings,
        };
        Self {
            _dir: dir,
            objects,
            source,
            engine: start(inputs).unwrap(),
            events,
            publisher,
        }
    }

    async fn write(&self, file: &str, content: &str) -> Arc<EngineView> {
        fs::write(self.objects.join(file), content).unwrap();
        self.engine.processed(self.source.rescan().await).await
    }

    fn send(&self, event: ProxyEvent) {
        self.events.send(event).unwrap();
    }

    async fn connect(&self, name: &str, stream: u64) -> Arc<Snapshot> {
        self.send(ProxyEvent::Connected {
            proxy: proxy(name),
            stream,
        });
        let key = key(name);
        self.engine
            .wait_for(|view| view.proxies.get(&key).is_some_and(|proxy| proxy.connected))
            .await;
        self.snapshot(name)
    }

    fn snapshot(&self, name: &str) -> Arc<Snapshot> {
        self.publisher.subscribe(&proxy(name)).borrow().clone().unwrap()
    }

    async fn ack(&self, name: &str, stream: u64) -> Arc<EngineView> {
        let revision = self.snapshot(name).revision;
        self.send(ProxyEvent::Synced {
            proxy: proxy(name),
            stream,
            revision,
            refused: Vec::new(),
        });
        let key = key(name);
        self.engine
            .wait_for(|view| view.proxies[&key].acked == Some(revision))
            .await
    }
}

fn key(name: &str) -> Key {
    Key::new("shop", name)
}

fn proxy(name: &str) -> ProxyId {
    ProxyId::new(format!("shop/{name}"))
}

/// The versions of all runtime resources: revocations show there.
fn runtime(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .iter(Kind::Runtime)
        .map(|resource| resource.version.to_string())
        .collect()
}

#[tokio::test]
async fn only_proxies_whose_snapshot_differs_are_published_to() {
    let world = World::start(&permission(&["orders"]));
    let payments = world.connect("payments-1", 1).await;
    let orders = world.connect("orders-1", 2).await;
    assert!(!payments.same_content(&orders));
    let acked = world.ack("payments-1", 1).await;
    assert!(acked.proxies[&key("payments-1")].synced());

    let view = world
        .write("permission.yaml", &permission(&["orders", "frontend"]))
        .await;
    assert!(Arc::ptr_eq(&orders, &world.snapshot("orders-1")));
    assert!(!Arc::ptr_eq(&payments, &world.snapshot("payments-1")));
    let policy = ObjectRef::new("TrafficPermission", "shop", "payments");
    let changed = view.changed_at[&policy];
    assert_eq!(changed, view.revision);
    assert!(!view.proxies[&key("payments-1")].has(changed));
    assert!(world.ack("payments-1", 1).await.proxies[&key("payments-1")].has(changed));

    // A comment changes nothing for anybody, and the policy is as old as it was.
    let view = world
        .write(
            "permission.yaml",
            &format!("# mine\n{}", permission(&["orders", "frontend"])),
        )
        .await;
    assert_eq!(view.changed_at[&policy], changed);
    assert!(view.proxies.values().all(|proxy| proxy.sent <= Some(changed)));
}

#[tokio::test]
async fn a_withdrawn_grant_is_cut_for_as_long_as_it_is_withdrawn() {
    let world = World::start(&permission(&["orders"]));
    let before = world.connect("payments-1", 1).await;
    world.write("permission.yaml", &permission(&["payments"])).await;
    let cutting = world.snapshot("payments-1");
    assert_ne!(runtime(&before), runtime(&cutting));

    // Longer than the revocation time of this mesh: connections that were idle for so long are cut all the same.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let view = world.write("comment.yaml", "# nothing").await;
    assert!(view.processed > 0 && Arc::ptr_eq(&cutting, &world.snapshot("payments-1")));

    // A control plane that never saw the edit cuts the same connections.
    let other = World::start(&permission(&["payments"]));
    assert!(cutting.same_content(&*other.connect("payments-1", 1).await));
}

#[tokio::test]
async fn another_identity_or_address_ends_the_stream_once_the_new_one_can_connect() {
    let world = World::start(&permission(&["orders"]));
    for (stream, (old, new)) in [
        ("serviceAccount: payments", "serviceAccount: till"),
        ("address: 10.0.0.1", "address: 10.0.0.9"),
    ]
    .into_iter()
    .enumerate()
    {
        world.connect("payments-1", 2 * stream as u64).await;
        world.connect("orders-1", 2 * stream as u64 + 1).await;
        let mut slot = world.publisher.subscribe(&proxy("payments-1"));
        let other = world.publisher.subscribe(&proxy("orders-1"));
        let edited = MESH.replace(old, new);
        assert_ne!(edited, MESH);
        let view = world.write("mesh.yaml", &edited).await;
        let end = tokio::time::timeout(Duration::from_secs(30), slot.wait_for(|_| false)).await;
        assert!(end.unwrap().is_err() && !view.proxies.contains_key(&key("payments-1")));
        assert!(other.has_changed().is_ok());
        // Who comes back gets a snapshot, and the end of the old stream does not concern it.
        world.connect("payments-1", 100 + stream as u64).await;
        world.send(ProxyEvent::Gone {
            proxy: proxy("payments-1"),
            stream: 2 * stream as u64,
        });
        assert!(world.ack("payments-1", 100 + stream as u64).await.proxies[&key("payments-1")].synced());
        world.write("mesh.yaml", MESH).await;
    }
}

/// It is let in before the engine hears of it, so its identity may change in between.
#[tokio::test]
async fn a_stream_that_nobody_told_of_yet_ends_with_its_identity() {
    let world = World::start(&permission(&["orders"]));
    let mut slot = world.publisher.subscribe(&proxy("payments-1"));
    let other = world.publisher.subscribe(&proxy("orders-1"));
    let edited = MESH.replace("serviceAccount: payments", "serviceAccount: till");
    world.write("mesh.yaml", &edited).await;
    let end = tokio::time::timeout(Duration::from_secs(30), slot.wait_for(|_| false)).await;
    assert!(end.unwrap().is_err() && other.has_changed().is_ok());
}

#[tokio::test]
async fn a_new_grant_ends_a_revocation_at_once() {
    let world = World::start(&permission(&["orders"]));
    let before = world.connect("payments-1", 1).await;
    world.write("permission.yaml", &permission(&[])).await;
    assert_ne!(runtime(&before), runtime(&world.snapshot("payments-1")));
    world.write("permission.yaml", &permission(&["orders"])).await;
    assert!(before.same_content(&world.snapshot("payments-1")));
}

#[tokio::test]
async fn a_refusal_names_the_object_until_something_else_is_published() {
    let world = World::start(&permission(&["orders"]));
    let snapshot = world.connect("payments-1", 1).await;
    let route = snapshot
        .iter(Kind::Route)
        .find(|route| route.name.starts_with("in/"))
        .unwrap();
    world.send(ProxyEvent::Nacked {
        proxy: proxy("payments-1"),
        stream: 1,
        kind: Kind::Route,
        names: vec![Arc::clone(&route.name)],
        versions: vec![Arc::clone(&route.version)],
        message: "no such header".into(),
    });
    let view = world
        .engine
        .wait_for(|view| !view.proxies[&key("payments-1")].rejections.is_empty())
        .await;
    let rejection = &view.proxies[&key("payments-1")].rejections[0];
    assert_eq!(&*rejection.message, "no such header");
    let objects: Vec<String> = rejection.objects.iter().map(ToString::to_string).collect();
    assert_eq!(objects, ["TrafficPermission/shop/payments"]);

    let view = world
        .write("permission.yaml", &permission(&["orders", "frontend"]))
        .await;
    assert!(view.proxies[&key("payments-1")].rejections.is_empty());
}

#[tokio::test]
async fn a_permission_without_rules_is_blamed_for_what_carries_it() {
    let empty = permission(&["orders"]).split("  rules:").next().unwrap().to_owned() + "  rules: []\n";
    let world = World::start(&empty);
    assert_eq!(world.engine.view().model.diagnostics, []);
    world.connect("payments-1", 1).await;
    let names = [
        (Kind::Listener, "in/10.0.0.1/8080"),
        (Kind::Route, "in/shop/payments/8080"),
        (Kind::ExtensionConfig, "revoke/8080"),
    ];
    for (count, (kind, name)) in names.into_iter().enumerate() {
        let resource = world.snapshot("payments-1").get(kind, name).cloned();
        let resource = resource.unwrap_or_else(|| panic!("no {name}"));
        world.send(ProxyEvent::Nacked {
            proxy: proxy("payments-1"),
            stream: 1,
            kind,
            names: vec![Arc::clone(&resource.name)],
            versions: vec![Arc::clone(&resource.version)],
            message: "no".into(),
        });
        let view = world
            .engine
            .wait_for(|view| view.proxies[&key("payments-1")].rejections.len() > count)
            .await;
        let policy = ObjectRef::new("TrafficPermission", "shop", "payments");
        for rejection in &view.proxies[&key("payments-1")].rejections {
            assert!(rejection.objects.contains(&policy), "{rejection:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_ends_by_itself() {
    let world = World::start(&permission(&["orders"]));
    let without = world.connect("payments-1", 1).await;
    let until = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(2)).unwrap();
    let fault = format!(
        "apiVersion: mesh.tulle.dev/v1alpha1\nkind: FaultInjection\nmetadata: {{name: slow, namespace: shop}}\nspec:\n  \
         targetRefs: [{{kind: Service, name: payments}}]\n  until: \"{until:.0}\"\n  \
         faults: [{{name: all, percent: \"100\", delay: {{fixed: 1s}}}}]\n"
    );
    let view = world.write("fault.yaml", &fault).await;
    assert_eq!(view.model.diagnostics, []);
    let with = world.snapshot("payments-1");
    assert!(!without.same_content(&with));
    world
        .engine
        .wait_for(|view| view.proxies[&key("payments-1")].sent > Some(with.revision))
        .await;
    assert!(
        world.engine.view().model.workloads[&key("payments-1")].ports[&8080]
            .faults
            .slots
            .is_empty()
    );
}

#[tokio::test]
async fn a_proxy_that_left_gets_a_fresh_snapshot() {
    let world = World::start(&permission(&["orders"]));
    world.connect("payments-1", 1).await;
    world.send(ProxyEvent::Gone {
        proxy: proxy("payments-1"),
        stream: 1,
    });
    let view = world
        .engine
        .wait_for(|view| !view.proxies[&key("payments-1")].connected)
        .await;
    assert!(!view.proxies[&key("payments-1")].synced());
    let view = world.write("permission.yaml", &permission(&["frontend"])).await;
    // It is there before the proxy is.
    assert_eq!(world.snapshot("payments-1").revision, view.revision);
    world.connect("payments-1", 2).await;
    assert!(world.ack("payments-1", 2).await.proxies[&key("payments-1")].synced());
}

#[tokio::test]
async fn unknown_workloads_and_stale_streams_change_nothing() {
    let world = World::start(&permission(&["orders"]));
    world.send(ProxyEvent::Connected {
        proxy: ProxyId::new("nonsense"),
        stream: 1,
    });
    world.send(ProxyEvent::Connected {
        proxy: proxy("nobody"),
        stream: 2,
    });
    world.connect("payments-1", 3).await;
    world.send(ProxyEvent::Synced {
        proxy: proxy("payments-1"),
        stream: 9,
        revision: 99,
        refused: Vec::new(),
    });
    world.send(ProxyEvent::Gone {
        proxy: proxy("payments-1"),
        stream: 9,
    });
    let view = world.ack("payments-1", 3).await;
    assert_eq!(
        view.proxies[&key("payments-1")].acked,
        view.proxies[&key("payments-1")].sent
    );
    assert!(view.proxies[&key("payments-1")].connected);
}

//! Folders as people make them: good, broken, half-written, moved about.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: payments, namespace: shop}\nspec:\n  selector: {app: payments}\n  ports: [{name: http, port: 80, targetPort: 8080}]\n";
const PERMISSION: &str = "apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata:
  name: payments
  namespace: shop
spec:
  targetRefs: [{kind: Service, name: payments}]
  action: Allow
  rules:
  - name: orders
    sources:
    - {type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}
";

/// A folder of objects and a state folder.
struct Place {
    _dir: tempfile::TempDir,
    objects: PathBuf,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (objects, state) = (dir.path().join("objects"), dir.path().join("state"));
        fs::create_dir(&objects).unwrap();
        Self {
            _dir: dir,
            objects,
            state,
        }
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.objects.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn start(&self) -> Result<SourceHandle, SourceError> {
        start(&SourceOptions {
            folder: self.objects.clone(),
            state_dir: self.state.clone(),
            workload_addresses: WorkloadAddresses::default(),
            placement: config::Placement::default(),
        })
    }
}

/// The rules of the one permission, as a measure of what is served.
fn rules(view: &SourceView) -> Vec<String> {
    let permission = view.objects.permissions.first();
    permission
        .map(|p| {
            p.spec
                .rules
                .iter()
                .map(|r| r.name.clone().unwrap_or_default())
                .collect()
        })
        .unwrap_or_default()
}

/// Every way in which a file can be broken: content, line (0: none), and a word of the message.
fn broken() -> Vec<(&'static str, Vec<u8>, u64, &'static str)> {
    let replaced = |from: &str, to: &str| PERMISSION.replace(from, to).into_bytes();
    vec![
        ("empty", Vec::new(), 0, "no object"),
        ("blank", b" \n\n\t\n".to_vec(), 0, "no object"),
        ("comments only", b"# payments\n---\n# nothing\n".to_vec(), 0, "no object"),
        ("syntax", replaced("  rules:\n", "  rules: [\n"), 10, "block"),
        ("tab", replaced("  name: payments\n", "\tname: payments\n"), 4, ""),
        ("invalid UTF-8", [PERMISSION.as_bytes(), b"# \xff\n"].concat(), 13, "UTF-8"),
        ("huge", [PERMISSION.as_bytes(), &b"#".repeat(1 << 20)].concat(), 0, "1 MiB"),
        ("wrong type", replaced("  rules:\n", "  rules: 5\n  x:\n"), 9, ""),
        ("number for text", replaced("name: orders\n", "name: 5\n"), 10, ""),
        ("null", replaced("  - name: orders\n", "  - name: orders\n    http:\n"), 11, "spec.rules[0].http is null"),
        ("wrong enum", replaced("action: Allow", "action: Permit"), 8, ""),
        ("missing field", replaced("  action: Allow\n", ""), 8, "action"),
        ("unknown kind", replaced("kind: TrafficPermission", "kind: TrafficPermit"), 1, "TrafficPermit"),
        ("unknown version", replaced("v1alpha1", "v9"), 1, "v1alpha1"),
        ("no kind", replaced("kind: TrafficPermission\n", ""), 1, "kind"),
        ("no name", replaced("  name: payments\n  namespace", "  namespace"), 1, "metadata.name"),
        ("bad name", replaced("  name: payments\n  name", "  name: Pay_ments\n  name"), 1, "Kubernetes name"),
        ("bad namespace", replaced("namespace: shop\n", "namespace: ../shop\n"), 1, "Kubernetes name"),
        ("unknown metadata", replaced("  namespace: shop\n", "  namespace: shop\n  nmaespace: x\n"), 6, "nmaespace"),
        ("key twice", replaced("  action: Allow\n", "  action: Allow\n  action: Deny\n"), 9, "stands twice"),
        ("object twice", format!("{PERMISSION}---\n{PERMISSION}").into_bytes(), 14, "already stands"),
        ("a status object", b"apiVersion: mesh.tulle.dev/v1alpha1\nkind: MeshStatus\nmetadata: {name: a}\nspec: {}\n".to_vec(), 1, "Tulle only"),
        ("a list", b"- a\n- b\n".to_vec(), 1, "expected fields"),
        ("text", b"hello\n".to_vec(), 1, ""),
        ("an alias bomb", b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n".to_vec(), 0, ""),
        ("deep", "[".repeat(5000).into_bytes(), 0, ""),
    ]
}

#[tokio::test]
async fn a_broken_file_is_served_from_its_accepted_copy_also_after_a_restart() {
    for (name, content, line, word) in broken() {
        let place = Place::new();
        let file = place.write("shop/payments.yaml", PERMISSION);
        let source = place.start().unwrap();
        assert_eq!(rules(&source.view()), ["orders"], "{name}");

        fs::write(&file, &content).unwrap();
        source.rescan().await;
        let view = source.view();
        assert_eq!(rules(&view), ["orders"], "{name}");
        let [problem] = view.problems.as_slice() else {
            panic!("{name}: {:?}", view.problems)
        };
        assert_eq!((&problem.file, problem.served), (&file, Served::AcceptedCopy), "{name}");
        assert!(
            problem.message.contains(word) && problem.message.len() > 20,
            "{name}: {problem}"
        );
        if line > 0 {
            assert_eq!(problem.line, Some(line), "{name}: {problem}");
        }
        drop(source);

        let again = place.start().unwrap();
        assert_eq!(rules(&again.view()), ["orders"], "{name} after a restart");
        assert_eq!(again.view().problems, view.problems, "{name} after a restart");
    }
}

#[test]
fn without_a_copy_the_start_is_refused_and_names_file_and_line() {
    for (name, content, line, _) in broken() {
        let place = Place::new();
        let file = place.write("payments.yaml", &content);
        let error = place.start().unwrap_err().to_string();
        let expected = if line > 0 {
            format!("{}:{line}", file.display())
        } else {
            file.display().to_string()
        };
        assert!(error.contains(&expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_new_broken_file_is_reported_and_the_rest_is_served() {
    let place = Place::new();
    place.write("payments.yaml", PERMISSION);
    let source = place.start().unwrap();
    place.write("broken.yaml", "kind: [");
    place.write("service.yaml", SERVICE);
    source.rescan().await;
    let view = source.view();
    assert_eq!((rules(&view).len(), view.objects.services.len()), (1, 1));
    assert_eq!(view.problems[0].served, Served::Nothing);
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_keeps_what_it_held() {
    let place = Place::new();
    place.write("shop/payments.yaml", PERMISSION);
    let source = place.start().unwrap();
    // Permissions do not stop root, so the folder is taken away: a mount that is gone.
    let aside = place.state.join("aside");
    fs::rename(&place.objects, &aside).unwrap();
    source.rescan().await;
    let view = source.view();
    assert_eq!(rules(&view), ["orders"]);
    assert!(
        view.problems
            .iter()
            .any(|p| p.file == place.objects && p.message.contains("mount")),
        "{:?}",
        view.problems
    );
    fs::rename(&aside, &place.objects).unwrap();
    source.rescan().await;
    assert_eq!(
        (rules(&source.view()), source.view().problems.len()),
        (vec!["orders".to_owned()], 0)
    );
}

#[tokio::test]
async fn a_link_to_a_folder_is_reported_and_one_to_a_file_is_followed() {
    let place = Place::new();
    let source = place.start().unwrap();
    let elsewhere = place.state.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("payments.yaml"), PERMISSION).unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.objects.join("folder")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("payments.yaml"), place.objects.join("file.yaml")).unwrap();
    source.rescan().await;
    let view = source.view();
    assert_eq!(rules(&view), ["orders"]);
    assert!(
        view.problems[0].message.contains("link to a folder"),
        "{:?}",
        view.problems
    );
}

#[tokio::test]
async fn unchanged_objects_keep_their_allocation() {
    let place = Place::new();
    place.write("all.yaml", format!("{SERVICE}---\n{PERMISSION}"));
    let source = place.start().unwrap();
    let before = source.view();
    place.write(
        "all.yaml",
        format!(
            "{SERVICE}---\n{}",
            PERMISSION.replace("name: orders\n", "name: others\n")
        ),
    );
    source.rescan().await;
    let after = source.view();
    assert_eq!(rules(&after), ["others"]);
    assert!(Arc::ptr_eq(&before.objects.services[0], &after.objects.services[0]));
    assert!(!Arc::ptr_eq(
        &before.objects.permissions[0],
        &after.objects.permissions[0]
    ));

    // Moving an object to another file, or adding a comment, changes no object either.
    fs::remove_file(place.objects.join("all.yaml")).unwrap();
    place.write("a.yaml", format!("# the service\n{SERVICE}"));
    place.write(
        "b.json",
        serde_json::to_vec(&after.by_name[&config::ObjectRef::new("TrafficPermission", "shop", "payments")].to_json())
            .unwrap(),
    );
    source.rescan().await;
    let moved = source.view();
    assert_eq!(moved.problems, []);
    assert!(Arc::ptr_eq(&after.objects.services[0], &moved.objects.services[0]));
    assert!(Arc::ptr_eq(
        &after.objects.permissions[0],
        &moved.objects.permissions[0]
    ));
}

#[tokio::test]
async fn a_removed_file_removes_its_objects_and_its_copy() {
    let place = Place::new();
    let file = place.write("payments.yaml", PERMISSION);
    let source = place.start().unwrap();
    fs::remove_file(&file).unwrap();
    source.rescan().await;
    assert_eq!(source.view().by_name.len(), 0);
    assert!(!place.state.join("accepted/payments.yaml").exists());
    drop(source);

    // Also when nobody watched: what comes back broken has no copy then.
    place.write("payments.yaml", PERMISSION);
    drop(place.start().unwrap());
    fs::remove_file(&file).unwrap();
    drop(place.start().unwrap());
    place.write("payments.yaml", "");
    assert!(matches!(place.start(), Err(SourceError::Refused(_))));
}

#[tokio::test]
async fn an_object_of_two_files_stays_with_the_first_that_had_it() {
    let place = Place::new();
    place.write("z.yaml", PERMISSION);
    place.write("service.yaml", SERVICE);
    let source = place.start().unwrap();
    place.write("a.yaml", PERMISSION.replace("name: orders\n", "name: intruder\n"));
    source.rescan().await;
    assert_eq!(rules(&source.view()), ["orders"]);
    let problem = source.view().problems[0].clone();
    assert!(
        problem.file.ends_with("a.yaml") && problem.message.contains("z.yaml"),
        "{problem}"
    );
    assert_eq!(problem.served, Served::Nothing);

    // Handing the object over in either order of saving works.
    fs::remove_file(place.objects.join("z.yaml")).unwrap();
    source.rescan().await;
    assert_eq!(rules(&source.view()), ["intruder"]);
    assert_eq!(source.view().problems, []);
}

/// Everything that was served while `edit` ran and for a while after.
async fn seen_during(place: &Place, edit: impl FnOnce(&Path)) -> Vec<Vec<String>> {
    let file = place.objects.join("payments.yaml");
    let source = place.start().unwrap();
    let mut views = source.subscribe();
    let watcher = tokio::spawn(async move {
        let mut seen = Vec::new();
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update();
            seen.push(rules(&view));
            assert_eq!(view.problems, []);
        }
        seen
    });
    edit(&file);
    // The watcher reads within milliseconds; a rescan afterwards shows that nothing was left to come.
    tokio::time::sleep(Duration::from_millis(250)).await;
    source.rescan().await;
    drop(source);
    watcher.await.unwrap()
}

#[tokio::test]
async fn half_written_files_are_never_served() {
    let next = PERMISSION.replace("name: orders\n", "name: others\n");
    let (first, second) = next.split_at(next.len() / 2);

    // Truncated and written in pieces, as shells and simple editors do.
    let place = Place::new();
    place.write("payments.yaml", PERMISSION);
    let seen = seen_during(&place, |file| {
        let mut file = fs::File::create(file).unwrap();
        for piece in [first, second] {
            std::thread::sleep(Duration::from_millis(60));
            file.write_all(piece.as_bytes()).unwrap();
            file.flush().unwrap();
        }
    });
    assert_eq!(seen.await, [["others"]]);

    // Moved away and written anew (vim), and written beside and renamed (most others).
    for rename_over in [false, true] {
        let place = Place::new();
        place.write("payments.yaml", PERMISSION);
        let seen = seen_during(&place, |file| {
            let other = file.with_extension("yaml~");
            if rename_over {
                fs::write(&other, &next).unwrap();
                fs::rename(&other, file).unwrap();
            } else {
                fs::rename(file, &other).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                fs::write(file, &next).unwrap();
            }
        });
        assert_eq!(seen.await, [["others"]], "rename over: {rename_over}");
    }
}

#[tokio::test]
async fn services_get_addresses_that_survive_a_restart() {
    let place = Place::new();
    place.write("service.yaml", SERVICE);
    let address = |source: &SourceHandle| {
        source.view().objects.services[0]
            .spec
            .clone()
            .unwrap()
            .cluster_ip
            .unwrap()
    };
    let source = place.start().unwrap();
    let first = address(&source);
    drop(source);
    place.write("another.yaml", SERVICE.replace("name: payments,", "name: orders,"));
    let source = place.start().unwrap();
    let services = &source.view().objects.services;
    let payments = services
        .iter()
        .find(|s| s.metadata.name.as_deref() == Some("payments"))
        .unwrap();
    assert_eq!(payments.spec.as_ref().unwrap().cluster_ip.as_ref(), Some(&first));
}

#[tokio::test]
async fn process_workloads_get_the_address_of_the_run() {
    let place = Place::new();
    place.write(
        "w.yaml",
        "apiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec: {process: {command: [x]}}\n",
    );
    let options = SourceOptions {
        folder: place.objects.clone(),
        state_dir: place.state.clone(),
        workload_addresses: WorkloadAddresses::by(|_, name| (name == "a").then_some([10, 0, 0, 7].into())),
        placement: config::Placement::default(),
    };
    let source = start(&options).unwrap();
    let workload = Arc::clone(&source.view().objects.workloads[0]);
    assert_eq!(workload.spec.address.as_deref(), Some("10.0.0.7"));
    assert_eq!(workload.metadata.namespace.as_deref(), Some("default"));
}

#[test]
fn the_state_folder_and_hidden_files_are_no_objects() {
    let place = Place::new();
    place.write("payments.yaml", PERMISSION);
    place.write(".hidden.yaml", "kind: [");
    place.write(".tulle/x.yaml", "kind: [");
    place.write("notes.txt", "kind: [");
    place.write("payments.yaml.swp", "kind: [");
    let state = place.objects.join("state");
    let options = |state_dir| SourceOptions {
        folder: place.objects.clone(),
        state_dir,
        workload_addresses: WorkloadAddresses::default(),
        placement: config::Placement::default(),
    };
    assert_eq!(start(&options(state.clone())).unwrap().view().problems, []);
    assert_eq!(start(&options(state)).unwrap().view().problems, []);
}

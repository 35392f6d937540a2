//! Who may call whom, on real traffic: no plaintext on the wire, no way in for an impostor, rules of the API itself.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Result, ensure};
use tulle_e2e::harness::yaml::{account, app, object};
use tulle_e2e::harness::{Capture, Loot, Mesh, Namespace, Segment, Steps, can_run};

/// Longer than a revocation.
const WAIT: Duration = Duration::from_secs(30);

#[test]
fn permissions_hold_on_real_traffic() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let apps = ["orders", "frontend", "payments", "mallory"].map(app).concat();
    let mesh = Mesh::start("permissions", &[("apps.yaml", &apps)])?;
    let mut steps = Steps::default();
    steps.run(
        "without a policy every mesh identity may call, and plaintext callers may not",
        || no_policy(&mesh),
    );
    steps.run("no plaintext crosses between workloads", || no_plaintext(&mesh));
    steps.run("a rule of the API allows GET and denies POST on one path", || {
        methods(&mesh)
    });
    steps.run("a server-first service leaks no byte to a denied caller", || {
        server_first(&mesh)
    });
    steps.run("mallory is refused by her own identity", || own_certificate(&mesh));
    steps.run(
        "mallory's certificate and key in a client of her own get nothing",
        || own_key(&mesh),
    );
    steps.run("a self-signed certificate that names orders gets nothing", || {
        self_signed(&mesh)
    });
    steps.run("no certificate gets nothing", || no_certificate(&mesh));
    steps.run("a stolen join token is worth nothing at another address", || {
        stolen_token(&mesh)
    });
    steps.run("a gRPC caller is refused in gRPC's words", || grpc(&mesh));
    steps.run("removing the policies opens the ports again", || reopened(&mesh));
    steps.finish()
}

fn no_policy(mesh: &Mesh) -> Result<()> {
    let orders = mesh.workload("shop/orders-1")?;
    let answered = orders.call(&["http://payments/charges", "-n", "20"])?;
    ensure!(answered.all(200), "{answered:?}");
    let headers = answered.outcomes[0]
        .body
        .as_ref()
        .map(|body| body["headers"].clone())
        .unwrap_or_default();
    let names: Vec<&String> = headers
        .as_object()
        .map(|headers| headers.keys().collect())
        .unwrap_or_default();
    ensure!(
        !names.iter().any(|name| name.starts_with("x-tulle-")),
        "internal headers reached the application: {names:?}"
    );
    let banner = orders.tcp(&["payments:71", "--enough", "18"])?;
    ensure!(banner.text == "payments v1 ready\n", "{banner:?}");
    let (outside, payments) = (mesh.outside("plain")?, mesh.workload("shop/payments-1")?);
    let refused = outside.call(&[&format!("http://{}:8080/", payments.address), "--fresh", "-n", "5"])?;
    ensure!(refused.status(0) == 5, "a plaintext caller was answered: {refused:?}");
    let silent = outside.tcp(&[&format!("{}:7001", payments.address), "--send", "hello\n"])?;
    ensure!(
        silent.received == 0,
        "a plaintext caller of a TCP port received bytes: {silent:?}"
    );
    Ok(())
}

fn no_plaintext(mesh: &Mesh) -> Result<()> {
    let (orders, payments) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/payments-1")?);
    let marker = "marker-of-a-secret";
    let capture = Capture::start(&payments, "eth0")?;
    let answered = orders.call(&[
        &format!("http://payments/charges/{marker}"),
        "-n",
        "10",
        "-H",
        &format!("x-m: {marker}"),
    ])?;
    ensure!(answered.all(200), "{answered:?}");
    let echoed = orders.tcp(&["payments:70", "--send", marker, "--enough", "18"])?;
    ensure!(echoed.text == marker, "{echoed:?}");
    let watched = orders.call(&["http://payments:90/shop.Payments/Charge", "--grpc", "-d", marker])?;
    ensure!(watched.all(200), "{watched:?}");
    let segments = capture.stop()?;
    let between: Vec<&Segment> = segments
        .iter()
        .filter(|segment| *segment.from.ip() == orders.address)
        .collect();
    let seen: std::collections::BTreeSet<_> = segments.iter().map(|segment| (segment.from, segment.to)).collect();
    ensure!(
        between.len() >= 10,
        "the capture saw {} segments from orders, and {seen:?}",
        between.len()
    );
    ensure!(
        !segments.iter().any(|segment| holds(segment, marker)),
        "the marker crossed the wire"
    );
    let mut first: BTreeMap<(SocketAddrV4, SocketAddrV4), &Segment> = BTreeMap::new();
    for segment in &segments {
        first.entry((segment.from, segment.to)).or_insert(segment);
    }
    let clear = first.values().find(|segment| !is_tls(segment));
    ensure!(clear.is_none(), "a connection does not begin with TLS: {clear:?}");
    // The same capture does see plaintext where there is some.
    let (outside, capture) = (mesh.outside("seen")?, Capture::start(&payments, "eth0")?);
    outside.call(&[&format!("http://{}:8080/{marker}", payments.address)])?;
    ensure!(
        capture.stop()?.iter().any(|segment| holds(segment, marker)),
        "the capture is blind"
    );
    Ok(())
}

fn holds(segment: &Segment, text: &str) -> bool {
    segment.data.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A TLS record: its type, and a major version of 3.
fn is_tls(segment: &Segment) -> bool {
    matches!(segment.data.as_slice(), [0x14..=0x17, 3, ..])
}

fn methods(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments}}]\naction: Allow\nrules:\n- name: read\n  sources: [{}]\n  \
         http: [{{method: GET, path: {{type: PathPrefix, value: /charges}}}}]\n",
        account("orders")
    );
    mesh.apply("permission.yaml", &object("TrafficPermission", "payments", &spec))?;
    let orders = mesh.workload("shop/orders-1")?;
    let call = |arguments: &[&str]| orders.call(arguments);
    await_status(mesh, &orders, &["http://payments/charges", "-X", "POST"], 403)?;
    ensure!(call(&["http://payments/charges", "-n", "20"])?.all(200));
    ensure!(call(&["http://payments/charges/7", "-n", "20"])?.all(200));
    ensure!(call(&["http://payments/charges", "-X", "POST", "-n", "20"])?.all(403));
    ensure!(
        call(&["http://payments/chargesX", "-n", "20"])?.all(403),
        "a prefix is whole segments"
    );
    ensure!(
        call(&["http://payments/other/../charges"])?.all(200),
        "paths are compared normalised"
    );
    ensure!(
        call(&["http://payments/charges/../other"])?.all(403),
        "paths are compared normalised"
    );
    ensure!(
        call(&["http://payments/charges%2f7"])?.all(400),
        "escaped slashes are refused"
    );
    Ok(())
}

fn server_first(mesh: &Mesh) -> Result<()> {
    let spec = format!(
        "targetRefs: [{{kind: Service, name: payments, sectionName: banner}}]\naction: Allow\nrules:\n- name: listen\n  sources: [{}]\n",
        account("orders")
    );
    mesh.apply("banner.yaml", &object("TrafficPermission", "banner", &spec))?;
    let (orders, mallory) = (mesh.workload("shop/orders-1")?, mesh.workload("shop/mallory-1")?);
    await_silence(mesh, &mallory, "payments:71")?;
    for arguments in [&["payments:71"][..], &["payments:71", "--send", "hello\n"]] {
        let silent = mallory.tcp(arguments)?;
        ensure!(silent.received == 0, "mallory received {silent:?}");
    }
    let banner = orders.tcp(&["payments:71", "--enough", "18"])?;
    ensure!(banner.text == "payments v1 ready\n", "{banner:?}");
    Ok(())
}

fn own_certificate(mesh: &Mesh) -> Result<()> {
    let mallory = mesh.workload("shop/mallory-1")?;
    let source = "x-tulle-source: spiffe://tulle.local/ns/shop/sa/orders/";
    let forged = "x-forwarded-client-cert: By=spiffe://x;URI=spiffe://tulle.local/ns/shop/sa/orders";
    for header in [source, forged] {
        let refused = mallory.call(&["http://payments/charges", "-n", "20", "-H", header])?;
        ensure!(refused.status(200) == 0, "{:?}", refused.statuses);
    }
    // While what she had is being revoked, her connections are cut; from then on she is told why.
    await_status(mesh, &mallory, &["http://payments/charges"], 403)?;
    let refused = mallory.call(&["http://payments/charges", "-n", "20", "-H", source, "-H", forged])?;
    ensure!(refused.all(403), "{:?}", refused.statuses);
    Ok(())
}

/// Straight at payments, past every proxy of mallory's, with the certificate that the control plane gave her.
fn own_key(mesh: &Mesh) -> Result<()> {
    let payments = mesh.workload("shop/payments-1")?;
    let ask = |id: &str, port: u16, service_port: u16, send: &str| {
        let (loot, from) = (Loot::take(mesh, id)?, mesh.workload(id)?.as_envoy());
        let (address, sni) = (
            format!("{}:{port}", payments.address),
            format!("{service_port}.payments.shop.tulle.mesh"),
        );
        let fixed = [&address, "--sni", &sni, "--send", send, "--alpn", "http/1.1"];
        from.tls(&[&fixed[..], &loot.arguments()].concat())
    };
    let request = "GET /charges?key=stolen HTTP/1.1\r\nhost: payments\r\nx-tulle-source: spiffe://tulle.local/ns/shop/sa/orders/\r\n\r\n";
    for (port, service_port) in [(8080, 80), (9090, 90)] {
        let refused = ask("shop/mallory-1", port, service_port, request)?;
        ensure!(
            refused.handshake && refused.data.text.starts_with("HTTP/1.1 403"),
            "port {port}: {refused:?}"
        );
    }
    let log = mesh.state().join("logs/shop.payments-1.envoy.log");
    mesh.await_condition("the log names the rule", WAIT, || {
        let text = std::fs::read_to_string(&log)?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut hers = lines.filter(|line| line["path"] == "/charges?key=stolen" && line["status"] == 403);
        Ok(hers
            .any(|line| {
                line["peer"].as_str().is_some_and(|peer| peer.ends_with("/sa/mallory"))
                    && line["rule"]
                        .as_str()
                        .is_some_and(|rule| rule.starts_with("default/Deny/"))
            })
            .then_some(()))
    })?;
    for (port, service_port) in [(7000, 70), (7001, 71)] {
        let silent = ask("shop/mallory-1", port, service_port, "hello\n")?;
        ensure!(
            silent.data.received == 0 && (silent.data.closed || !silent.handshake),
            "port {port}: {silent:?}"
        );
    }
    // The same client with the certificate of orders is served, so it is the certificate that counts.
    let served = ask("shop/orders-1", 8080, 80, request)?;
    ensure!(served.data.text.starts_with("HTTP/1.1 200"), "{served:?}");
    let banner = ask("shop/orders-1", 7001, 71, "")?;
    ensure!(banner.data.text == "payments v1 ready\n", "{banner:?}");
    Ok(())
}

/// Handshakes with every port of payments, past mallory's own proxy and from outside the mesh.
fn handshakes(mesh: &Mesh, arguments: &[&str]) -> Result<()> {
    let payments = mesh.workload("shop/payments-1")?;
    let mallory = mesh.workload("shop/mallory-1")?.as_envoy();
    for (port, service_port) in [(8080, 80), (9090, 90), (7000, 70), (7001, 71)] {
        let address = format!("{}:{port}", payments.address);
        let sni = format!("{service_port}.payments.shop.tulle.mesh");
        let request = "GET /charges HTTP/1.1\r\nhost: payments\r\n\r\n";
        let fixed = [address.as_str(), "--sni", &sni, "--send", request, "--listen", "700"];
        let report = mallory.tls(&[&fixed[..], arguments].concat())?;
        ensure!(
            report.data.received == 0,
            "port {port} answered {arguments:?}: {report:?}"
        );
    }
    Ok(())
}

fn self_signed(mesh: &Mesh) -> Result<()> {
    let mut parameters = rcgen::CertificateParams::default();
    let name = "spiffe://tulle.local/ns/shop/sa/orders".try_into()?;
    parameters.subject_alt_names = vec![rcgen::SanType::URI(name)];
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let (cert_file, key_file) = (
        mesh.state().with_file_name("forged.pem"),
        mesh.state().with_file_name("forged.key"),
    );
    std::fs::write(&cert_file, parameters.self_signed(&key)?.pem())?;
    std::fs::write(&key_file, key.serialize_pem())?;
    // Envoy's user must be able to read them.
    for file in [&cert_file, &key_file] {
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    }
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    handshakes(mesh, &["--cert", &text(&cert_file), "--key", &text(&key_file)])
}

fn no_certificate(mesh: &Mesh) -> Result<()> {
    handshakes(mesh, &[])
}

fn stolen_token(mesh: &Mesh) -> Result<()> {
    let run = operator::process::RunId::for_folder(mesh.state());
    let token = format!("/run/tulle/{run}/shop.orders-1/token");
    let root = mesh.state().with_file_name("root.pem");
    std::fs::copy(mesh.state().join("ca/root.pem"), &root)?;
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let (server, root) = (mesh.xds_address()?.to_string(), root.to_string_lossy().into_owned());
    let stolen = std::fs::read_to_string(&token)?;
    let loot = mesh.state().with_file_name("token");
    std::fs::write(&loot, stolen)?;
    std::fs::set_permissions(&loot, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let loot = loot.to_string_lossy().into_owned();
    let ask = |who: &Namespace, node: &str| {
        let source = who.address.to_string();
        who.ads(&[
            &server, "--root", &root, "--token", &loot, "--source", &source, "--node", node,
        ])
    };
    let mallory = mesh.workload("shop/mallory-1")?.as_envoy();
    for node in ["shop/orders-1", "shop/mallory-1"] {
        let refused = ask(&mallory, node)?;
        ensure!(refused.resources == 0 && refused.ended.is_some(), "{node}: {refused:?}");
    }
    let orders = mesh.workload("shop/orders-1")?.as_envoy();
    let accepted = ask(&orders, "shop/orders-1")?;
    ensure!(
        accepted.complete && accepted.resources > 0,
        "the token is good where it belongs: {accepted:?}"
    );
    Ok(())
}

fn grpc(mesh: &Mesh) -> Result<()> {
    let mallory = mesh.workload("shop/mallory-1")?;
    let call = [
        "http://payments:90/shop.Payments/Charge",
        "--grpc",
        "-d",
        "x",
        "-n",
        "5",
    ];
    let denied = |outcome: &operator::shop::Outcome| outcome.status == Some(200) && outcome.grpc_status == Some(7);
    mesh.await_condition("PERMISSION_DENIED", WAIT, || {
        let refused = mallory.call(&call)?;
        ensure!(
            refused.outcomes.iter().all(|outcome| outcome.grpc_status != Some(0)),
            "{refused:?}"
        );
        Ok(refused.outcomes.iter().all(denied).then_some(()))
    })
}

fn reopened(mesh: &Mesh) -> Result<()> {
    mesh.remove("permission.yaml")?;
    mesh.remove("banner.yaml")?;
    let mallory = mesh.workload("shop/mallory-1")?;
    await_status(mesh, &mallory, &["http://payments/charges", "-X", "POST"], 200)?;
    let banner = mallory.tcp(&["payments:71", "--enough", "18"])?;
    ensure!(banner.text == "payments v1 ready\n", "{banner:?}");
    Ok(())
}

/// An acknowledgement means that Envoy's main thread has it; its workers follow within a moment.
fn await_status(mesh: &Mesh, from: &Namespace, arguments: &[&str], status: u16) -> Result<()> {
    mesh.await_condition(&format!("{arguments:?} is answered {status}"), WAIT, || {
        Ok(from.call(arguments)?.all(status).then_some(()))
    })
}

fn await_silence(mesh: &Mesh, from: &Namespace, address: &str) -> Result<()> {
    mesh.await_condition(&format!("{address} is silent"), WAIT, || {
        Ok((from.tcp(&[address])?.received == 0).then_some(()))
    })
}

//! Other people's software beside the mesh, as docs/injection.md says to set it up: Prometheus scrapes a Strict namespace from within
//! and from without, nginx takes strangers in as an ingress controller does.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::Steps;
use tulle_e2e::install::{Installation, load_tools};
use tulle_e2e::pods::{Namespace, until};

const EXPOSED: &str = "tulle-e2e-exposed";
const MONITORING: &str = "tulle-e2e-monitoring";
const OUTSIDE: &str = "tulle-e2e-strangers";

/// nginx that answers with who it thinks is asking, with figures on another port, and one that passes requests on.
const NGINX: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data:
  common: |
    daemon off; pid /tmp/nginx.pid; error_log /dev/stderr;
    events {}
  paths: |
    access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  web: |
    include common;
    http {
      include paths;
      default_type text/plain;
      server { listen 8080; location / { return 200 "$http_x_forwarded_client_cert"; } }
      server { listen 9100; location = /metrics { return 200 "web_answers_total 7\n"; } }
    }
  ingress: |
    include common;
    http {
      include paths;
      server { listen 8080; location / { proxy_http_version 1.1; proxy_pass http://web.tulle-e2e-exposed.svc.cluster.local; } }
    }
"#;

/// `NAME` runs the configuration of that name; `EXCLUDED` says which of its ports are outside of the mesh.
const NGINX_POD: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Pod
metadata:
  name: NAME
  labels: {app: NAME}
  annotations: {EXCLUDED}
spec:
  serviceAccountName: NAME
  terminationGracePeriodSeconds: 1
  containers:
    - name: nginx
      image: NEIGHBOURS
      imagePullPolicy: IfNotPresent
      command: [nginx, -c, /etc/tulle/CONFIGURATION]
      ports: [{name: http, containerPort: 8080}, {name: http-metrics, containerPort: 9100}]
      volumeMounts: [{name: nginx, mountPath: /etc/tulle}]
      resources: {requests: {cpu: 10m}}
  volumes: [{name: nginx, configMap: {name: nginx}}]
";

const SERVICES: &str = r"
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: http-metrics, port: 9100, targetPort: http-metrics}]
---
apiVersion: v1
kind: Service
metadata: {name: ingress}
spec:
  selector: {app: ingress}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// Whoever is not named is denied, at both ports.
const PERMISSIONS: &str = r"
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: scrape}
spec:
  targetRefs: [{kind: Service, name: web, sectionName: http-metrics}]
  action: Allow
  rules:
  - name: prometheus
    sources: [{type: ServiceAccount, serviceAccount: {namespace: tulle-e2e-monitoring, name: prometheus}}]
    http: [{method: GET, path: {type: Exact, value: /metrics}}]
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: TrafficPermission
metadata: {name: ingress}
spec:
  targetRefs: [{kind: Service, name: web, sectionName: http}]
  action: Allow
  rules: [{name: ingress, sources: [{type: ServiceAccount, serviceAccount: {namespace: tulle-e2e-exposed, name: ingress}}]}]
";

/// Prometheus as Debian has it knows no Kubernetes, so it is told the pods' addresses, which it would have found by itself.
const CONFIGURATION: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prometheus}
data:
  prometheus.yml: |
    global: {scrape_interval: 1s, scrape_timeout: 1s}
    scrape_configs:
    - job_name: pods
      static_configs:
      - {targets: ['WEB:9100'], labels: {pod: web}}
      - {targets: ['OPEN:9100'], labels: {pod: open}}
";

/// `MESHED` says whether it is in the mesh.
const PROMETHEUS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: NAME
  labels: {app: NAME, mesh.tulle.dev/inject: "MESHED"}
  annotations: {mesh.tulle.dev/dialEndpoints: "true", mesh.tulle.dev/excludeInboundPorts: "9090"}
spec:
  serviceAccountName: prometheus
  terminationGracePeriodSeconds: 1
  containers:
    - name: prometheus
      image: NEIGHBOURS
      imagePullPolicy: IfNotPresent
      command: [prometheus, --config.file=/etc/tulle/prometheus.yml, --storage.tsdb.path=/tmp/data]
      ports: [{name: http, containerPort: 9090}]
      readinessProbe: {httpGet: {path: /-/ready, port: http}, periodSeconds: 1}
      volumeMounts: [{name: prometheus, mountPath: /etc/tulle}]
      resources: {requests: {cpu: 10m}}
  volumes: [{name: prometheus, configMap: {name: prometheus}}]
"#;

const STRANGER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: stranger}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: IMAGE, command: [tulle-e2e, app, --http, "7000"]}]
"#;

struct Stage {
    exposed: Namespace,
    monitoring: Namespace,
    outside: Namespace,
}

impl Stage {
    fn set(cluster: &Cluster) -> Result<Self> {
        Installation::ensure(cluster)?;
        let (tools, image) = (load_tools(cluster)?, cluster.load_neighbours()?);
        let stage = Self {
            exposed: Namespace::meshed(cluster, EXPOSED, &tools)?,
            monitoring: Namespace::meshed(cluster, MONITORING, &tools)?,
            outside: Namespace::plain(cluster, OUTSIDE, &tools)?,
        };
        for objects in [NGINX, SERVICES, PERMISSIONS] {
            stage.exposed.apply(objects)?;
        }
        // The ports of `open` are the same, but its figures are for everybody in the network.
        for (name, configuration, excluded) in [
            ("web", "web", ""),
            ("open", "web", "9100"),
            ("ingress", "ingress", "8080"),
        ] {
            let pod = NGINX_POD.replace("NAME", name).replace("CONFIGURATION", configuration);
            let excluded = match excluded {
                "" => String::new(),
                ports => format!("mesh.tulle.dev/excludeInboundPorts: \"{ports}\""),
            };
            let pod = pod.replace("EXCLUDED", &excluded).replace("NEIGHBOURS", image);
            stage.exposed.apply(&pod)?;
        }
        stage.exposed.ready(&["pod/web", "pod/open", "pod/ingress"])?;
        let address = |pod| anyhow::Ok(stage.exposed.address(pod)?.to_string());
        let configuration = CONFIGURATION.replace("WEB", &address("web")?);
        stage
            .monitoring
            .apply(&configuration.replace("OPEN", &address("open")?))?;
        for (name, meshed) in [("inside", "true"), ("without", "false")] {
            let pod = PROMETHEUS.replace("NAME", name).replace("MESHED", meshed);
            stage.monitoring.apply(&pod.replace("NEIGHBOURS", image))?;
        }
        stage.outside.apply(STRANGER)?;
        stage.monitoring.ready(&["pod/inside", "pod/without"])?;
        stage.outside.ready(&["pod/stranger"])?;
        Ok(stage)
    }

    /// What a Prometheus says of each pod: whether its last scrape succeeded.
    fn scraped(&self, prometheus: &str) -> Result<BTreeMap<String, bool>> {
        let path = format!("/api/v1/namespaces/{MONITORING}/pods/{prometheus}:9090/proxy/api/v1/query?query=up");
        let answer: Value = serde_json::from_str(&self.monitoring.cluster().kubectl(&["get", "--raw", &path])?)?;
        let results = answer.pointer("/data/result").and_then(Value::as_array);
        let one = |result: &Value| {
            let pod = result.pointer("/metric/pod")?.as_str()?.to_owned();
            Some((pod, result.pointer("/value/1")? == "1"))
        };
        Ok(results.context("no result")?.iter().filter_map(one).collect())
    }

    /// Waits until it says this of `web` and of `open`.
    fn sees(&self, prometheus: &str, web: bool, open: bool) -> Result<()> {
        let mut seen = BTreeMap::new();
        let as_wanted = until(
            &format!("the Prometheus {prometheus} sees web {web}, open {open}"),
            || {
                seen = self.scraped(prometheus)?;
                Ok(seen.get("web") == Some(&web) && seen.get("open") == Some(&open))
            },
        );
        as_wanted.with_context(|| format!("{seen:?}"))
    }
}

pub(crate) fn prometheus_and_an_ingress_work_with_the_mesh(cluster: &Cluster) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let mut steps = Steps::default();
    steps.run("Prometheus in the mesh scrapes by pod address, as itself", || {
        stage.sees("inside", true, true)
    });
    steps.run("it scrapes what its service account may read, and nothing else", || {
        let permission = PERMISSIONS.replace("name: prometheus}", "name: nobody}");
        stage.exposed.apply(&permission)?;
        stage.sees("inside", false, true)?;
        stage.exposed.apply(PERMISSIONS)?;
        stage.sees("inside", true, true)
    });
    steps.run("Prometheus outside scrapes the ports that are left out", || {
        stage.sees("without", false, true)
    });
    steps.run("an ingress takes strangers, and calls as itself", || ingress(&stage));
    stage.exposed.leave()?;
    stage.monitoring.leave()?;
    stage.outside.leave()?;
    steps.finish()
}

fn ingress(stage: &Stage) -> Result<()> {
    let call = |url: &str| stage.outside.call("stranger", "app", &[url, "-n", "10", "--fresh"]);
    let direct = call(&format!("http://web.{EXPOSED}/"))?;
    ensure!(direct.all(0), "a Strict port takes no stranger: {:?}", direct.statuses);
    let through = call(&format!("http://ingress.{EXPOSED}/"))?;
    ensure!(through.all(200), "{:?} {:?}", through.statuses, through.errors);
    for outcome in &through.outcomes {
        let caller = outcome.body.as_ref().and_then(Value::as_str).unwrap_or_default();
        let identity = format!("/ns/{EXPOSED}/sa/ingress");
        ensure!(caller.ends_with(&identity), "{outcome:?}");
    }
    Ok(())
}

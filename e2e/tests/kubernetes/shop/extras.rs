//! What the test adds to the shop: headless Services, one with an address for the ledger, somebody outside of the mesh, an ingress.

use super::stage::{OUTSIDE, SHOP};

/// Objects by namespace.
pub(crate) const ALL: [(&str, &str); 3] = [(SHOP, IN_THE_SHOP), ("default", NAMESPACE), (OUTSIDE, OUT_THERE)];

const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: tulle-e2e-outside}
";

const IN_THE_SHOP: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: payments-headless}
spec:
  clusterIP: None
  selector: {app: payments}
  ports: [{name: http, port: 8080, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings-headless}
spec:
  clusterIP: None
  selector: {app: ratings}
  ports: [{name: http, port: 8080, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: books}
spec:
  selector: {app: ledger}
  ports: [{name: tcp-db, port: 5432, targetPort: tcp-db}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ingress}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, labels: {app: ingress}}
spec:
  selector: {matchLabels: {app: ingress}}
  template:
    metadata:
      labels: {app: ingress}
      annotations: {mesh.tulle.dev/excludeInboundPorts: "8443"}
    spec:
      serviceAccountName: ingress
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: IMAGE
        args: [shop-app, --name, ingress, --http, "8443,8080"]
        ports: [{name: http-public, containerPort: 8443}, {name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http-public}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ingress}
spec:
  selector: {app: ingress}
  ports: [{name: http-public, port: 80, targetPort: http-public}, {name: http, port: 8080, targetPort: http}]
"#;

const OUT_THERE: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger, labels: {app: stranger}}
spec:
  selector: {matchLabels: {app: stranger}}
  template:
    metadata: {labels: {app: stranger}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: IMAGE
        args: [shop-app, --name, stranger, --http, "8080"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: stranger}
spec:
  selector: {app: stranger}
  ports: [{name: http, port: 80, targetPort: 8080}]
"#;

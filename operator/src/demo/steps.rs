//! The steps of the demo, as data.

use super::probe::{Expect, Probe};

/// A file of policies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    pub(super) name: &'static str,
    pub(super) content: &'static str,
    /// The objects to wait for, as (kind, name).
    pub(super) objects: &'static [(&'static str, &'static str)],
}

/// A file that is saved, with requests before and after.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) says: &'static [&'static str],
    pub(super) before: Vec<Probe>,
    pub(super) file: Option<Saved>,
    pub(super) after: Vec<Probe>,
    /// A proxy at mallory's that claims to be orders.
    pub(super) impostor: bool,
}

const CHARGE: &[&str] = &["-X", "POST", "http://payments/charges"];
const TWICE: &[&str] = &["-n", "8", "-X", "POST", "http://payments/charges"];
const DELETE: &[&str] = &["-X", "DELETE", "http://payments/charges/42"];
const RATINGS: &[&str] = &["http://ratings/"];
const THIRTY: &[&str] = &["-n", "30", "http://ratings/"];

/// All steps, in order.
pub(super) fn all() -> Vec<Step> {
    vec![no_policy(), impostor(), permission(), canary(), limit(), fault()]
}

fn probe(from: &'static str, label: &'static str, call: &'static [&'static str], expect: Expect) -> Probe {
    Probe {
        from,
        label,
        call,
        expect,
    }
}

fn no_policy() -> Step {
    Step {
        title: "No policy: every identity of the mesh may call, over mTLS",
        says: &[
            "Mallory is in the mesh, too, with her own Envoy and her own identity. She wants to be taken for orders.",
        ],
        before: Vec::new(),
        file: None,
        after: vec![
            probe(
                "orders-1",
                "orders:  POST payments/charges",
                CHARGE,
                Expect::Status(200),
            ),
            probe("mallory", "mallory: POST payments/charges", CHARGE, Expect::Status(200)),
        ],
        impostor: false,
    }
}

fn impostor() -> Step {
    Step {
        title: "Mallory starts an Envoy that claims to be orders",
        says: &["Once with her own token and orders' name, once with a stolen token of orders, from her own address."],
        before: Vec::new(),
        file: None,
        after: Vec::new(),
        impostor: true,
    }
}

fn permission() -> Step {
    Step {
        title: "TrafficPermission: only orders may charge, and nobody may delete",
        says: &[],
        before: Vec::new(),
        file: Some(Saved {
            name: "permission.yaml",
            content: include_str!("shop/permission.yaml"),
            objects: &[
                ("trafficpermissions", "payments-callers"),
                ("trafficpermissions", "payments-guard"),
            ],
        }),
        after: vec![
            probe(
                "orders-1",
                "orders:  POST payments/charges",
                CHARGE,
                Expect::Status(200),
            ),
            probe(
                "mallory",
                "mallory: the same, on what connections she had open",
                TWICE,
                Expect::Cut,
            ),
            probe(
                "mallory",
                "mallory: POST payments/charges",
                CHARGE,
                Expect::Refused(403, "default/Deny/http"),
            ),
            probe(
                "mallory",
                "mallory: the same, with headers that name orders",
                &[
                    "-X",
                    "POST",
                    "-H",
                    "x-tulle-source: spiffe://tulle.local/ns/shop/sa/orders/",
                    "-H",
                    "x-forwarded-client-cert: URI=spiffe://tulle.local/ns/shop/sa/orders",
                    "http://payments/charges",
                ],
                Expect::Refused(403, "default/Deny/http"),
            ),
            probe(
                "orders-1",
                "orders:  DELETE payments/charges/42",
                DELETE,
                Expect::Refused(403, "TrafficPermission/shop/payments-guard/no-deletes"),
            ),
        ],
        impostor: false,
    }
}

fn canary() -> Step {
    Step {
        title: "TrafficRoute: one request in ten goes to v2, and testers choose it",
        says: &[],
        before: vec![probe(
            "orders-1",
            "orders:  200 × POST payments/charges",
            &["-n", "200", "-X", "POST", "http://payments/charges"],
            Expect::ShareOfV2(0.5),
        )],
        file: Some(Saved {
            name: "canary.yaml",
            content: include_str!("shop/canary.yaml"),
            objects: &[("trafficroutes", "payments")],
        }),
        after: vec![
            probe(
                "orders-1",
                "orders:  500 × POST payments/charges",
                &["-n", "500", "-X", "POST", "http://payments/charges"],
                Expect::ShareOfV2(0.1),
            ),
            probe(
                "orders-1",
                "orders:  20 × the same with x-canary: yes",
                &[
                    "-n",
                    "20",
                    "-X",
                    "POST",
                    "-H",
                    "x-canary: yes",
                    "http://payments/charges",
                ],
                Expect::Version("v2"),
            ),
        ],
        impostor: false,
    }
}

fn limit() -> Step {
    Step {
        title: "RateLimit: ten requests a second for each caller",
        says: &["Each of the two replicas of ratings counts for itself (scope Proxy)."],
        before: vec![probe(
            "orders-1",
            "orders:  30 × GET ratings/ at once",
            THIRTY,
            Expect::Status(200),
        )],
        file: Some(Saved {
            name: "limit.yaml",
            content: include_str!("shop/limit.yaml"),
            objects: &[("ratelimits", "ratings")],
        }),
        after: vec![
            probe(
                "orders-1",
                "orders:  30 × GET ratings/ at once",
                THIRTY,
                Expect::Limited(10),
            ),
            probe(
                "frontend-1",
                "frontend: 5 × GET ratings/, its own bucket",
                &["-n", "5", "http://ratings/"],
                Expect::Status(200),
            ),
        ],
        impostor: false,
    }
}

fn fault() -> Step {
    Step {
        title: "FaultInjection: ratings is slow, for the frontend only",
        says: &[],
        before: vec![probe(
            "frontend-2",
            "frontend: GET ratings/",
            RATINGS,
            Expect::FasterThan(300.0),
        )],
        file: Some(Saved {
            name: "fault.yaml",
            content: include_str!("shop/fault.yaml"),
            objects: &[("faultinjections", "slow-ratings")],
        }),
        after: vec![
            probe(
                "frontend-2",
                "frontend: GET ratings/",
                RATINGS,
                Expect::SlowerThan(290.0),
            ),
            probe("orders-2", "orders:  GET ratings/", RATINGS, Expect::FasterThan(300.0)),
        ],
        impostor: false,
    }
}

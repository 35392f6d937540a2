//! dump
#[test]
fn dump() {
    for crd in tulle_crds::all() {
        let v = serde_json::to_string_pretty(&crd).unwrap();
        std::fs::write(format!("/tmp/probe/{}.json", crd.spec.names.plural), v).unwrap();
    }
}

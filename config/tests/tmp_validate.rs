#[path = "support/inline.rs"]
mod inline;
mod support;
use prost::Message;
use tulle_config::{Compiler, Settings, Transient};
#[test]
fn validate() {
    let read = |f: &str| std::fs::read_to_string(format!("/tmp/exp-config/lab/{f}")).unwrap();
    let settings = Settings {
        trust_bundle: read("ca.pem").into(),
        ..Settings::default()
    };
    let mut inputs: Vec<_> = support::folders(&support::folder("golden"))
        .into_iter()
        .flat_map(|a| support::folders(&a))
        .map(|f| f.join("input.yaml"))
        .collect();
    inputs.extend(
        support::folders(&support::folder("change"))
            .into_iter()
            .map(|f| f.join("after.yaml")),
    );
    let mut bad = 0;
    for input in inputs {
        let model = support::model(&std::fs::read_to_string(&input).unwrap());
        let mut compiler = Compiler::new();
        for w in model.workloads.keys() {
            let s = compiler.snapshot(&model, &settings, w, &Transient::default()).unwrap();
            let b = inline::bootstrap(&s, &read("web.pem"), &read("web.key"));
            std::fs::write("/tmp/exp-config/b.pb", b.encode_to_vec()).unwrap();
            let out = std::process::Command::new("/tmp/exp-config/ev")
                .args(["--mode", "validate", "-c", "/tmp/exp-config/b.pb", "-l", "error"])
                .output()
                .unwrap();
            if !out.status.success() {
                bad += 1;
                println!("{} {w}: {}", input.display(), String::from_utf8_lossy(&out.stderr));
            }
        }
    }
    assert_eq!(bad, 0);
}
